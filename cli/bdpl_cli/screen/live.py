"""Draws as time goes: at most four frames a second, and fewer where a frame takes long.

A frame is followed by so long a pause that drawing takes at most three parts of a hundred of one
core. Knows neither runs nor panels: it asks for a state and, if that is another one, draws it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

from rich.text import Text

from bdpl_cli.screen.terminal import Terminal

__all__ = ["PERIOD", "SHARE", "Live"]

PERIOD = 0.25  # seconds between two frames, at least
SHARE = 0.03  # of a core
S = TypeVar("S")


class Live(Generic[S]):
    """A screen that follows a state.

    Args:
        terminal: where it is drawn.
        state: asked before every frame; while it is equal, nothing is drawn.
        draw: (state, columns, rows) -> lines.
        over: called once, with what ended the drawing before its time: an OSError where the
            terminal is no longer there, else a fault in drawing.
        clock: seconds of work of this thread.
        sleep: as `asyncio.sleep`.
    """

    def __init__(
        self,
        terminal: Terminal,
        state: Callable[[], S],
        draw: Callable[[S, int, int], list[Text]],
        *,
        over: Callable[[Exception], object],
        clock: Callable[[], float] = time.thread_time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._terminal = terminal
        self._state = state
        self._draw = draw
        self._over = over
        self._clock, self._sleep = clock, sleep
        self._drawn: tuple[S, tuple[int, int]] | None = None

    def beat(self) -> float:
        """Draw if there is something new; seconds until the next time.

        Raises:
            OSError: the terminal is gone.
        """
        began = self._clock()
        terminal = self._terminal
        if terminal.in_front:
            if not terminal.entered:  # for the first time, or back from the background
                self._drawn = None
                terminal.enter()
            now = (self._state(), terminal.size)
            if now != self._drawn:
                self._drawn = now
                terminal.paint(self._draw(now[0], *now[1]), now[1])
        cost = self._clock() - began
        return max(PERIOD, cost / SHARE - cost)

    async def follow(self) -> None:
        """Draw until cancelled, or until it fails; what is over at once is not worth a screen."""
        try:
            await self._sleep(PERIOD)
            while True:
                await self._sleep(self.beat())
        except Exception as error:
            self._terminal.leave()  # nobody should look at a picture that stands still
            self._over(error)

    @asynccontextmanager
    async def shown(self) -> AsyncIterator[None]:
        """Drawing as long as this lasts; then the terminal is as it was before."""
        task = asyncio.create_task(self.follow())
        self._mind_stops()
        try:
            yield
        finally:
            self._ignore_stops()
            self._terminal.leave()
            task.cancel()
            await asyncio.wait([task])

    def _mind_stops(self) -> None:
        """Ctrl-Z gives the screen back before it stops us; once continued, we draw again."""
        if hasattr(signal, "SIGTSTP"):
            asyncio.get_running_loop().add_signal_handler(signal.SIGTSTP, self._stop)

    def _ignore_stops(self) -> None:
        if hasattr(signal, "SIGTSTP"):
            asyncio.get_running_loop().remove_signal_handler(signal.SIGTSTP)

    def _stop(self) -> None:
        self._terminal.leave()
        self._ignore_stops()
        os.kill(os.getpid(), signal.SIGTSTP)  # as if we had not minded
        self._mind_stops()
