"""Which tokens stood at each position of the prompt over time, and how likely each was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from bdpl_async.events import Step
from bdpl_async.markup import Element, Node, tag
from bdpl_cli.page.document import figure, note, table
from bdpl_cli.page.material import Material
from bdpl_cli.page.wording import ellipsis

__all__ = ["positions"]

MOMENTS: Final = 10
FEW: Final = 20  # positions up to which the table is seen at once
POSITIONS: Final = 100  # rows of the table
TOKEN: Final = 24  # characters of a cell


def positions(material: Material) -> Iterator[Element]:
    """Its own part of the section on learning; nothing where no update had tokens."""
    kept = [step for step in material.steps if step.tokens]
    if not kept:
        return
    yield tag("h3", "Tokens at each position")
    if material.plots:
        yield from _heat(kept)
    parts = list(_tokens(material, kept))
    if (count := len(kept[-1].tokens)) <= FEW:
        yield from parts
    else:
        yield tag("details", tag("summary", f"The tokens at all {count:,} positions"), parts)


def _tokens(material: Material, kept: Sequence[Step]) -> Iterator[Element]:
    count = len(kept[-1].tokens)
    places = np.unique(np.linspace(0, len(kept) - 1, MOMENTS).round().astype(int))
    moments = [kept[place] for place in places.tolist()]
    heads = ["", *(f"{step.step:,}" for step in moments)]
    rows = [(str(i + 1), _row(moments, i)) for i in range(min(count, POSITIONS))]
    chosen = material.result.tokens
    if other := len(chosen) == count and chosen != kept[-1].tokens:
        heads.append("chosen")
        for i, (_, cells) in enumerate(rows):
            cells.append(_chosen(material, i, new=chosen[i] != kept[-1].tokens[i]))
    yield table("The likeliest token after some of the updates", heads, rows, kind="course")
    said = "Columns are updates; a token is bold where it is another than in the column before"
    said += ", and shaded by its probability." if kept[-1].odds else "."
    if other:
        likely = "the likeliest prompt and others of high odds" if kept[-1].odds else "several"
        said += f" Dev chose among {likely}: what it chose stands in the last column."
    if count > POSITIONS:
        said += f" The first {POSITIONS} of {count:,} positions are shown."
    yield note(said)


def _heat(kept: Sequence[Step]) -> Iterator[Element]:
    """The figure of all positions over all updates, where there are probabilities."""
    from bdpl_cli.page import figures

    rows = [step for step in kept if len(step.odds) == len(kept[-1].tokens)]
    odds, numbers = [step.odds for step in rows], [step.step for step in rows]
    drawn = figures.heatmap(odds, numbers, kept[-1].tokens)
    if drawn is not None:
        yield figure(drawn, "Probability of the likeliest token at each position over time.")


def _row(moments: Sequence[Step], place: int) -> list[Node]:
    cells: list[Node] = []
    before: str | None = None
    for step in moments:
        token = step.tokens[place] if place < len(step.tokens) else ""
        chance = step.odds[place] if place < len(step.odds) else None
        new = before is not None and token != before
        cells.append(_cell(token, chance, new=new))
        before = token
    return cells


def _chosen(material: Material, place: int, *, new: bool) -> Element:
    """What the run's prompt has at this position."""
    places = material.explained.places
    chance = places[place].probability if places else None
    return _cell(material.result.tokens[place], chance, new=new)


def _cell(token: str, chance: float | None, *, new: bool) -> Element:
    style = title = None
    if chance is not None:
        shade = 0.6 * min(1.0, max(0.0, chance))
        style, title = f"background:rgba(217,119,6,{shade:.2f})", f"probability {chance:.3f}"
    kind = "new" if new else None
    return tag("td", ellipsis(token, TOKEN), class_=kind, style=style, title=title)
