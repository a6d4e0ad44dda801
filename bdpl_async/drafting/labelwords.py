"""Label words for the values of a label column: the values themselves where they are words.

Which words a model can read is asked through a function, so that no tokenizer is known here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from string import ascii_uppercase

__all__ = ["Key", "LabelWords", "bare_number", "first_word", "label_words"]

Key = Callable[[str], Hashable | None]
"""What tells a label word from the others, such as its first token; None if it cannot be read."""

GOOD_AND_BAD = frozenset(
    {"sentiment", "polarity", "review", "reviews", "rating", "ratings", "stars", "opinion"}
)
SCALES = {
    2: ("terrible", "great"),
    3: ("bad", "okay", "good"),
    5: ("terrible", "bad", "okay", "good", "great"),
}
NO, YES = (
    frozenset({"0", "false", "no", "n", "f", "0.0"}),
    frozenset({"1", "true", "yes", "y", "t", "1.0"}),
)
ENTAILED = {
    "entailment": "yes",
    "neutral": "maybe",
    "contradiction": "no",
    "not_entailment": "no",
    "not entailment": "no",
}
INSTEAD = {
    "negative": ("bad", "terrible"),
    "neg": ("bad", "terrible"),
    "positive": ("good", "great"),
    "pos": ("good", "great"),
    "neutral": ("okay", "fine"),
    "complaint": ("bad", "wrong"),
    "praise": ("good", "great"),
}
WHOLE = {"neg": ("negative",), "pos": ("positive",)}
ACRONYM = 4  # letters
NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


@dataclass(frozen=True, slots=True)
class LabelWords:
    """A word for each class.

    Attributes:
        words: value -> label word, each with a leading space.
        kind: what they answer: quality, yesno, nli or topic.
        meant: values whose word is a stand-in, with the word that would say more, or with "".
        apart: whether the model can read them all and tell them apart.
    """

    words: Mapping[str, str]
    kind: str
    meant: Mapping[str, str] = field(default_factory=dict)
    apart: bool = True


def first_word(word: str) -> Hashable | None:
    """A `Key` where nothing is known of the tokenizer: the first five letters of the word."""
    return word.strip()[:5].casefold() or None


def label_words(values: Sequence[str], hints: Sequence[str], key: Key = first_word) -> LabelWords:
    """A word for each of the values, no two of which begin alike.

    Args:
        values: of the label column.
        hints: words of the column's name, of the texts' and of the file's.
        key: of a word with its leading space.
    """
    kind, choices = _choices(values, hints)
    chosen = _distinct(choices, key)
    if chosen is None:  # one of them cannot be had: letters for all, so that none stands out
        letters = [(*_letters(place),) for place in range(len(values))]
        chosen = _distinct(letters, key)
    apart = chosen is not None
    chosen = chosen or [words[0] for words in choices]
    meant = {}
    for value, word, words in zip(values, chosen, choices, strict=True):
        if word != words[0]:
            meant[value] = words[0]
        elif bare_number(value) and kind == "topic":
            meant[value] = ""
    found = {value: f" {word}" for value, word in zip(values, chosen, strict=True)}
    return LabelWords(found, kind, meant, apart)


def _choices(values: Sequence[str], hints: Sequence[str]) -> tuple[str, list[tuple[str, ...]]]:
    """What the words answer, and for each value the words that may stand for it, best first."""
    lower = [value.strip().casefold() for value in values]
    judged = bool(GOOD_AND_BAD & set(hints))
    numbers = all(map(bare_number, values))
    if numbers and judged and len(values) in SCALES:
        return "quality", [(word,) for word in _scale(values)]
    if len(values) == 2 and {*lower} & NO and {*lower} & YES:
        return "yesno", [("no",) if value in NO else ("yes",) for value in lower]
    if set(lower) <= set(ENTAILED) and "entailment" in lower:
        return "nli", [(ENTAILED[value],) for value in lower]
    if {"1", "2", "3", "4", "5"} == set(lower):
        return "quality", [(word,) for word in _scale(values)]
    kind = "quality" if set(lower) <= set(INSTEAD) else "topic"
    return kind, [tuple(_words(value)) for value in values]


def _scale(values: Sequence[str]) -> list[str]:
    order = sorted(values, key=lambda value: float(value.strip()))
    return [SCALES[len(values)][order.index(value)] for value in values]


def _words(value: str) -> Iterator[str]:
    """The value as words, then what may stand in for it."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", value)
    words = re.findall(r"[^\W_]+(?:'[^\W_]+)*", parted)
    if bare_number(value):
        place = round(float(value.strip()))
        yield from NUMBERS[place - 1 : place] if place > 0 else ("zero",)
    shouted = value.isupper() and (len(words) > 1 or len(value) > ACRONYM)
    words = [
        word if word.isupper() and len(word) <= ACRONYM and not shouted else word.lower()
        for word in words
    ]
    yield from WHOLE.get(" ".join(words), ())
    sign = value.strip() if value.isprintable() else ""
    yield " ".join(words) or sign or "other"
    yield from INSTEAD.get(" ".join(words).casefold(), ())
    yield from (word for word in words if len(word) > 2)


def _letters(place: int) -> Iterator[str]:
    """A, B, ... for the place of a class; beyond Z numbers."""
    if place < len(ascii_uppercase):
        yield ascii_uppercase[place]
    yield str(place + 1)


def _distinct(choices: Sequence[Sequence[str]], key: Key) -> list[str] | None:
    """From each list the first word whose key no other has taken; None if there is none.

    Those with the fewest choices go first.
    """
    taken: set[Hashable] = set()
    chosen: dict[int, str] = {}
    for place in sorted(range(len(choices)), key=lambda place: len(choices[place])):
        for word in choices[place]:
            found = key(f" {word}")
            if found is not None and found not in taken:
                taken.add(found)
                chosen[place] = word
                break
        else:
            return None
    return [chosen[place] for place in range(len(choices))]


def bare_number(value: str) -> bool:
    """Whether a value is a whole number and no word."""
    return re.fullmatch(r"\s*[+-]?\d+(\.0+)?\s*", value) is not None
