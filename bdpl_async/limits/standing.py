"""How a limiter stands: what is in flight, who waits, and for what. For people to look at."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Level", "Standing"]


@dataclass(frozen=True, slots=True)
class Level:
    """How full a window is: `held` of `limit` requests or tokens in any `period` seconds."""

    unit: str
    held: float
    limit: float
    period: float


@dataclass(frozen=True, slots=True)
class Standing:
    """A limiter at one moment.

    Attributes:
        in_flight: requests sent and not answered.
        room: how many may be in flight now.
        waiting: requests that wait for leave to be sent.
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
