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
from bdpl_cli.screen.aside import Aside, set_aside
from bdpl_cli.screen.live import Live
from bdpl_cli.screen.shape import frame
from bdpl_cli.screen.terminal import Terminal
from bdpl_cli.screen.view import View, fold
from bdpl_cli.stderr import mishap, say

__all__ = ["showing"]

Listener = Callable[[Event], None]


class _Watched:
    """The view of one run, and those of its events that are told again at the end.

    If the view fails, the run is told in plain lines from then on: it may have cost money.

    Args:
        pulse: how the run stands.
        plain: told of events once there is no screen.
        closed: called when the terminal is gone.
        aside: what others print meanwhile.
    """

    def __init__(
        self,
        pulse: Callable[[], Pulse],
        plain: Listener,
        closed: Callable[[], object],
        aside: Aside,
    ) -> None:
        self._pulse = pulse
        self._plain = plain
        self._closed = closed
        self._aside = aside
        self._view = View()
        self._lasting: list[Event] = []
        self._fault: Exception | None = None
        self._told = False

    def hear(self, event: Event) -> None:
        """Fold it into the view; a fault in that is raised to whoever looks at it next."""
        if self._told:
            self._plain(event)
            return
        if not isinstance(event, Step | Retry):
            self._lasting.append(event)
        try:
            self._view = fold(self._view, event)
        except Exception as error:
            self._fault = self._fault or error

    def state(self) -> View:
        """The view at this moment."""
        if self._fault is not None:
            raise self._fault
        self._view = fold(self._view, self._pulse())
        return self._view

    def over(self, error: Exception) -> None:
        """There is no screen any more, though the run goes on, or stops if its terminal is gone."""
        self._fault = error
        self._aside.open()
        if isinstance(error, OSError):
            self._closed()
        self.tell()

    def tell(self) -> None:
        """Say what lasts, and from now on everything, in lines."""
        fault, self._fault = self._fault, None
        if fault is not None and not isinstance(fault, OSError):
            say(mishap(fault))
        lasting, self._lasting, self._told = self._lasting, [], True
        for event in lasting:
            self._plain(event)


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
    terminal, stderr = Terminal(sys.stdout), sys.stderr

    def draw(view: View, width: int, height: int) -> list[Text]:
        return frame(view, width, height, terminal.look)

    with set_aside(stderr) as aside:
        watched = _Watched(pulse, plain, interrupt.first, aside)

        def leave() -> None:
            terminal.leave()
            if said := aside.taken():
                os.write(stderr.fileno(), said.encode(errors="replace"))

        interrupt.leaving = leave
        try:
            async with Live(terminal, watched.state, draw, over=watched.over).shown():
                yield watched.hear
        finally:
            watched.tell()
