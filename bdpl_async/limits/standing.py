"""How a limiter stands: what is in flight, who waits, and for what. For people to look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

__all__ = ["Level", "Pause", "Standing"]


@dataclass(frozen=True, slots=True)
class Level:
    """How full a window is: `held` of `limit` requests or tokens in any `period` seconds."""

    unit: str
    held: float
    limit: float
    period: float


@dataclass(frozen=True, slots=True)
class Pause:
    """A request failed by this cause, and is sent again at `until`."""

    until: float
    cause: str


@dataclass(frozen=True, slots=True)
class Standing:
    """A limiter at one moment.

    Attributes:
        in_flight: requests sent and not answered.
        room: how many may be in flight now.
        waiting: requests that wait for leave to be sent, or to be sent again.
        levels: the windows that hold, given or learned.
        obstacle: what the first of them waits for; empty where nobody waits.
        seconds: until it is gone; None where only an answer can end it.
    """

    in_flight: int = 0
    room: int = 0
    waiting: int = 0
    levels: tuple[Level, ...] = ()
    obstacle: str = ""
    seconds: float | None = None

    def behind(self, waiting: int, obstacle: str) -> Standing:
        """The same, with so many of those in flight still waiting for somebody else's leave."""
        if not waiting:
            return self
        flying = max(0, self.in_flight - waiting)
        told = self.obstacle or obstacle
        return replace(
            self, in_flight=flying, waiting=self.waiting + waiting, obstacle=told, seconds=None
        )

    def paused(self, pauses: Sequence[Pause], now: float) -> Standing:
        """The same, with the requests whose pauses are not over by `now`."""
        left = [pause for pause in pauses if pause.until > now]
        if not left:
            return self
        waiting = self.waiting + len(left)
        if self.seconds is not None:  # the limiter keeps the others waiting, and by its own clock
            return replace(self, waiting=waiting)
        first = min(left, key=lambda pause: pause.until)
        obstacle = f"another try ({first.cause})"
        return replace(self, waiting=waiting, obstacle=obstacle, seconds=first.until - now)
