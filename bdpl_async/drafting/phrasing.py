"""Templates that ask for a label in plain words: one for masked models, one for all others.

Knows names of columns and kinds of label words; neither values nor files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from bdpl_async.drafting.roles import HEADS, name_words

__all__ = ["Phrasing", "phrase"]

PLAIN = frozenset({"label", "labels", "class", "target", "gold", "y", "annotation", "outcome"})
AWKWARD = re.compile(r"[.!:\[\]{}]")
"""What no name in the braces of a template may hold."""
FEW = 6  # words that a question may name


@dataclass(frozen=True, slots=True)
class Phrasing:
    """How a row is shown.

    Attributes:
        template: for masked models.
        causal: for models that read from left to right, which stop at the mask.
        manual: a prompt as a person would write it.
        columns: names in the templates that stand for other names in the data.
    """

    template: str
    causal: str
    manual: str
    columns: Mapping[str, str] = field(default_factory=dict)


def phrase(
    label: str, texts: Sequence[str], words: Sequence[str], kind: str, there: Sequence[str]
) -> Phrasing:
    """Templates for these columns.

    Args:
        label: the column with the classes.
        texts: the columns to show.
        words: the label words.
        kind: what they answer: quality, yesno, nli or topic.
        there: all columns of the data.
    """
    names = _braced(texts, [label, *there])
    columns = {name: text for name, text in zip(names, texts, strict=True) if name != text}
    shown = [f"{{{name}}}" for name in names]
    said = [word for word in name_words(label) if word not in (*PLAIN, "is")]
    asked = " ".join(said)
    bare = [word.strip() for word in words]
    pair = len(texts) == 2 and not set(name_words(texts[0])) & HEADS
    if pair and kind in ("nli", "yesno"):
        template = f"{{prompt}} {shown[0]}? {{mask}}, {shown[1]}"
        question = f"{asked.capitalize()}? " if asked and kind == "yesno" else ""
        causal = f"{{prompt}} {shown[0]} Question: {shown[1]} {question}{_choice(bare)}? Answer:"
    else:
        text = " ".join(shown)
        template = f"{{prompt}} {text} {_closing(kind, asked)} {{mask}}."
        causal = f"{{prompt}} {text} {_asking(kind, asked)}"
    return Phrasing(template, f"{causal} {{mask}}", _manual(kind, asked, bare), columns)


def _braced(texts: Sequence[str], taken: Sequence[str]) -> list[str]:
    """A name for each column that a template can hold: its own where that is possible."""
    names: list[str] = []
    for text in texts:
        plain = text == text.strip() and text.isprintable() and not AWKWARD.search(text)
        if plain and not text.isdigit() and text not in ("prompt", "mask"):
            names.append(text)
        else:
            free = (name for name in _free() if name not in taken and name not in names)
            names.append(next(free))
    return names


def _free() -> Iterator[str]:
    yield "text"
    number = 2
    while True:
        yield f"text_{number}"
        number += 1


def _closing(kind: str, asked: str) -> str:
    """What leads to the mask of a masked model."""
    if kind == "quality":
        return "It was"
    if kind == "topic":
        return "This is"
    return f"{asked.capitalize()}?" if asked else "Answer:"


def _asking(kind: str, asked: str) -> str:
    """What leads other models to the label word."""
    if kind == "quality":
        return "It was"
    if kind == "topic":
        return f"{(asked or 'category').capitalize()}:"
    return f"{asked.capitalize()}? Answer:" if asked else "Answer:"


def _manual(kind: str, asked: str, words: Sequence[str]) -> str:
    if kind == "quality":
        return "is this good or bad?"
    if kind == "nli":
        return "does the second follow from the first?"
    if kind == "yesno":
        return f"is this {asked}, yes or no?" if asked else "yes or no?"
    if len(words) <= FEW:
        return f"is this {_choice(words).lower()}?"
    return f"what is the {asked or 'category'} of this?"


def _choice(words: Sequence[str]) -> str:
    listed = f"{', '.join(words[:-1])} or {words[-1]}"
    return f"{listed[:1].upper()}{listed[1:]}"
