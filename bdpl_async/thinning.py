"""Which lines of a run's events its log gets, so that a long run's log stays small. Pure.

    first 1,023 updates     each with all of its keys
    next 1,024, 2,048 ...   512 of them so; the others with what a curve needs, and no more

Every update has a line, however long the run. Of the retries in 16 such updates a few are told one
by one, the others together, one line for each cause: `times` of them, `wait` their mean, `attempt`
the highest. Left out are a note that says the same again in this time, and checkpoints of updates
that are not told whole. All of this follows from an update's number alone, so a resumed run goes
on in the same way.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from bdpl_async.events import Checkpoint, Event, Note, Retry, Step, to_json

__all__ = ["Line", "Thinning", "whole"]

Line = dict[str, object]
DENSE: Final = 512  # whole updates in each doubling of their number
APART: Final = 16  # whole updates from one time that retries are told together to the next
SINGLE: Final = 20  # retries told one by one in this time
CAUSES: Final = 16  # told apart; more than there are
CURVE: Final = ("type", "t", "step", "loss", "entropy", "kl", "usage")


def whole(step: int) -> bool:
    """Whether the update of this number, from 1, is told with all of its keys."""
    return step % _stride(step) == 0


def _stride(step: int) -> int:
    """Each so-manieth update is told whole around this one."""
    doublings = (max(1, step) // DENSE).bit_length() - 1
    return 1 << max(0, doublings)


@dataclass(slots=True)
class _Together:
    """Retries of one cause that are told in one line."""

    last: Retry
    times: int = 0
    waited: float = 0.0
    highest: int = 0

    def add(self, retry: Retry) -> None:
        self.last = retry
        self.times += 1
        self.waited += retry.wait
        self.highest = max(self.highest, retry.attempt)

    def line(self, t: float) -> Line:
        mean = round(self.waited / self.times, 4)
        more = {"t": t, "attempt": self.highest, "wait": mean, "times": self.times}
        return to_json(self.last) | more


@dataclass(slots=True)
class Thinning:
    """Turns the events of one run, in order, into the lines of its log."""

    _t: float = 0.0
    _singles: int = 0
    _held: dict[str, _Together] = field(default_factory=dict)
    _noted: set[str] = field(default_factory=set)

    def lines(self, event: Event) -> list[Line]:
        """What to write now that `event` has come; perhaps nothing."""
        self._t = event.t
        if isinstance(event, Retry):
            return self._retried(event)
        if isinstance(event, Note):
            return self._said(event)
        line: Line = to_json(event)
        if isinstance(event, Checkpoint):
            return [line] if whole(event.step) else []
        if isinstance(event, Step) and event.step % (APART * _stride(event.step)):
            return [line if whole(event.step) else {key: line[key] for key in CURVE}]
        return [*self.rest(), line]

    def rest(self) -> list[Line]:
        """The retries that were not told yet, for the end of the log; what follows starts anew."""
        told = [together.line(self._t) for together in self._held.values()]
        self._held.clear()
        self._noted.clear()
        self._singles = 0
        return told

    def _retried(self, retry: Retry) -> list[Line]:
        if self._singles < SINGLE:
            self._singles += 1
            return [to_json(retry)]
        cause = retry.cause
        if cause not in self._held and len(self._held) >= CAUSES:
            cause = next(reversed(self._held))
        self._held.setdefault(cause, _Together(retry)).add(retry)
        return []

    def _said(self, note: Note) -> list[Line]:
        if note.message in self._noted:
            return []
        self._noted.add(note.message)
        return [to_json(note)]
