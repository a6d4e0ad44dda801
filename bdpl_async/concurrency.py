"""How many requests may be in flight: up by one while it goes well, down when it does not (AIMD).

    fine      grows, if all slots were taken: at first by one each, later by one a round trip
    failed    an error of another kind, or never sent: says nothing about the load
    refused   too many in some window of time: half as many
    crowded   too many at the same time: as many as got through, and no more for long
    doubtful  one of the two: as many as got through, but starting from one

Pure bookkeeping: who waits for a slot, and in which order, is the limiter's business.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal, NamedTuple

__all__ = ["Concurrency", "Outcome", "Slot"]

Outcome = Literal["fine", "failed", "refused", "crowded", "doubtful"]

START = 16
QUIET = 60.0  # seconds before one more is tried than got through; twice that after each refusal
LONGEST_QUIET = 3600.0
SHORTEST_QUIET = 1.0


class Slot(NamedTuple):
    """A place in flight.

    Attributes:
        epoch: cuts before it was taken; what was sent before a cut does not cut again.
        crowd: requests in flight when it was taken, its own included.
    """

    epoch: int
    crowd: int


class Concurrency:
    """Counts slots against a limit that moves.

    Args:
        most: in flight at most, whatever happens.
        start: the first limit; None is 16, or `most` if that is less.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        most: int,
        *,
        start: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if most < 1:
            raise ValueError(f"at least 1 request must be allowed in flight, not {most}")
        self.in_flight = 0
        self.epoch = 0
        self._most = most
        self._clock = clock
        self._room = float(min(most, max(1, START if start is None else start)))
        self._threshold = float(most)  # below it each success makes room for one more
        self._ceiling = most
        self._proven = 0  # got through together when more were refused; 0 while nobody knows
        self._through = 0  # of those in flight at the last cut, not refused so far
        self._crowded = False  # the last cut was due to the crowd, perhaps
        self._since = clock()  # the last change of the ceiling
        self._quiet = self._patience = QUIET

    def __repr__(self) -> str:
        return f"<Concurrency {self.in_flight} of {self.limit} in flight, most {self._ceiling}>"

    @property
    def limit(self) -> int:
        """How many may be in flight now."""
        return int(self._room)

    @property
    def full(self) -> bool:
        """Whether a request more would exceed the limit."""
        return self.in_flight + 1 > self._room

    def take(self) -> Slot:
        """A slot, to be freed exactly once; the caller has looked that it is not `full`."""
        self.in_flight += 1
        return Slot(self.epoch, self.in_flight)

    def free(self, slot: Slot, outcome: Outcome) -> bool:
        """Give `slot` back; whether the limit was cut, by the first refusal since the last cut."""
        taken = self.in_flight
        self.in_flight = taken - 1
        if outcome == "fine":
            if taken + 1 > self._room and slot.epoch == self.epoch:
                self._grow()
            return False
        if outcome == "failed":
            return False
        first = slot.epoch == self.epoch
        if first:
            self._cut(max(taken, slot.crowd), outcome)
        elif slot.epoch == self.epoch - 1:  # of the wave that brought the last cut
            self._through -= 1
        if self._crowded:
            self._lower_ceiling()
        return first

    def explains(self, slot: Slot) -> bool:
        """Whether a refusal may be due to the crowd: more were in flight than ever got through.

        Those sent after it, too, for requests overtake each other.
        """
        crowd = max(slot.crowd, self.in_flight)
        return crowd > 1 and crowd >= self._proven

    def acquit(self) -> None:
        """Forget the ceiling: it was not the crowd."""
        self._ceiling, self._proven, self._crowded = self._most, 0, False

    def _grow(self) -> None:
        """Room for more, if so many is not known to be too many or that is long ago."""
        if self._room < self._ceiling:
            step = 1.0 if self._room < self._threshold else 1.0 / self._room
            self._room = min(float(self._ceiling), self._room + step)
        elif self._ceiling < self._most and self._clock() - self._since >= self._quiet:
            self._ceiling += 1
            self._since = self._clock()
            # If that goes well too, the next one is tried sooner: the wall is gone.
            self._quiet = max(SHORTEST_QUIET, self._quiet / 2)

    def _cut(self, crowd: int, outcome: Outcome) -> None:
        self.epoch += 1
        self._through = crowd - 1
        self._crowded = outcome != "refused"
        if not self._crowded:
            self._room = self._threshold = float(max(1, self.limit // 2))
            return
        self._since = self._clock()
        self._quiet = self._patience
        self._patience = min(LONGEST_QUIET, 2 * self._patience)
        self._threshold = float(max(1, min(self._ceiling, self._through)))
        self._room = self._threshold if outcome == "crowded" else 1.0

    def _lower_ceiling(self) -> None:
        """To those who got through, as far as is known: refusals of a wave come one by one."""
        self._ceiling = self._proven = max(1, min(self._ceiling, self._through))
        self._room = min(self._room, float(self._ceiling))
