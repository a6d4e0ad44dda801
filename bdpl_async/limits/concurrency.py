"""How many requests may be in flight: up by one while it goes well, down when it does not (AIMD).

    fine      grows, if all slots were taken: one each up to the last good level, then one a round
              trip
    failed    an error of another kind, or never sent: says nothing about the load
    refused   too many in some window of time: half as many, but not again within a second
    crowded   too many at the same time: as many as got through, and no more for long
    doubtful  one of the two: as many as got through, but starting from one

Where as many as got through are refused in their turn, it was not the crowd: the ceiling goes, and
the next one is believed only of a wave of which most are refused.

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
COOL = 1.0  # seconds of sending between two cuts
ROUNDS = 3  # round trips with answers between two cuts
GOOD = 0.9  # of the level before a cut: up to there it grows fast again
FEW = 4  # in flight: too few to tell a crowd from accidents


class Slot(NamedTuple):
    """A place in flight.

    Attributes:
        epoch: waves of refusals before it was taken; what was sent before one belongs to it.
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
        self._crowd = 0  # in flight at the last wave of refusals
        self._through = 0  # of those, not refused so far
        self._blamed = False  # that wave may be due to the crowd
        self._believed = False  # and is taken to be
        self._fresh = False  # and follows another one that was
        self._accidents = False  # it once was not: now most must be refused before it is believed
        self._cooled = 0.0  # until then nothing is halved again
        self._fine = self._level = 0  # answers since that was done, and how many then could fly
        self._since = clock()  # the last change of the ceiling
        self._found = self._since - COOL  # when it was last lowered to what got through
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

    def free(self, slot: Slot, outcome: Outcome, resume: float = 0.0) -> None:
        """Give `slot` back.

        Args:
            slot: from `take`.
            outcome: what became of it.
            resume: when sending begins again, if it was refused.
        """
        taken = self.in_flight
        self.in_flight = taken - 1
        if outcome == "fine":
            self._fine += 1
            if taken + 1 > self._room and slot.epoch == self.epoch:
                self._grow()
        elif outcome == "failed":
            pass
        elif slot.epoch == self.epoch:
            self._wave(max(taken, slot.crowd), outcome, resume)
        elif slot.epoch == self.epoch - 1:
            self._through -= 1
            self._lower()

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

    def _wave(self, crowd: int, outcome: Outcome, resume: float) -> None:
        """The first refusal of what was sent since the last one."""
        self.epoch += 1
        self._crowd, self._through = crowd, crowd - 1
        now = self._clock()
        self._fresh = now - self._found < COOL  # sent, perhaps, before the ceiling was there
        self._blamed = outcome != "refused" and crowd > (1 if self._fresh else max(1, self._proven))
        self._believed = False
        if self._proven and not self._blamed and outcome != "refused":
            # With no more in flight than got through before: it was not the crowd then either.
            self._ceiling, self._proven, self._accidents = self._most, 0, True
        if self._blamed and not self._accidents:
            self._threshold = float(crowd)
            if outcome == "doubtful":
                self._room = 1.0
        elif now >= self._cooled and self._fine >= ROUNDS * self._level:
            self._cooled = max(now, resume) + COOL
            self._fine, self._level = 0, self.limit
            self._threshold = max(1.0, self._room * GOOD)
            self._room = float(max(1, self.limit // 2))
        else:  # seconds of sending, so pauses do not count
            self._cooled += max(0.0, resume - now)
        self._lower()

    def _lower(self) -> None:
        """To those who got through, as far as is known: refusals of a wave come one by one."""
        through = max(1, self._through)
        if not self._blamed:
            return
        if not self._believed:
            if self._accidents and (self._crowd < FEW or 2 * through > self._crowd):
                return
            self._believed, self._accidents = True, False
            if not self._fresh:
                self._since = self._found = self._clock()
                self._quiet = self._patience
                self._patience = min(LONGEST_QUIET, 2 * self._patience)
        self._ceiling = self._proven = min(self._ceiling, through)
        self._threshold = min(self._threshold, float(through))
        self._room = min(self._room, float(self._ceiling))
