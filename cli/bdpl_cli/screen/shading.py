"""A prompt whose tokens are shaded by their probability.

The weight says it (bold, normal, dim), on every background and without colour; a colour says it
again where there is one.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len

from bdpl_cli.screen.line import cut
from bdpl_cli.screen.look import Look

__all__ = ["LEGEND", "Pieces", "shade", "wrapped"]

Pieces = list[tuple[str, str]]
SURE, OPEN = 0.5, 0.1
LEGEND = "bold: above 50 %, dim: below 10 %"


def shade(chance: float) -> str:
    """The style of a token of this probability."""
    if chance >= SURE:
        return "bold color(31)" if chance >= (1 + SURE) / 2 else "bold"
    return "" if chance >= OPEN else "dim"


def wrapped(pieces: Sequence[tuple[str, str]], width: int, rows: int, look: Look) -> list[Pieces]:
    """Words with their styles in at most `rows` lines of at most `width` cells.

    Args:
        pieces: (word, style), safe to show.
        width: cells.
        rows: lines; what does not fit is cut off, visibly.
        look: the terminal's.
    """
    lines: list[Pieces] = [[]]
    used = 0
    for place, (word, style) in enumerate(pieces):
        shown = cut(word, width, look)
        size = cell_len(shown)
        if used and used + 1 + size > width:
            if len(lines) == rows:
                rest = " ".join(word for word, _ in pieces[place:])
                lines[-1].append((cut(f" {rest}", max(1, width - used), look), style))
                break
            lines.append([])
            used = 0
        gap = " " if used else ""
        lines[-1].append((gap + shown, style))
        used += len(gap) + size
    return lines
