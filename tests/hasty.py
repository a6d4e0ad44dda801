"""An event loop that leaps over idle time, so that back-off and time-outs of minutes take a moment.

While there is work, time goes as usual. When nothing is ready, each millisecond of waiting counts
as seconds, more and more of them, up to what the next timer lacks. All that goes by the loop's
clock keeps its order; clocks of one's own must be given as ``loop.time``.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["HastyLoop", "hasty"]

IDLE = 0.001  # real seconds in which a thread or a socket may still say something
FIRST_LEAP, LONGEST_LEAP = 0.25, 8.0  # seconds; each is twice the one before
PATIENCE = 50_000.0  # seconds of the loop
T = TypeVar("T")


class _LeapingSelector(selectors.DefaultSelector):
    """Counts the seconds that it did not wait."""

    def __init__(self) -> None:
        super().__init__()
        self.leapt = 0.0
        self._leap = FIRST_LEAP

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        found = super().select(min(timeout, IDLE))
        if found:
            self._leap = FIRST_LEAP
        elif timeout > IDLE:
            self.leapt += min(timeout - IDLE, self._leap)
            self._leap = min(2 * self._leap, LONGEST_LEAP)
        return found


class HastyLoop(asyncio.SelectorEventLoop):
    """Leaps ahead when it has nothing to do."""

    def __init__(self) -> None:
        self._leaping = _LeapingSelector()
        super().__init__(self._leaping)

    def time(self) -> float:
        return super().time() + self._leaping.leapt


def hasty(work: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run` on a `HastyLoop`.

    Raises:
        TimeoutError: it took `PATIENCE`; whatever waits for ever must not hold up a test.
    """
    with asyncio.Runner(loop_factory=HastyLoop) as runner:
        return runner.run(asyncio.wait_for(work, PATIENCE))
