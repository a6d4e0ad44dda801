"""Numbers as people read them: scores in per cent, differences in points, thousands with commas.

Documents (JSON, CSV) keep fractions; this is for sentences and tables alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bdpl_async.evaluation import Evaluation, Gain

__all__ = ["bounds", "counted", "dollars", "percent", "points", "signed"]


def counted(count: float, noun: str) -> str:
    """``1 request``, ``1,234 requests``."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def dollars(usd: float) -> str:
    """``$0.0123``; four decimals, since a request may cost that little."""
    return f"${usd:,.4f}"


def bounds(ends: tuple[float, float], *, sign: bool = False) -> str:
    """``66.0 to 75.9``: an interval of fractions, in per cent; `sign` for one of differences."""
    plus = "+z" if sign else "z"
    low, high = (100 * end for end in ends)
    return f"{low:{plus}.1f} to {high:{plus}.1f}"


def percent(found: Evaluation) -> str:
    """``71.2 % (95 %: 66.0 to 75.9, n=320)``; metrics below zero keep their sign."""
    lost = f", {found.unanswered} unanswered" if found.unanswered else ""
    return f"{100 * found.score:.1f} % (95 %: {bounds(found.ci95)}, n={found.n}{lost})"


def signed(difference: float) -> str:
    """``+3.1``: a difference of fractions, in points."""
    return f"{100 * difference:+z.1f}"


def points(gain: Gain) -> str:
    """``+3.1 points (95 %: +1.0 to +5.2)``."""
    return f"{signed(gain.score)} points (95 %: {bounds(gain.ci95, sign=True)})"
