"""A history of bounded size: when it is full, neighbours are joined to their mean.

So an hour of updates takes as much memory, and as little time to draw, as a minute.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

__all__ = ["Curve", "grown", "resampled"]

MOST = 256  # points; no plot is wider


@dataclass(frozen=True, slots=True)
class Curve:
    """What was measured so far.

    Attributes:
        points: means of `stride` numbers each.
        stride: how many numbers a point stands for.
        rest: numbers that do not fill a point yet.
        last: the newest number; None before the first.
        low, high: of all numbers, so of more than the points show.
    """

    points: tuple[float, ...] = ()
    stride: int = 1
    rest: tuple[float, ...] = ()
    last: float | None = None
    low: float = float("inf")
    high: float = float("-inf")

    @property
    def shown(self) -> tuple[float, ...]:
        """The points, and the mean of those that do not fill one yet."""
        return (*self.points, _mean(self.rest)) if self.rest else self.points


def grown(curve: Curve, number: float) -> Curve:
    """The curve with one number more; one that is not finite leaves it as it is."""
    if not isfinite(number):
        return curve
    points, stride, rest = curve.points, curve.stride, (*curve.rest, number)
    if len(rest) == stride:
        points, rest = (*points, _mean(rest)), ()
    if len(points) == MOST:
        points, stride = tuple(map(_mean, zip(points[::2], points[1::2], strict=True))), 2 * stride
    low, high = min(curve.low, number), max(curve.high, number)
    return Curve(points, stride, rest, number, low, high)


def resampled(numbers: Sequence[float], width: int) -> list[float]:
    """At most `width` numbers, each the mean of as many neighbours.

    As many from the first on, so that what was drawn once stays as it is while numbers are added.
    """
    size = max(1, -(-len(numbers) // max(1, width)))
    return [_mean(numbers[place : place + size]) for place in range(0, len(numbers), size)]


def _mean(numbers: Sequence[float]) -> float:
    return sum(number / len(numbers) for number in numbers)  # a sum of huge ones is infinite
