"""The runs of a comparison: one server's after another, those of several servers at the same time.

An arm belongs to one server, so its runs come in the order of its seeds, and no two runs that are
under way share answers or a server's patience. What a comparison finds therefore does not depend
on who was faster. Knows no provider: whoever calls says how to connect.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Hashable, Sequence
from functools import partial
from typing import Final

from bdpl_async.config import Config
from bdpl_async.errors import BdplError
from bdpl_async.events import Event
from bdpl_async.halt import Stopped
from bdpl_async.kept import Kept
from bdpl_async.studies.arms import Arm
from bdpl_async.studies.cells import Cell, Connect, Here, Runner, Watched

__all__ = ["HERE", "Audience", "SideBySide", "server_of"]

HERE: Final = "this machine"
IN_PROCESS: Final = ("roberta", "simulated")  # providers that answer in this process
Job = tuple[Arm, Cell]


class Audience:
    """Who is told what happens to the runs; every method may be overridden, none has to be."""

    def opened(self, arm: Arm, cell: Cell, run: Watched) -> None:
        """A run of `arm` begins."""

    def heard(self, arm: Arm, cell: Cell, event: Event) -> None:
        """A run of `arm` says something."""

    def failed(self, arm: Arm, error: BdplError, others: int) -> None:
        """A run of `arm` broke; as many `others` come to their end, and nothing else begins."""


def server_of(config: Config) -> str:
    """Where a model stands: the address of its server, else its provider, else this machine."""
    provider, _, _ = config.model.name.partition("/")
    if provider in IN_PROCESS:
        return HERE
    return (config.model.base_url or provider).rstrip("/").lower()


class SideBySide:
    """Runs the cells of all arms, or reads them back where they are there already.

    Args:
        arms: with their cells.
        connect: from a configuration to a connected scorer.
        audience: who is told.
        runner: where they run; None runs them here.
    """

    def __init__(
        self,
        arms: Sequence[Arm],
        connect: Connect,
        audience: Audience | None = None,
        runner: Runner | None = None,
    ) -> None:
        self._runner = runner or Here(connect, lambda cell: server_of(cell.config))
        self._audience = audience or Audience()
        self._lanes = _lanes(_ordered(arms), self._runner)
        self._places = asyncio.Semaphore(self._runner.most)
        self._errors: dict[int, BdplError] = {}
        self._halted = self._ending = False
        self._tasks: list[asyncio.Task[None]] = []
        self._open: dict[int, Watched] = {}  # the run that a lane has under way

    async def runs(self) -> AsyncGenerator[tuple[Arm, Kept], None]:
        """Every run as it comes to its end; one that was interrupted is given too.

        Where a run breaks, those under way elsewhere come to their end, and none begins.

        Raises:
            BdplError: as `bdpl_async.studies.cells.run_cell`; of several, the one of the server
                that stands first.
        """
        done: asyncio.Queue[tuple[Arm, Kept] | None] = asyncio.Queue()
        self._tasks = [
            asyncio.create_task(self._lane(lane, done)) for lane in range(len(self._lanes))
        ]
        for task in self._tasks:
            task.add_done_callback(lambda _: done.put_nowait(None))
        try:
            left = len(self._tasks)
            while left:
                found = await done.get()
                if found is not None:
                    yield found
                    continue
                left -= 1
                if any(map(_defect, self._tasks)):
                    break  # no error of ours: nobody waits for the others
        finally:
            await self._settle()
        for defect in filter(None, map(_defect, self._tasks)):
            raise defect
        for lane in sorted(self._errors):
            raise self._errors[lane]

    def halt(self) -> None:
        """End in good order: runs under way stop and are saved, nothing else begins."""
        self._halted = self._ending = True
        for lane, task in enumerate(self._tasks):
            if lane in self._open:
                self._open[lane].halt()
            else:
                task.cancel()

    async def _lane(self, lane: int, done: asyncio.Queue[tuple[Arm, Kept] | None]) -> None:
        for arm, cell in self._lanes[lane]:
            if self._ending:
                return
            try:
                async with self._places:
                    if self._ending:
                        return
                    heard = partial(self._audience.heard, arm, cell)
                    kept = await self._runner(cell, heard, partial(self._opened, lane, arm, cell))
            except Stopped:
                return
            except BdplError as error:
                self._errors[lane] = error
                self._ending = True
                others = len(self._open.keys() - {lane})
                self._audience.failed(arm, error, others)
                return
            finally:
                self._open.pop(lane, None)
            done.put_nowait((arm, kept))
            if kept.result.stop_reason == "interrupted":
                self._ending = True

    def _opened(self, lane: int, arm: Arm, cell: Cell, run: Watched) -> None:
        self._open[lane] = run
        if self._halted:
            run.halt()
        self._audience.opened(arm, cell, run)

    async def _settle(self) -> None:
        """Leave no task behind, whoever gave up waiting for it."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _defect(task: asyncio.Task[None]) -> BaseException | None:
    """What broke a lane and is no error of ours, as a disk that is full."""
    return task.exception() if task.done() and not task.cancelled() else None


def _lanes(jobs: Sequence[Job], runner: Runner) -> list[list[Job]]:
    """What comes one after another, in the order of each lane's first job."""
    lanes: dict[Hashable, list[Job]] = {}
    for arm, cell in jobs:
        lanes.setdefault(runner.together(cell), []).append((arm, cell))
    return list(lanes.values())


def _ordered(arms: Sequence[Arm]) -> list[Job]:
    """Model by model, seed by seed: a comparison that is cut off has whole seeds."""
    jobs = [(arm, seed, cell) for arm in arms for seed, cell in enumerate(arm.cells)]
    models = list(dict.fromkeys(arm.model for arm in arms))
    jobs.sort(key=lambda job: (models.index(job[0].model), job[1]))
    return [(arm, cell) for arm, _, cell in jobs]
