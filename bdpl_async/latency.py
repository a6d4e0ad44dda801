"""How long answers took: a histogram of bounded size, and two of its quantiles.

Buckets are spaced evenly in the logarithm, so that a microsecond in this process and a minute of a
slow server are told equally well, and adding one costs the same however many there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, log2
from typing import Final

__all__ = ["Latencies", "Latency"]

PER_OCTAVE: Final = 16  # a bucket is 4.4 % wide, its middle 2.2 % off at most
OCTAVES_BELOW, OCTAVES_ABOVE = 20, 12  # of one second: a microsecond to an hour
BUCKETS: Final = (OCTAVES_BELOW + OCTAVES_ABOVE) * PER_OCTAVE
SHORTEST: Final = 2.0**-OCTAVES_BELOW


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds within which half and 95 % of the requests were answered; None without any."""

    p50: float | None = None
    p95: float | None = None


class Latencies:
    """Seconds of answered requests, counted by size."""

    def __init__(self) -> None:
        self._counts = [0] * BUCKETS
        self._least, self._most = float("inf"), 0.0

    def add(self, seconds: float) -> None:
        """Count one answer."""
        self._least = min(self._least, seconds)
        self._most = max(self._most, seconds)
        place = int((log2(seconds) + OCTAVES_BELOW) * PER_OCTAVE) if seconds > SHORTEST else 0
        self._counts[place if place < BUCKETS else -1] += 1

    def quantile(self, share: float) -> float | None:
        """Seconds within which `share` (0 to 1) of the answers came; None without any."""
        rank = max(1, ceil(share * sum(self._counts)))
        passed = 0
        for place, count in enumerate(self._counts):
            passed += count
            if passed >= rank:
                middle: float = 2.0 ** ((place + 0.5) / PER_OCTAVE - OCTAVES_BELOW)
                return min(max(middle, self._least), self._most)
        return None

    def snapshot(self) -> list[list[float]]:
        """Least and most seconds, then every bucket that holds any, and how many."""
        held = ([float(at), float(n)] for at, n in enumerate(self._counts) if n)
        return [[self._least, self._most], *held] if self._most else []

    def restore(self, snapshot: Sequence[Sequence[float]]) -> None:
        """Be as at `snapshot`, if that holds any.

        Raises:
            IndexError, TypeError, ValueError: it is none.
        """
        if not snapshot:
            return
        (self._least, self._most), *held = snapshot
        self._counts = [0] * BUCKETS
        for place, count in held:
            self._counts[int(place)] = int(count)

    @property
    def summary(self) -> Latency:
        """Half, and nearly all, of the answers."""
        return Latency(self.quantile(0.5), self.quantile(0.95))
