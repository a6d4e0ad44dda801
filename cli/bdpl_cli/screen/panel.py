"""A part of the screen: how many rows it would like, and how it is drawn on so many."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.text import Text

__all__ = ["Panel", "shares"]


@dataclass(frozen=True, slots=True)
class Panel:
    """One part.

    Attributes:
        draw: rows -> at most so many lines.
        least: rows without which it says nothing; with 0, it is shown full or not at all.
        full: rows on which it says all; None is as many as `least`.
        most: rows that it can make use of; None is as many as `full`.
        rule: what stands in the line above it; None has no line.
    """

    draw: Callable[[int], list[Text]]
    least: int = 1
    full: int | None = None
    most: int | None = None
    rule: str | None = None

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Rows: least, full, most."""
        full = self.least if self.full is None else max(self.least, self.full)
        return self.least, full, full if self.most is None else max(full, self.most)


def shares(panels: Sequence[Panel], ranks: Sequence[int], rows: int) -> tuple[list[int], int]:
    """Rows of each panel, and how many of the rules between them have room, the first ones first.

    Args:
        panels: in the order in which they stand.
        ranks: their places in it, the most important first.
        rows: to be divided; what nobody can use is left over.
    """
    given = [0] * len(panels)
    for place in ranks:
        least = panels[place].sizes[0]
        if least <= rows:
            given[place], rows = least, rows - least
    rows = _filled(panels, [place for place in ranks if given[place]], given, rows)
    ruled = [place for place, panel in enumerate(panels) if given[place] and panel.rule is not None]
    rules = min(rows, len(ruled))
    whole = [place for place in ranks if not panels[place].sizes[0]]
    rows = _filled(panels, whole, given, rows - rules)
    while hungry := [p for p in ranks if given[p] and given[p] < panels[p].sizes[2]]:
        for place in hungry[:rows]:
            given[place] += 1
        if rows <= len(hungry):
            break
        rows -= len(hungry)
    return given, rules


def _filled(panels: Sequence[Panel], places: Sequence[int], given: list[int], rows: int) -> int:
    """Raise each to all it needs, as far as the rows last; those that are left."""
    for place in places:
        least, full, _ = panels[place].sizes
        if least or full <= rows:
            more = min(rows, full - given[place])
            given[place], rows = given[place] + more, rows - more
    return rows
