"""A run on the screen: its events and pulses in, and on the terminal at the end what plain says."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from rich.text import Text

from bdpl_async.events import Event, Retry, Step
from bdpl_async.pulse import Pulse
from bdpl_cli.interrupts import Interrupt
from bdpl_cli.screen.aside import set_aside
from bdpl_cli.screen.live import Live
from bdpl_cli.screen.shape import frame
from bdpl_cli.screen.terminal import Terminal
from bdpl_cli.screen.view import View, fold

__all__ = ["showing"]

Listener = Callable[[Event], None]


class _Watched:
    """The view of one run, and those of its events that are told again at the end."""

    def __init__(self, pulse: Callable[[], Pulse]) -> None:
        self._pulse = pulse
        self._view = View()
        self.lasting: list[Event] = []
        self.gone = False

    def hear(self, event: Event) -> None:
        self._view = fold(self._view, event)
        if not isinstance(event, Step | Retry):
            self.lasting.append(event)

    def state(self) -> View:
        self._view = fold(self._view, self._pulse())
        return self._view


@asynccontextmanager
async def showing(
    pulse: Callable[[], Pulse], plain: Listener, interrupt: Interrupt
) -> AsyncIterator[Listener]:
    """A listener that shows a run on standard output, which is a terminal.

    Args:
        pulse: asked a few times a second.
        plain: told, once the screen is gone, what should not be gone with it.
        interrupt: told if the terminal is gone; its second signal restores the terminal first.
    """
    terminal, watched = Terminal(sys.stdout), _Watched(pulse)
    stderr = sys.stderr

    def gone() -> None:
        watched.gone = True
        interrupt.first()

    def draw(view: View, width: int, height: int) -> list[Text]:
        return frame(view, width, height, terminal.look)

    with set_aside(stderr) as aside:

        def leave() -> None:
            terminal.leave()
            if said := aside.taken():
                os.write(stderr.fileno(), said.encode(errors="replace"))

        interrupt.leaving = leave
        try:
            async with Live(terminal, watched.state, draw, gone=gone).shown():
                yield watched.hear
        finally:
            for event in () if watched.gone else watched.lasting:
                plain(event)
