"""The rate that a provider seems to allow, learned from what it let through before it refused.

A cycle begins with the first request after a pause and ends with a refusal. Where the refusal
says when to come back, so many got through in so long: the cycle and its pause. Where it does not,
a minute is what most count in. Nothing refused for long: the rate is tried a little higher.

Pure: the time is passed in. It knows requests alone, for tokens refused are requests refused.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from bdpl_async.concurrency import Slot
from bdpl_async.window import MARGIN, Ticket, Unit, Window

__all__ = ["Pace"]

MINUTE = 60.0
QUIET = 300.0  # seconds without a refusal before a learned rate is raised; doubles if that fails
LONGEST_QUIET = 3600.0
STEP = 0.01  # the first raise, but at least one request; each further one is twice as large
STRETCH = 1.1  # of the time that a second's worth takes, if it was refused all the same
LONGEST_STRETCH = 1.5
LOWER = 0.95  # of the rate at which it still refused


@dataclass(slots=True)
class Cycle:
    """What got through since `start`."""

    start: float
    sent: int = 0


class Pace:
    """Watches what is sent and refused; `windows` hold what was learned."""

    def __init__(self) -> None:
        self.windows: list[Window] = []
        self._seconds: deque[list[int]] = deque()  # [second, sent and not refused], a minute's
        self._cycle: Cycle | None = None
        self._ended: Cycle | None = None
        self._newest = 0
        self._learned: Window | None = None
        self._before: Window | None = None  # what was learned before the last lesson
        self._lesson: float | None = None  # when the last refusal said to come back
        self._fresh = False  # the refusals of the last lesson may still come in
        self._even: list[Window] = []
        self._stretched = 1.0
        self._raised = 0.0  # requests that the last raise added
        self._quiet_since = 0.0
        self._quiet = QUIET
        self._step = STEP

    def sent(self, ticket: Ticket) -> None:
        """Count a request that leaves."""
        self._newest = ticket.number
        if self._cycle is None:
            self._cycle = Cycle(ticket.at)
        self._cycle.sent += 1
        second = int(ticket.at)
        if self._seconds and self._seconds[-1][0] == second:
            self._seconds[-1][1] += 1
            return
        self._seconds.append([second, 1])
        while self._seconds[0][0] < second - MINUTE:
            self._seconds.popleft()

    def unsent(self, ticket: Ticket) -> None:
        """Count `ticket` no more: it was refused, or never left."""
        for cycle in (self._cycle, self._ended):
            if cycle is not None and ticket.at >= cycle.start:
                cycle.sent -= 1
                break
        for entry in reversed(self._seconds):
            if entry[0] == int(ticket.at):
                entry[1] -= 1
                break

    def ended(self) -> None:
        """Close the cycle: the first refusal after a pause came."""
        if self._cycle is not None:
            self._ended, self._cycle = self._cycle, None
        self._fresh = False

    def learn(self, now: float, resume: float | None) -> None:
        """Keep to what got through.

        Args:
            now: when the refusal came.
            resume: when it says to come back; None if it does not say.
        """
        self._refused(now)
        if self._learned is not None and self._raised:  # the raise was too much, and no more
            self._learned.limit -= self._raised
            self._raised = 0.0
            return
        self._lesson, self._fresh, self._before = resume, True, self._learned
        self.again(now)

    def again(self, now: float) -> None:
        """Once more, with what the other refusals of the same wave tell, if it was a lesson."""
        if not self._fresh or self._ended is None:
            return
        start, count = self._ended.start, self._ended.sent
        resume, period = self._lesson, MINUTE
        if resume is None or start < now - MINUTE:
            count = self._in_last_minute(now)
        else:
            period = min(MINUTE, resume - start)
        old = self._before
        if count > 0:
            if old is not None:
                period = max(period, count * old.period / (old.limit * MARGIN * LOWER))
            self._learned = Window("requests", count, period * MARGIN, after=self._newest)
            self._seed(self._learned, now)
        else:
            self._learned = old  # nothing got through: that teaches no rate
        self._list()

    def spread(self, windows: Iterable[Window], now: float) -> bool:
        """Spread what `windows` allow over their period: a second's worth at a time, at least 1.

        Returns:
            False: that was done, and did not help.
        """
        if self._stretched > LONGEST_STRETCH:
            return False
        self._refused(now)
        if not self._even:
            rates = [(w.unit, w.limit / w.period * MARGIN) for w in windows]
            self._even = [self._evenly(unit, rate) for unit, rate in rates]
            self._list()
            return True
        self._stretched *= STRETCH
        for window in self._even:
            window.period *= STRETCH
        return True

    def halve(self, now: float) -> None:
        """Half the rate of the last minute, evenly: it was asked to slow down."""
        since = max(now - MINUTE, float(self._seconds[0][0])) if self._seconds else now
        rate = self._in_last_minute(now) / max(1.0, now - since)
        rate = min([rate, *(w.limit / w.period for w in self._even if w.unit == "requests")])
        self._even = [self._evenly("requests", max(rate, 1.0 / MINUTE) / 2)]
        self._refused(now)
        self._list()

    def raised(self, now: float) -> None:
        """Try a little more of what was learned, if nothing was refused for long."""
        if now - self._quiet_since < self._quiet:
            return
        self._quiet_since = now
        if self._learned is not None:
            self._raised = max(1.0, self._learned.limit * self._step)
            self._learned.limit += self._raised
        for window in self._even:
            window.period /= 1.0 + self._step
        self._step = min(1.0, 2 * self._step)

    def _refused(self, now: float) -> None:
        """Be quiet from now on, and for longer if it was a raise that brought the refusal."""
        if self._step > STEP:
            self._quiet = min(LONGEST_QUIET, 2 * self._quiet)
        self._step, self._quiet_since = STEP, now

    def _evenly(self, unit: Unit, rate: float) -> Window:
        """A second's worth, at least one request, in the time that takes; 1e-9 is rounding."""
        worth = rate if unit == "tokens" else float(max(1, int(rate + 1e-9)))
        return Window(unit, worth, worth / rate * MARGIN, after=self._newest)

    def _in_last_minute(self, now: float) -> int:
        return sum(count for second, count in self._seconds if second > now - MINUTE - 1)

    def _seed(self, window: Window, now: float) -> None:
        """Count in `window` what got through of late, as if at the end of its second."""
        for second, count in self._seconds:
            window.add(Ticket(0, min(now, second + 1.0), 0, Slot(0, 0), requests=count))

    def _list(self) -> None:
        learned = [] if self._learned is None else [self._learned]
        self.windows = learned + self._even
