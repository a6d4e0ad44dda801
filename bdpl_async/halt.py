"""Asked to stop: nothing more is sent, and what is in flight gets a few seconds to arrive."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

__all__ = ["Halt", "Stopped"]

GRACE = 4.5  # seconds that a halted run gives what is in flight; the rest of 5 is for saving
T = TypeVar("T")


class Stopped(Exception):
    """Raised instead of sending when the run was asked to stop."""


class Halt:
    """Whether a run was asked to stop, and what is still under way then.

    Args:
        wake: called when the stop is asked for, to wake what waits to send.

    Attributes:
        asked: nothing may be sent any more.
        flying: requests sent and not answered yet.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self.asked = False
        self.flying = 0
        self._wake = wake
        self._patience: set[asyncio.Timeout] = set()

    def ask(self) -> None:
        """Send nothing more; what is in flight has `GRACE` seconds."""
        self.asked = True
        self._wake()
        self._hurry(GRACE if self.flying else 0.0)

    def landed(self) -> None:
        """One request is no longer in flight."""
        self.flying -= 1
        if self.asked and not self.flying:
            self._hurry(0.0)

    async def until(self, work: Awaitable[T]) -> T:
        """Await `work`; once a stop is asked for, only while something is in flight.

        Raises:
            Stopped: it did not end by itself.
        """
        patience = asyncio.timeout(None)
        try:
            async with patience:
                self._patience.add(patience)
                return await work
        except TimeoutError:
            if not patience.expired():
                raise
            raise Stopped from None
        finally:
            self._patience.discard(patience)

    def _hurry(self, seconds: float) -> None:
        when = asyncio.get_running_loop().time() + seconds
        for patience in self._patience:
            if not patience.expired():
                patience.reschedule(when)
