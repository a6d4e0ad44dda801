"""Where everything stands: panels on a screen of so many columns and rows, drawn as one frame."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from bdpl_cli.screen.budgets import budgets
from bdpl_cli.screen.curves import curves
from bdpl_cli.screen.head import head
from bdpl_cli.screen.line import line, rule, squared
from bdpl_cli.screen.look import FAINT, Look
from bdpl_cli.screen.notes import notes
from bdpl_cli.screen.panel import Panel, shares
from bdpl_cli.screen.prompts import luckiest, odds, prompt, scores
from bdpl_cli.screen.traffic import traffic
from bdpl_cli.screen.view import View

__all__ = ["LEAST_COLUMNS", "LEAST_ROWS", "frame"]

LEAST_COLUMNS, LEAST_ROWS = 60, 16
WIDE = 132  # columns from which there are two beside each other
SHARE_OF_NOTES = 4  # of the rows of a wide screen, at most a quarter
Panels = Sequence[Panel | None]


def frame(view: View, width: int, height: int, look: Look) -> list[Text]:
    """Exactly `height` lines of exactly `width` cells.

    A screen that is smaller than the least shows the top left of that.
    """
    columns, rows = max(width, LEAST_COLUMNS), max(height, LEAST_ROWS)
    shape = _wide if columns >= WIDE else _narrow
    lines = shape(view, columns, rows, look)[:height]
    return [squared(text, width) for text in (*lines, *[line()] * (height - len(lines)))]


def _narrow(view: View, width: int, rows: int, look: Look) -> list[Text]:
    """One column, the notes at its end."""
    panels = [
        head(view, width, look),
        budgets(view, width, look),
        prompt(view, width, look),
        odds(view, width, look),
        luckiest(view, width, look),
        scores(view, width, look),
        curves(view, width, look),
        traffic(view, width, look),
        notes(view, width, look),
    ]
    return _column(panels, (0, 1, 2, 6, 7, 8, 5, 4, 3), width, rows, look)


def _wide(view: View, width: int, rows: int, look: Look) -> list[Text]:
    """Head and notes across, between them two columns."""
    top = _column([head(view, width, look)], (0,), width, 2, look)
    said = notes(view, width, look)
    last = min(said.sizes[2], max(1, rows // SHARE_OF_NOTES))
    bottom = _column([said], (0,), width, last + 1, look)
    between = rows - len(top) - len(bottom)
    left, right = (width - 3) // 2, width - 3 - (width - 3) // 2
    grants = budgets(view, left, look)
    money = [grants] if grants is not None else []
    sides = (
        _column(
            [
                *money,
                prompt(view, left, look),
                odds(view, left, look),
                luckiest(view, left, look),
                scores(view, left, look),
            ],
            range(len(money) + 4),
            left,
            between,
            look,
        ),
        _column(
            [curves(view, right, look), traffic(view, right, look)], (1, 0), right, between, look
        ),
    )
    return [*top, *_beside(sides, left, between, look), *bottom]


def _beside(sides: tuple[list[Text], list[Text]], width: int, rows: int, look: Look) -> list[Text]:
    joined = []
    for place in range(rows):
        a, b = (side[place] if place < len(side) else line() for side in sides)
        joined.append(line().join([squared(a, width), line((f" {look.wall} ", FAINT)), b]))
    return joined


def _column(panels: Panels, ranks: Sequence[int], width: int, rows: int, look: Look) -> list[Text]:
    """Panels below each other; rules between them, as far as there is room."""
    there = [panel for panel in panels if panel is not None]
    places = [place for place, panel in enumerate(panels) if panel is not None]
    order = [places.index(rank) for rank in ranks if rank in places]
    given, rules = shares(there, order, rows)
    lines: list[Text] = []
    for panel, size in zip(there, given, strict=True):
        if not size:
            continue
        if panel.rule is not None and rules:
            rules -= 1
            lines.append(rule(width, look, panel.rule))
        drawn = panel.draw(size)
        lines += [*drawn, *[line()] * (size - len(drawn))]
    return lines
