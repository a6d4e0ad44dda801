"""The screen of ``compare``: hears of the runs, looks at those under way, and draws all arms."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bdpl_async.methods import searches
from bdpl_async.studies.sidebyside import server_of
from bdpl_cli.columns import wrapped
from bdpl_cli.comparing import Teller
from bdpl_cli.screen.armsframe import frame
from bdpl_cli.screen.armsview import ArmsView, ArmView, begun, broke, ended, told
from bdpl_cli.screen.aside import Aside, set_aside
from bdpl_cli.screen.live import Live
from bdpl_cli.screen.terminal import Terminal
from bdpl_cli.stderr import mishap, say

if TYPE_CHECKING:
    from rich.text import Text

    from bdpl_async.errors import BdplError
    from bdpl_async.events import Event
    from bdpl_async.kept import Kept
    from bdpl_async.studies.arms import Arm
    from bdpl_async.studies.cells import Cell, Watched

__all__ = ["LEAST", "ArmsScreen"]

LEAST = (50, 10)  # columns and rows


class ArmsScreen(Teller):
    """Tells of a comparison on the alternate screen; what it noted is said again at the end.

    Args:
        arms: in their order.
        out: the comparison's folder.
        terminal: where it is drawn.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        arms: Sequence[Arm],
        out: Path,
        terminal: Terminal,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(sum(len(arm.cells) for arm in arms), out)
        self._places = {arm.name: place for place, arm in enumerate(arms)}
        self._view = ArmsView(arms[0].cells[0].task.name, _views(arms))
        self._open: dict[int, Watched] = {}
        self._terminal = terminal
        self._clock = clock
        self._began = clock()
        self._stderr = sys.stderr
        self._aside = Aside(self._stderr)
        self._fault: Exception | None = None

    @asynccontextmanager
    async def showing(self) -> AsyncIterator[None]:
        """Draws as long as this lasts; what others say meanwhile comes after it."""
        live = Live(self._terminal, self.state, self._draw, over=self._over)
        with set_aside(self._stderr) as self._aside:
            async with live.shown():
                yield

    def _over(self, error: Exception) -> None:
        """There is no screen any more; the runs go on, or stop if their terminal is gone."""
        self._aside.open()
        if isinstance(error, OSError):
            self.stop()
        else:
            say(mishap(error))
        self._fault = error

    def _fold(self, grow: Callable[[ArmsView], ArmsView]) -> None:
        """The next view; a fault in it is no fault of the run's, and raised to whoever draws."""
        try:
            self._view = grow(self._view)
        except Exception as error:
            self._fault = self._fault or error

    def leaving(self) -> None:
        """Give the terminal back, and say what was said meanwhile."""
        self._terminal.leave()
        if said := self._aside.taken():
            os.write(self._stderr.fileno(), said.encode(errors="replace"))

    def state(self) -> ArmsView:
        """How all runs stand at this moment."""
        if self._fault is not None:
            raise self._fault
        view = replace(self._view, seconds=int(self._clock() - self._began))
        for place, run in self._open.items():
            if (pulse := run.pulse()) is not None:
                view = told(view, place, pulse)
        self._view = view
        return view

    def opened(self, arm: Arm, cell: Cell, run: Watched) -> None:
        """A run begins."""
        place = self._places[arm.name]
        self._open[place] = run
        self._fold(lambda view: begun(view, place))

    def heard(self, arm: Arm, cell: Cell, event: Event) -> None:
        """A run says something."""
        self._fold(lambda view: told(view, self._places[arm.name], event))

    def done(self, arm: Arm, kept: Kept) -> None:
        """A run came to its end, or was there already."""
        super().done(arm, kept)
        place = self._places[arm.name]
        self._open.pop(place, None)
        self._fold(lambda view: ended(view, place, kept.result))

    def failed(self, arm: Arm, error: BdplError, others: int) -> None:
        """A run broke."""
        place = self._places[arm.name]
        self._open.pop(place, None)
        self._fold(lambda view: broke(view, place, str(error.args[0])))

    def stopping(self) -> None:
        """A signal came."""
        self._view = replace(self._view, stopping=True)

    def end(self) -> None:
        """Say what was noted, and how to go on; an error that is alone is said by who raises it."""
        broken = [f"{arm.name}: {arm.broken}" for arm in self._view.arms if arm.broken]
        for note in (*self._view.notes, *(broken if len(broken) > 1 else ())):
            for line in wrapped(f"note: {note}"):
                say(line)
        super().end()

    def _draw(self, view: ArmsView, columns: int, rows: int) -> list[Text]:
        return frame(view, (columns, rows), self._terminal.look)


def _views(arms: Sequence[Arm]) -> tuple[ArmView, ...]:
    configs = [arm.cells[0].config for arm in arms]
    lanes = list(dict.fromkeys(map(server_of, configs)))
    return tuple(
        ArmView(
            arm.model,
            arm.method,
            lane=lanes.index(server_of(config)),
            runs=len(arm.cells),
            searches=searches(config),
        )
        for arm, config in zip(arms, configs, strict=True)
    )
