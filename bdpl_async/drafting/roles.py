"""Which column of a sheet is the label and which are the texts: a guess, and how sure it is.

Knows columns and their values; neither files nor templates. Guessing is by names first (English,
and some of its neighbours'), then by what the values look like.
"""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bdpl_async.data.columns import short
from bdpl_async.drafting.sheet import Column, Sheet
from bdpl_async.errors import ConfigError

__all__ = [
    "HEADS",
    "MOST_CLASSES",
    "Roles",
    "guess_roles",
    "label_columns",
    "lone_label",
    "name_words",
    "not_used",
    "text_columns",
]

MOST_CLASSES = 100  # different values beyond which a column is not taken for the label unasked
LISTED = 8  # columns in a message that says what each holds
LONG_LABEL = 60  # characters; a label's name is not longer
LONG_WORDS = 8  # words; likewise
SHORT_TEXT = 12  # characters that a text has on average, at least
SURE = 5.0  # of a score: the name says it

LABELS = (
    *("label", "labels", "class", "category", "target", "sentiment", "intent", "topic", "gold"),
    *("annotation", "tag", "polarity", "verdict", "classification", "outcome", "rating", "stars"),
    *("emotion", "stance", "kategorie", "klasse", "categorie", "catégorie", "clase", "etiqueta"),
    *("étiquette", "categoria", "categoría", "sentimiento", "y", "priority", "status", "type"),
)
TEXTS = (
    *("text", "sentence", "review", "content", "body", "message", "comment", "document", "tweet"),
    *("utterance", "description", "query", "question", "title", "subject", "headline", "summary"),
    *("abstract", "post", "email", "premise", "hypothesis", "passage", "context", "input"),
    *("texte", "texto", "phrase", "satz", "kommentar", "beschreibung", "testo", "nachricht"),
    *("ticket", "snippet"),
)
NEITHER = (
    *("id", "idx", "index", "uid", "uuid", "guid", "date", "time", "timestamp", "url", "link"),
    *("author", "user", "username", "email_address", "language", "lang", "split", "fold", "source"),
    *("page", "version", "file", "filename", "path", "country", "created", "updated", "annotator"),
)
HEADS = frozenset({"title", "subject", "headline"})
"""What stands above a text and belongs to it."""
PAIRS = (
    ("text_a", "text_b"),
    ("sentence1", "sentence2"),
    ("sentence_1", "sentence_2"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("text1", "text2"),
    ("question", "sentence"),
    ("question", "passage"),
    ("question", "answer"),
    ("query", "document"),
)


@dataclass(frozen=True, slots=True)
class Roles:
    """What the columns are.

    Attributes:
        label: the column with the classes.
        texts: the columns that a template shows, in order.
        sure_label: there is little doubt about the label.
        sure_texts: and about the texts.
    """

    label: str
    texts: tuple[str, ...]
    sure_label: bool = True
    sure_texts: bool = True


def guess_roles(sheet: Sheet, label: str | None = None, texts: Sequence[str] = ()) -> Roles:
    """The roles of the columns of `sheet`.

    Args:
        sheet: a file of training rows.
        label: the label column, where it is known.
        texts: the text columns, where they are known.

    Raises:
        ConfigError: a given column is not there, or there is none that could be the one.
    """
    for option, name in (("--label", label), *(("--text", text) for text in texts)):
        if name is not None and name not in sheet.columns:
            raise _missing(sheet, option, name)
    if label is not None and label in texts:
        raise ConfigError(f"--label and --text: both name the column {short(label)}")
    labels = [label] if label is not None else label_columns(sheet, texts)
    if not labels:
        raise _none(sheet, "label", "--label COLUMN: a column with few different values")
    if texts:
        return Roles(labels[0], tuple(texts), label is not None or _sure(sheet, labels), True)
    found, sure = _texts(sheet, labels[0])
    if not found:
        raise _none(sheet, "text", "--text COLUMN: a column with the texts to classify")
    return Roles(labels[0], found, label is not None or _sure(sheet, labels), sure)


def label_columns(sheet: Sheet, but: Sequence[str] = ()) -> list[str]:
    """The columns that may be the label, the likeliest first."""
    scores = {name: _label_score(column) for name, column in sheet.columns.items()}
    order = list(sheet.columns)
    fit = [name for name in order if scores[name] is not None and name not in but]
    # Of two alike the later one: labels are usually written behind the texts.
    return sorted(fit, key=lambda name: (-(scores[name] or 0.0), -order.index(name)))


def _sure(sheet: Sheet, labels: Sequence[str]) -> bool:
    scores = [_label_score(sheet.columns[name]) or 0.0 for name in labels[:2]]
    if len(scores) == 1:
        return scores[0] >= 0
    return scores[0] >= SURE and scores[0] > scores[1] + 0.1


def _label_score(column: Column) -> float | None:
    """How much it looks like a label; None if it cannot be one."""
    values = column.values
    if values is None or column.unusable or sum(map(bool, map(str.strip, values))) < 2:
        return None
    if len(values) > min(MOST_CLASSES, column.rows / 2) and len(values) > 2:
        return None
    if column.longest > LONG_LABEL or column.words > LONG_WORDS:
        return None
    if column.numeric and not all(_whole(value) for value in column.sample):
        return None
    score = _name_score(column.name) + (1 if len(values) <= 20 else -1)
    return score - (3 if column.numeric and len(values) > 10 else 0)


def _name_score(name: str) -> float:
    """How much a name says that its column is the label."""
    words = name_words(name)
    score = -4.0 if _among(words, NEITHER) else 0.0
    if name.strip().lower() in LABELS:
        return score + 10 - 0.05 * LABELS.index(name.strip().lower())
    return score + (6 if _among(words, LABELS) or words[:1] == ["is"] else 0)


def lone_label(sheet: Sheet, label: str) -> tuple[str, str] | None:
    """A column whose name says label more than the one taken, and the one value that it holds."""
    for name, column in sheet.columns.items():
        if column.values is not None and len(column.values) == 1 and not column.unusable:
            value = next(iter(column.values))
            if value.strip() and _name_score(name) >= max(SURE, _name_score(label) + 0.01):
                return name, value
    return None


def not_used(sheet: Sheet, roles: Roles) -> str | None:
    """The columns that no template shows, and the options that would take them; None if none."""
    rest = [name for name in sheet.columns if name not in (roles.label, *roles.texts)]
    if not rest:
        return None
    ways = []
    texts = [name for name in rest if _texty(sheet.columns[name]) or _named(name)]
    if texts:
        shown = [name for name in sheet.columns if name in (*roles.texts, texts[0])]
        ways.append(" ".join(f"--text {shlex.quote(name)}" for name in shown))
    if labels := [name for name in label_columns(sheet, texts) if name in rest]:
        ways.append(f"--label {shlex.quote(labels[0])}")
    more = f" and {len(rest) - LISTED} more" if len(rest) > LISTED else ""
    said = f" (say {', or '.join(ways)})" if ways else ""
    return f"{', '.join(rest[:LISTED])}{more}{said}"


def text_columns(sheet: Sheet, label: str) -> list[str]:
    """The columns that may be the text, the likeliest first: by their names, then the longest."""
    fit = {
        name: column
        for name, column in sheet.columns.items()
        if name != label and not column.unusable and column.sample
    }
    long = [name for name in fit if _texty(fit[name])]
    plain = [name for name in fit if not fit[name].numeric]
    return sorted(long or plain or fit, key=lambda name: (-_named(name), -fit[name].mean))


def _texts(sheet: Sheet, label: str) -> tuple[tuple[str, ...], bool]:
    """The columns with the texts, and whether there is little doubt about them."""
    fit = text_columns(sheet, label)
    lower = {name.strip().lower(): name for name in fit}
    for first, second in PAIRS:
        if first in lower and second in lower:
            return (lower[first], lower[second]), True
    heads = [name for name in fit if set(name_words(name)) & HEADS]
    main = [name for name in fit if name not in heads] or fit
    sure = len(main) == 1 or (len(main) > 1 and _named(main[0]) > _named(main[1]))
    above = heads[:1] if sure and main is not fit and _named(main[0]) else []
    return (*above, *main[:1]), sure


def _named(name: str) -> int:
    """How plainly a name says that it is the text: 2 `text`, 1 another such word, else 0."""
    if name.strip().lower() == TEXTS[0]:
        return 2
    return int(_among(name_words(name), TEXTS))


def _texty(column: Column) -> bool:
    """Whether its values read like texts."""
    if column.numeric or _among(name_words(column.name), NEITHER):
        return False
    one_piece = sum(bool(re.fullmatch(r"\S+", value)) for value in column.sample)
    if column.mean < SHORT_TEXT or one_piece > 0.9 * len(column.sample):
        return False
    return column.distinct > 0.3 or column.mean > LONG_LABEL


def name_words(name: str) -> list[str]:
    """The words of a column's name, in lower case: ``isSpam_2`` is "is", "spam"."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return re.findall(r"[^\W\d_]+", parted.lower())


def _among(words: Sequence[str], known: Sequence[str]) -> bool:
    return any(word in known or word.removesuffix("s") in known for word in words)


def _whole(value: str) -> bool:
    return re.fullmatch(r"\s*[+-]?\d+(\.0+)?\s*", value) is not None


def _listed(columns: Mapping[str, Column]) -> str:
    return ", ".join(short(name) for name in list(columns)[:20]) or "none"


def _missing(sheet: Sheet, option: str, name: str) -> ConfigError:
    folded = {there.strip().casefold(): there for there in reversed(sheet.columns)}
    near = difflib.get_close_matches(name.strip().casefold(), folded, n=1)
    guess = f"did you mean {short(folded[near[0]])}? " if near else ""
    return ConfigError(
        f"{option} {short(name)}: {sheet.path} has no such column",
        hint=f"{guess}columns there are: {_listed(sheet.columns)}",
    )


def _none(sheet: Sheet, role: str, option: str) -> ConfigError:
    shown = [f"{short(name)} ({_about(column)})" for name, column in sheet.columns.items()]
    more = ", ..." if len(shown) > LISTED else ""
    return ConfigError(
        f"{sheet.path}: no column looks like the {role}",
        hint=f"name it with {option}; columns there are: {', '.join(shown[:LISTED])}{more}",
    )


def _about(column: Column) -> str:
    """What a column holds, for one who has to choose."""
    if column.unusable:
        rows = "row" if column.unusable == 1 else "rows"
        return f"{column.unusable:,} {rows} without text"
    if column.values is None:
        return "many values"
    filled = [value for value in column.values if value.strip()]
    return f"{len(filled):,} values" if len(filled) != 1 else "1 value alone"
