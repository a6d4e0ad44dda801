"""Examples that only one of the two prompts gets right, with what both said and how surely."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np

from bdpl_async.answers import Answers
from bdpl_async.losses import log_softmax
from bdpl_async.markup import Element, Node, tag
from bdpl_async.studies.explanation import Flip, Flips
from bdpl_async.wording import counted
from bdpl_cli.page.document import note, section, table
from bdpl_cli.page.material import Material
from bdpl_cli.page.wording import ellipsis, share

__all__ = ["MOST", "flipped"]

MOST: Final = 25  # of each kind
OPEN: Final = 6  # of each kind that are seen at once
NAME: Final = 40


def flipped(material: Material) -> Element | None:
    """The section; None where not both prompts were asked, or both are the same."""
    found = material.explained.flips
    if found is None or not material.result.prompt:
        return None
    parts: list[Node] = [tag("p", _summary(found, material.split))]
    if len(found.by_label) > 2:
        parts.append(_by_label(found, material))
    if material.explained.failure is not None:
        why = str(material.explained.failure.args[0])
        parts.append(
            note(f"Row numbers only, since the texts could not be read again: {ellipsis(why)}.")
        )
    parts += [
        *_side(material, found.gained, gained=True),
        *_side(material, found.lost, gained=False),
    ]
    return section("flipped", "Examples that flipped", *parts)


def _summary(found: Flips, split: str) -> str:
    return (
        f"Of {counted(found.n, f'{split} example')}, {len(found.gained):,} became right with the"
        f" prompt and {len(found.lost):,} became wrong; {found.both_right:,} are right with and"
        f" without it, {found.both_wrong:,} wrong both times."
    )


def _by_label(found: Flips, material: Material) -> Element:
    rows: list[tuple[Node, list[Node]]] = [
        (ellipsis(name, NAME), [f"{count:,}" for count in counts])
        for name, counts in zip(material.labels, found.by_label, strict=True)
    ]
    caption = "Flipped examples of each class"
    columns = ["Class", "Examples", "Became right", "Became wrong"]
    return table(caption, columns, rows, kind="figures")


def _side(material: Material, flips: Sequence[Flip], *, gained: bool) -> Iterator[Element]:
    if not flips:
        return
    title = "Became right" if gained else "Became wrong"
    most = min(len(flips), MOST)
    cut = f"the {most} clearest of {len(flips):,}" if len(flips) > most else f"{most}"
    yield tag("h3", f"{title}: {cut}")
    cards = [_card(material, flip) for flip in flips[:most]]
    yield tag("ul", cards[:OPEN], class_="examples")
    if rest := cards[OPEN:]:
        more = tag("ul", rest, class_="examples")
        yield tag("details", tag("summary", f"{len(rest)} more that {title.lower()}"), more)


def _card(material: Material, flip: Flip) -> Element:
    answers = material.answers
    told = {
        "truth": ellipsis(material.labels[flip.label], NAME),
        "before": _said(material, answers["empty"], flip.row, flip.empty),
        "after": _said(material, answers["learned"], flip.row, flip.learned),
    }
    pairs = (tag("div", tag("dt", name), tag("dd", value)) for name, value in told.items())
    columns = material.explained.columns(flip) or {}
    number = f"{material.split} row {flip.row:,}"
    return tag("li", _texts(columns, number), tag("dl", pairs, class_="answers"))


def _texts(columns: Mapping[str, str], row: str) -> Iterator[Element]:
    """The example's texts, under their names where there are several, and which row it is."""
    number = tag("span", row, class_="row")
    if not columns:
        yield tag("p", number)
    for place, (name, text) in enumerate(columns.items(), 1):
        above = tag("span", ellipsis(name, NAME), class_="column") if len(columns) > 1 else ()
        behind = (" ", number) if place == len(columns) else ()
        yield tag("p", above, tag("span", ellipsis(text), dir="auto"), behind)


def _said(material: Material, answers: Answers, row: int, label: int) -> str:
    """The label, and its probability among the labels where the model gave one."""
    if label < 0:
        return "no answer"
    name = ellipsis(material.labels[label], NAME)
    if material.decided:
        return name
    return f"{name} {share(float(np.exp(log_softmax(answers.logprobs[row - 1])[label])))}"
