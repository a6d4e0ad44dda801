"""What a page tells people beside scores and counts: shares, chances, times, texts that are cut."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Final

__all__ = ["day", "duration", "ellipsis", "probability", "share"]

TEXT: Final = 400  # characters of a text that a page shows


def share(fraction: float, digits: int = 1) -> str:
    """``71.2 %`` of 0.712; a dash where there is no number."""
    return f"{100 * fraction:.{digits}f} %" if math.isfinite(fraction) else "\N{EN DASH}"


def probability(p: float) -> str:
    """A p-value: ``p = 0.031``."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def duration(seconds: float) -> str:
    """``850 ms``, ``12.3 s``, ``4 min 5 s``, ``2 h 3 min``."""
    if seconds <= 0:
        return "0 s"
    if seconds < 0.9995:
        digits = 0 if seconds >= 0.0095 else 1 if seconds >= 0.00095 else 2
        return f"{1000 * seconds:.{digits}f} ms"
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def day(stamp: float) -> str:
    """A moment, seconds since 1970, in universal time."""
    return datetime.fromtimestamp(stamp, UTC).strftime("%Y-%m-%d %H:%M UTC")


def ellipsis(text: str, most: int = TEXT) -> str:
    """`text`, cut where it is longer than `most` characters."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "\N{HORIZONTAL ELLIPSIS}"
