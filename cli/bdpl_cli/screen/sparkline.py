"""A series of numbers as a row of characters, or as a plot of several rows. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from bdpl_cli.screen.curve import resampled

__all__ = ["plot", "sparkline"]


def sparkline(numbers: Sequence[float], width: int, steps: str) -> str:
    """At most `width` characters, the lowest number as the first of `steps`."""
    return plot(numbers, width, 1, steps)[0]


def plot(numbers: Sequence[float], width: int, height: int, steps: str) -> list[str]:
    """`height` rows from the top, each of at most `width` characters.

    Args:
        numbers: finite.
        width: of more numbers than this, neighbours are joined to their mean.
        height: rows.
        steps: characters that fill a cell from its bottom, the fullest last.
    """
    shown = resampled(numbers, width)
    low, high = min(shown, default=0.0), max(shown, default=0.0)
    top = height * len(steps) - 1
    span = high - low
    levels = [round((number - low) / span * top) if span > 0 else top // 2 for number in shown]
    rows = []
    for row in range(height - 1, -1, -1):
        filled = (level - row * len(steps) for level in levels)
        rows.append("".join(_character(level, steps) for level in filled))
    return rows


def _character(level: int, steps: str) -> str:
    if level < 0:
        return " "
    return steps[min(level, len(steps) - 1)]
