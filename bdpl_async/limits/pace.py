"""The rate after a provider asked to slow down: half of what went through, then more and more.

    slower    half of what went through a second, once in a while however often it is asked
    faster    half again each while without being asked; slowly near a rate that was too high twice
    gone      when nobody needs so much any more

Being asked again far below the rate at which it was asked before, while most went through, means
that the rate is not what it is about: then all is forgotten, and whoever asks is not believed for
a while, unless most is refused. Pure: the time is passed in.
"""

from __future__ import annotations

from collections import deque

from bdpl_async.limits.window import MARGIN, Window

__all__ = ["Pace"]

WHILE = 10.0  # seconds from one change to the next
LATELY = 5.0  # seconds in which it is counted how often it was asked
LEAST = 1.0  # requests a second
BRIEFEST = 0.25  # seconds that a rate is taken over, at least
TELLING = 2.0  # seconds after which it tells more than how it began
MOMENT = 0.25  # seconds in which the rate is kept to
MORE = 1.5
NEAR = 0.95  # of the rate that was too high twice: from there on
BIT = 1.05  # at a time
LOW = 0.8  # of the rate that was too high: there, nobody should ask again
SAME = 0.2  # of a rate, that another one may differ
IDLE = 0.25  # of the rate; who sends less is not held by it
DEAF = 60.0  # seconds; then whoever asked for nothing is believed again


class Pace:
    """Knows how often it was asked; `window` holds the rate, if there is one."""

    def __init__(self) -> None:
        self.window: Window | None = None
        self._rate = 0.0
        self._too_high = 0.0  # went through a second when it was asked to slow down
        self._twice = False
        self._changed = self._cut = 0.0
        self._asked: deque[float] = deque()
        self._deaf = 0.0  # until then nobody is believed, unless most is refused

    def slower(self, now: float, sent: int, seconds: float, newest: int) -> None:
        """Heed a refusal that asks to slow down.

        Args:
            now: when it came.
            sent: requests of late that were not refused.
            seconds: since the first of them.
            newest: the number of the last ticket.
        """
        self._asked.append(now)
        while self._asked[0] <= now - LATELY:
            self._asked.popleft()
        if self.window is not None and now - self._cut < WHILE:
            return
        rate = sent / max(BRIEFEST, seconds)
        if len(self._asked) <= sent:  # most went through
            in_vain = self._rate < LOW * self._too_high or self._rate <= LEAST
            if self.window is not None and in_vain:
                self._deaf, self.window = now + DEAF, None
            if now < self._deaf:
                return
        self._twice = abs(rate - self._too_high) <= SAME * self._too_high
        self._too_high = rate if seconds >= TELLING else 0.0
        self._cut = now
        self._set(max(LEAST, rate / 2), now, newest)

    def due(self, now: float) -> bool:
        """Whether it is time to go `faster`."""
        return self.window is not None and now - max(self._changed, self._asked[-1]) >= WHILE

    def faster(self, now: float, sent: int, seconds: float) -> None:
        """Allow more, or as much as anybody likes; `sent` in so many `seconds` of late."""
        if sent < IDLE * self._rate * seconds:
            self.window = None
            return
        more, near = self._rate * MORE, self._too_high * NEAR
        if self._twice and more > near:
            more = max(near, self._rate * BIT)
            self._twice = more < (1 + SAME) * self._too_high
        self._set(more, now, 0)

    def _set(self, rate: float, now: float, newest: int) -> None:
        """A moment's worth, at least one request, in the time that takes; 1e-9 is rounding."""
        self._rate, self._changed = rate, now
        worth = float(max(1, int(rate * MOMENT + 1e-9)))
        if self.window is None:
            self.window = Window("requests", worth, 1.0, after=newest)
        self.window.limit, self.window.period = worth, worth / rate * MARGIN
