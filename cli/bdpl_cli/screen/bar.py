"""A bar of a given width, divided among what fills it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

__all__ = ["divided"]


def divided(parts: Sequence[float], whole: float, width: int) -> list[int]:
    """Cells of each part and, last, of what is free; together exactly `width`.

    The border between two parts is rounded, not their sizes, so that a part that grows never makes
    the one before it move. What is above the whole is cut off.
    """
    borders, total = [0], 0.0
    for part in parts:
        total += max(0.0, part)
        share = min(1.0, total / whole) if whole > 0 else 1.0
        borders.append(max(borders[-1], round(share * width)))
    return [*(b - a for a, b in pairwise(borders)), width - borders[-1]]
