"""The window that refusals teach: so many got through, in so long, before the next was refused.

A cycle begins with the first request after a pause and lasts until sending begins again. What
looks like a limit teaches, accidents do not:

    asked to come back late    the cycle is the window, at the first time
    asked to come back soon    only if cycle after cycle let through about the same
    shut out again and again   what got through in the last minute: most count in minutes

A window that is refused while there was much room in it was none: it is forgotten, and twice the
evidence is asked for. One that is used up, time after time, without a refusal is raised, at first
a little, then faster and faster; a refusal of that takes the raise back, and the next try comes
later. Pure: the time is passed in. It knows requests alone: tokens refused are requests refused.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import islice

from bdpl_async.limits.concurrency import Slot
from bdpl_async.limits.window import MARGIN, Ticket, Window

__all__ = ["Lesson"]

MINUTE = 60.0
LATE = 5.0  # seconds; who counts in less is found by trying
ALIKE = 4  # cycles that must agree where nobody asks to come back late
SPREAD = 0.8  # of the most that one of them let through, at least
FEW = 5
SHUT_OUT = 6  # refusals one after another, with nothing let through between them
MOST_DOUBT = 8
USED = 0.8  # of a window, when it is refused; with more room in it, it was none
LOWER = 0.95  # of the rate at which it still refused
LOWERINGS = 2  # after which it is forgotten; they come one after another, within
CLOSE = 3.0  # periods
ODD = 1  # refusals that do not fit, before it is forgotten
QUIET = 5.0  # periods without a refusal before a window is raised; doubles if that fails
LONGEST_QUIET = 60.0
STEP = 0.02  # the first raise, but at least one request; each further one is twice as large


@dataclass(slots=True)
class Cycle:
    """What got through from the ticket `first` on.

    Attributes:
        first: the number of its first ticket.
        start: when that was sent.
        end: when sending began again.
        sent: and not refused.
    """

    first: int
    start: float
    end: float = 0.0
    sent: int = 0


@dataclass(slots=True)
class Wave:
    """A first refusal after a pause, until sending begins again."""

    at: float
    strikes: int
    late: bool


class Lesson:
    """Watches what is sent and refused; `window` is what was learned, if anything was.

    Attributes:
        window: to be kept to.
        wave: the refusal that is not yet `settled`.
    """

    def __init__(self) -> None:
        self.window: Window | None = None
        self.wave: Wave | None = None
        self._seconds: deque[tuple[int, float, list[int]]] = deque()  # second, first, not refused
        self._cycle: Cycle | None = None
        self._cycles: deque[Cycle] = deque(maxlen=2 * ALIKE * MOST_DOUBT)
        self._newest = 0
        self._doubt = 1  # times as much evidence as usual
        self._calm = 0.0  # since when nothing was refused
        self._used = 0  # sent since then
        self._quiet = self._patience = QUIET
        self._step = STEP
        self._raised = 0.0  # requests that the last raise added
        self._first = 0.0  # the limit before any raise
        self._lowered = 0  # times since the last raise
        self._odd = 0  # refusals with much room in it, or after it had held for long

    def sent(self, ticket: Ticket) -> None:
        """Count a request that leaves."""
        self._newest = ticket.number
        self._used += 1
        if self._cycle is None:
            self._cycle = Cycle(ticket.number, ticket.at)
        self._cycle.sent += 1
        second = int(ticket.at)
        if self._seconds and self._seconds[-1][0] == second:
            self._seconds[-1][2][0] += 1
            return
        self._seconds.append((second, ticket.at, [1]))
        while self._seconds[0][0] < second - MINUTE:
            self._seconds.popleft()

    def unsent(self, ticket: Ticket) -> None:
        """Count `ticket` no more: it was refused, or never left."""
        if self._cycle is not None and ticket.number >= self._cycle.first:
            self._cycle.sent -= 1
        else:
            for cycle in reversed(self._cycles):
                if ticket.number >= cycle.first:
                    cycle.sent -= 1
                    break
        for second, _, count in reversed(self._seconds):
            if second <= int(ticket.at):
                count[0] -= second == int(ticket.at)
                break

    def recent(self, now: float, span: int = 5) -> tuple[int, float]:
        """Requests sent of late and not refused, and the seconds since the first of them."""
        late = [entry for entry in self._seconds if entry[0] > int(now) - span]
        since = late[0][1] if late else now
        return sum(count[0] for _, _, count in late), now - since

    def refused(self, ticket: Ticket, now: float, strikes: int, seconds: float | None) -> None:
        """Note the first refusal after a pause.

        Args:
            ticket: what was refused; it is `unsent` already.
            now: when that came.
            strikes: refusals one after another with nothing let through between them.
            seconds: after which to come back; None if nobody says.
        """
        self.wave = Wave(now, strikes, seconds is not None and seconds >= LATE)
        if self.window is not None:
            self._contradicted(self.window, ticket, now)
        self._calm, self._used = now, 0

    def settle(self, now: float) -> None:
        """Learn from the last refusal, now that sending begins again and all is known of it."""
        wave, self.wave = self.wave, None
        cycle, self._cycle = self._cycle, None
        if wave is None:
            return
        if cycle is not None and cycle.sent > 0:
            self._cycles.append(cycle)
        if self._cycles:  # nothing got through: then the last one lasts until now
            self._cycles[-1].end = now
        if wave.strikes >= SHUT_OUT:
            self._learn(self._in_last_minute(wave.at), MINUTE, now)
        elif cycle is not None and cycle.sent > 0 and self.window is None:
            self._compare(wave, now)

    def raised(self, now: float) -> None:
        """Try a little more if what was learned was used up for long, and nothing was refused."""
        window = self.window
        if window is None or now - self._calm < self._quiet * window.period:
            return
        periods = (now - self._calm) / window.period
        if self._used >= USED * window.limit * periods:
            self._raised = float(max(1, int(window.limit * self._step)))
            window.limit += self._raised
            self._step, self._quiet = min(1.0, 2 * self._step), 1.0
            self._lowered = self._odd = 0
        self._calm, self._used = now, 0

    def _contradicted(self, window: Window, ticket: Ticket, now: float) -> None:
        """It was refused although the window was kept to: a little too high, or no window."""
        raised, self._raised, self._step = self._raised, 0.0, STEP
        close = now - self._calm < CLOSE * window.period
        if raised:  # the raise was too much, and no more
            window.limit -= raised
            self._patience = min(LONGEST_QUIET, 2 * self._patience)
        elif window.limit > self._first:
            window.limit = self._first  # and so were those before
        elif not close or window.before(ticket) + 1 <= USED * window.limit:
            self._odd += 1
        else:
            window.period /= LOWER
            self._lowered += 1
        if self._odd > ODD or self._lowered > LOWERINGS:
            self.window = None
            self._doubt = min(MOST_DOUBT, 2 * self._doubt)
            self._cycles.clear()
        self._quiet = self._patience

    def _compare(self, wave: Wave, now: float) -> None:
        """Learn if the last cycles look alike, as many as it takes."""
        few = self._cycles[-1].sent < FEW  # which often are the same by chance
        needed = self._doubt * (1 if wave.late else 2 * ALIKE if few else ALIKE)
        if len(self._cycles) < needed:
            return
        cycles = list(islice(reversed(self._cycles), needed))
        counts = [cycle.sent for cycle in cycles]
        if min(counts) < SPREAD * max(counts):
            return
        period = sum(cycle.end - cycle.start for cycle in cycles) / needed
        if period > MINUTE and wave.late:  # it was long before that cycle filled its window
            self._learn(self._in_last_minute(wave.at), MINUTE, now)
        else:
            self._learn(min(counts), period, now)

    def _learn(self, count: int, period: float, now: float) -> None:
        if count <= 0:
            return  # nothing got through: that teaches no rate
        self.window = Window("requests", count, period * MARGIN, after=self._newest)
        for second, _, (sent,) in self._seconds:  # as if at the end of its second
            self.window.add(Ticket(0, min(now, second + 1.0), 0, Slot(0, 0), requests=sent))
        self._calm, self._used = now, 0
        self._quiet = self._patience = QUIET
        self._step, self._raised, self._first = STEP, 0.0, float(count)
        self._lowered = self._odd = 0

    def _in_last_minute(self, now: float) -> int:
        return sum(count[0] for second, _, count in self._seconds if second > now - MINUTE - 1)
