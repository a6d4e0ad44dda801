"""The cells of a sweep: all of them checked before the first one runs, then one after another.

A cell is a run like any other, with a RUN_DIR of its own; one that came to its end is not run
again. Knows no provider: whoever calls says how to connect.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final

from bdpl_async.config import BudgetTable, Config, OptimizerTable, load_config, resolve_task
from bdpl_async.errors import BdplError, ConfigError
from bdpl_async.estimate import StandIn
from bdpl_async.events import Event
from bdpl_async.halt import Stopped
from bdpl_async.kept import finished
from bdpl_async.overrides import Value
from bdpl_async.result import Result
from bdpl_async.run import Run
from bdpl_async.scorer import Scorer, capabilities_of
from bdpl_async.studies.cells import (
    Cell,
    Connect,
    Here,
    Runner,
    Watched,
    find_cell,
    naming,
)
from bdpl_async.studies.grid import Point, Sweep
from bdpl_async.task import Task

__all__ = ["OneModel", "Row", "Sweeping", "Tasks"]

KEPT: Final = 3  # tasks with their data that are kept for cells to come
NOT_OURS: Final = dict.fromkeys(("run.out", "run.ui", "run.yes", "run.telemetry"))
"""Keys of a lone run, not of a cell."""


@dataclass(frozen=True, slots=True)
class Row:
    """A finished cell: where it stands in the grid, and what came of it."""

    point: Point
    result: Result


class Sweeping:
    """A sweep in progress; a context, in which the model at hand stays open.

    Args:
        sweep: what is varied over what.
        out: the folder that the cells' RUN_DIRs go to.
        connect: from a configuration to a connected scorer.
        on_event: called with every event of every cell as it happens.
    """

    def __init__(
        self,
        sweep: Sweep,
        out: Path,
        connect: Connect,
        on_event: Callable[[Event], None] = lambda event: None,
    ) -> None:
        self.sweep = sweep
        self.out = out
        self._models = OneModel(connect)
        self._on_event = on_event
        self._tasks = Tasks(sweep)
        self._runner: Runner = Here(self._models)
        self._places = asyncio.Semaphore(self._runner.most)
        self._waiting: list[Point] = []
        self._left = 0
        self._asked = False
        self._error: BdplError | None = None
        self._open: dict[str, Watched] = {}
        self._task: asyncio.Task[object] | None = None

    async def __aenter__(self) -> Sweeping:
        self._task = asyncio.current_task()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._models.close()

    async def check(self) -> list[Row]:
        """Load every cell, put it before its model, send nothing; the cells that are done.

        Raises:
            ConfigError: a cell's folder holds another run, or one on other data.
            UsageError: a cell cannot be run; names the file and what is varied in the cell.
            BudgetTooSmall: a cell's grant does not buy one update and its evaluation.
        """
        done, self._waiting = [], []
        for point in self._ordered():
            with naming(f"{self.sweep.source}: {point.label}"):
                cell = self._cell(point)
                if (there := find_cell(cell)) is not None:
                    done.append(Row(point, there.result))
                    continue
                self._waiting.append(point)
                async with self._models(cell.config) as scorer:
                    await _rehearse(cell.task, scorer)
        self._left = len(self._waiting)
        return done

    async def run(self, on_row: Callable[[Row], None], runner: Runner | None = None) -> bool:
        """Run the cells that `check` found waiting; whether all came to their end.

        Where one breaks, those under way come to their end, and none begins.

        Args:
            on_row: called with each one that did.
            runner: where they run; None runs them here, one after another.

        Raises:
            BdplError: as a lone run, of the first that broke; what is done stays.
        """
        self._runner = runner or self._runner
        self._places = asyncio.Semaphore(self._runner.most)
        lanes: dict[Hashable, list[Point]] = {}
        for point in self._waiting:
            lanes.setdefault(self._runner.together(self._cell(point)), []).append(point)
        try:
            async with asyncio.TaskGroup() as group:
                for lane in lanes.values():
                    group.create_task(self._run_lane(lane, on_row))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        if self._error is not None:
            raise self._error
        return self._left == 0

    async def _run_lane(self, lane: Sequence[Point], on_row: Callable[[Row], None]) -> None:
        """Cells that come one after another."""
        for point in lane:
            async with self._places:
                if self._asked or self._error is not None:
                    return
                try:
                    with naming(point.label):
                        cell, heard = self._cell(point), self._on_event
                        kept = await self._runner(cell, heard, partial(self._opened, point))
                except Stopped:
                    return
                except BdplError as error:
                    self._error = self._error or error
                    return
                finally:
                    self._open.pop(point.folder, None)
            if not finished(cell.out):
                self._asked = True
                return
            self._left -= 1
            on_row(Row(point, kept.result))

    def configs(self) -> list[Config]:
        """Of the cells that are waiting."""
        return [self._tasks.config(point) for point in self._waiting]

    def halt(self) -> None:
        """Stop in good order: nothing more is sent, and no other cell begins."""
        self._asked = True
        for run in self._open.values():
            run.halt()
        if not self._open and self._task is not None:
            self._task.cancel()

    def _opened(self, point: Point, run: Watched) -> None:
        self._open[point.folder] = run
        if self._asked:
            run.halt()

    def _cell(self, point: Point) -> Cell:
        return Cell(self._tasks.load(point), self.out / point.folder)

    def _ordered(self) -> list[Point]:
        """All cells, so that the model changes rarely."""
        order: dict[tuple[object, object], int] = {}
        ranked = []
        for point in self.sweep.points:
            with naming(f"{self.sweep.source}: {point.label}"):
                config = self._tasks.config(point)
            key = (config.model, config.chat)
            ranked.append((order.setdefault(key, len(order)), point))
        return [point for _, point in sorted(ranked, key=lambda pair: pair[0])]


class Tasks:
    """From points to tasks; data that several cells share is read once.

    Args:
        sweep: what the points are of.
    """

    def __init__(self, sweep: Sweep) -> None:
        self._sweep = sweep
        self._kept: list[tuple[Config, Task]] = []

    def config(self, point: Point) -> Config:
        """The configuration of a cell, its file names as they were written.

        Raises:
            ConfigError: the task has no such key, or the key takes no such value.
        """
        config = load_config(resolve_task(self._sweep.task), self._overrides(point))
        if config.models:
            hint = 'vary "model.name" under [grid], or under [[cells]]'
            raise ConfigError("models: a cell of a sweep has one model", hint=hint)
        return config

    def load(self, point: Point) -> Task:
        """The task of a cell, as a lone run with its settings loads it.

        Raises:
            UsageError: configuration or data cannot be used.
        """
        config = self.config(point)
        bare = _bare(config)
        for known, task in self._kept:
            if known == bare:
                return replace(task, config=_dressed(task.config, config))
        task = Task.from_toml(self._sweep.task, overrides=self._overrides(point))
        self._kept = [(bare, task), *self._kept[: KEPT - 1]]
        return task

    def _overrides(self, point: Point) -> Mapping[str, Value]:
        return {**NOT_OURS, **self._sweep.shared, **point.values}


class OneModel:
    """Connects, and keeps the last model in this process open until another one is asked for.

    A server is connected to anew each time, which costs nothing and leaves no doubt that a cell
    sees what a lone run sees.

    Args:
        connect: from a configuration to a connected scorer.
    """

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._held = AsyncExitStack()
        self._scorer: Scorer | None = None
        self._key: tuple[object, object] | None = None

    @asynccontextmanager
    async def __call__(self, config: Config) -> AsyncIterator[Scorer]:
        """The scorer that the configuration names."""
        key = (config.model, config.chat)
        if self._scorer is not None and key == self._key:
            yield self._scorer
            return
        await self.close()
        async with AsyncExitStack() as stack:
            scorer = await stack.enter_async_context(self._connect(config))
            if capabilities_of(scorer).local:
                self._held, self._scorer, self._key = stack.pop_all(), scorer, key
            yield scorer

    async def close(self) -> None:
        """Let go of the model at hand."""
        self._scorer = None
        await self._held.aclose()


async def _rehearse(task: Task, scorer: Scorer) -> None:
    """Open a run and go no further; a model that is not in this process is not asked anything."""
    config = task.config
    unhurried = config.model_copy(
        update={
            "model": config.model.model_copy(update={"rpm": None, "tpm": None}),
            "budget": config.budget.model_copy(update={"seconds": None}),
        }
    )
    asked = scorer if capabilities_of(scorer).local else StandIn(scorer)
    await Run.open(replace(task, config=unhurried), asked)


def _bare(config: Config) -> Config:
    """The configuration without the settings that have no say in what data is loaded."""
    prompt = config.prompt.model_copy(update={"length": 1, "vocabulary_size": 2})
    tables = {"optimizer": OptimizerTable(), "budget": BudgetTable(), "prompt": prompt}
    return config.model_copy(update=tables)


def _dressed(loaded: Config, config: Config) -> Config:
    """`loaded` with the settings of `config` that `_bare` takes off."""
    size = {name: getattr(config.prompt, name) for name in ("length", "vocabulary_size")}
    prompt = loaded.prompt.model_copy(update=size)
    tables = {"optimizer": config.optimizer, "budget": config.budget, "prompt": prompt}
    return loaded.model_copy(update=tables)
