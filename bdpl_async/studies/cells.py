"""One run among many: a cell of a comparison or a grid, done once and then read back.

A cell that came to its end is not run again; one that was cut off starts over, and what it had
paid for comes from the cache. Knows no provider: whoever calls says how to connect.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from bdpl_async.config import Config
from bdpl_async.errors import ConfigError
from bdpl_async.events import Event
from bdpl_async.kept import Kept, finished, read_run
from bdpl_async.run import Run
from bdpl_async.scorer import Scorer
from bdpl_async.task import Task
from bdpl_async.tuning import follow, opened

__all__ = ["Cell", "Connect", "run_cell"]

Connect = Callable[[Config], AbstractAsyncContextManager[Scorer]]
Listener = Callable[[Event], None]
Opened = Callable[[Run], None]


@dataclass(frozen=True, slots=True)
class Cell:
    """A task with its whole configuration, and the folder that its run goes to."""

    task: Task
    out: Path

    @property
    def config(self) -> Config:
        """What the run was told."""
        return self.task.config


async def run_cell(
    cell: Cell,
    connect: Connect,
    on_event: Listener = lambda event: None,
    on_open: Opened = lambda run: None,
) -> Kept:
    """The finished run of `cell`, run now unless it is there already.

    Args:
        cell: what to run, and where to.
        connect: from a configuration to a connected scorer.
        on_event: called with every event as it happens; with none for a run that is there already.
        on_open: called with the run before it starts, for whoever may have to halt it.

    Raises:
        ConfigError: the folder holds a run of another configuration.
        BdplError: as `Run.open` and `Run.events`.
    """
    if (cell.out / "run.toml").exists():
        _refuse_other(cell)
        if finished(cell.out):
            return read_run(cell.out)
        shutil.rmtree(cell.out)
    async with connect(cell.config) as scorer, opened(cell.config, scorer) as cache:
        run = await Run.open(cell.task, scorer, cache=cache)
        on_open(run)
        await follow(run, cell.out, on_event)
    return read_run(cell.out)


def _refuse_other(cell: Cell) -> None:
    """See to it that what stands in the cell's folder is that cell.

    Raises:
        ConfigError: it is another run.
    """
    try:
        there = (cell.out / "run.toml").read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{cell.out / 'run.toml'}: cannot be read: {error}") from None
    if there != cell.config.to_toml():
        raise ConfigError(
            f"{cell.out}: holds a run of another configuration",
            hint="give another folder as --out, or remove this one",
        )
