"""One run among many: a cell of a comparison or a grid, done once and then read back.

A cell that came to its end is not run again; one that was cut off goes on where it was. Knows no
provider: whoever calls says how to connect.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from bdpl_async.config import Config
from bdpl_async.data.textfile import exists
from bdpl_async.errors import BdplError, ConfigError
from bdpl_async.events import Event
from bdpl_async.kept import Kept, finished, read_run
from bdpl_async.pulse import Pulse
from bdpl_async.run import Run
from bdpl_async.rundir import RunDir
from bdpl_async.scorer import Scorer
from bdpl_async.studies.reopening import same_data
from bdpl_async.task import Task
from bdpl_async.tuning import follow, opened

__all__ = ["Cell", "Connect", "Here", "Runner", "Watched", "find_cell", "naming", "run_cell"]

Connect = Callable[[Config], AbstractAsyncContextManager[Scorer]]
PATIENCE: Final = 60.0  # seconds for a budget group that was reached before
HINT: Final = "give another folder as --out, or remove this one"
Listener = Callable[[Event], None]


class Watched(Protocol):
    """A run under way, here or elsewhere."""

    def pulse(self) -> Pulse | None:
        """How it stands; None where that is not known yet."""
        ...

    def halt(self) -> None:
        """End it in good order."""
        ...


Opened = Callable[[Watched], None]


class Runner(Protocol):
    """A place where cells are run."""

    @property
    def most(self) -> int:
        """Cells that it is given at a time, at most."""
        ...

    def together(self, cell: Cell) -> Hashable:
        """What a cell must not be under way with: cells that give the same come one by one."""
        ...

    def __call__(self, cell: Cell, on_event: Listener, on_open: Opened) -> Awaitable[Kept]:
        """As `run_cell`."""
        ...


@dataclass(frozen=True, slots=True)
class Cell:
    """A task with its whole configuration, and the folder that its run goes to."""

    task: Task
    out: Path

    @property
    def config(self) -> Config:
        """What the run was told."""
        return self.task.config


class Here:
    """This process: what runs at the same time shares its loop.

    Args:
        connect: from a configuration to a connected scorer.
        together: tells apart what may be under way at the same time; nothing, if not said.
    """

    most = 1_000

    def __init__(
        self, connect: Connect, together: Callable[[Cell], Hashable] = lambda cell: None
    ) -> None:
        self._connect = connect
        self._together = together

    def together(self, cell: Cell) -> Hashable:
        """As `Runner.together`."""
        return self._together(cell)

    async def __call__(self, cell: Cell, on_event: Listener, on_open: Opened) -> Kept:
        """As `run_cell`."""
        return await run_cell(cell, self._connect, on_event, on_open)


async def run_cell(
    cell: Cell,
    connect: Connect,
    on_event: Listener = lambda event: None,
    on_open: Callable[[Run], None] = lambda run: None,
) -> Kept:
    """The finished run of `cell`, run now unless it is there already.

    Args:
        cell: what to run, and where to.
        connect: from a configuration to a connected scorer.
        on_event: called with every event as it happens; with none for a run that is there already.
        on_open: called with the run before it starts, for whoever may have to halt it.

    Raises:
        ConfigError: as `find_cell`.
        BdplError: as `Run.open` and `Run.events`.
    """
    if (there := find_cell(cell)) is not None:
        return there
    cut_off = exists(cell.out / "run.toml")  # a run of this very cell
    with RunDir(cell.out, cell.config, resumed=cut_off) as folder:
        async with (
            connect(cell.config) as scorer,
            opened(cell.config, scorer, PATIENCE) as (cache, group),
        ):
            run = await Run.open(cell.task, scorer, cache=cache, group=group, folder=folder)
            on_open(run)
            await follow(run, folder, on_event)
    return read_run(cell.out)


def find_cell(cell: Cell) -> Kept | None:
    """The finished run of `cell`, if it is there already; a look, and nothing is asked.

    Raises:
        ConfigError: the folder holds a run of another configuration, or on other data, or files
            that were changed.
    """
    if not exists(cell.out / "run.toml"):
        return None
    _refuse_other(cell)
    if not finished(cell.out):
        return None
    kept = read_run(cell.out)
    if not same_data(kept, cell.task):
        raise ConfigError(f"{cell.out}: holds a run on other data", hint=HINT)
    return kept


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
            hint=HINT,
        )


@contextmanager
def naming(where: str) -> Iterator[None]:
    """Put `where` before the message of an error of ours."""
    try:
        yield
    except BdplError as error:
        raise type(error)(f"{where}: {error.args[0]}", hint=error.hint) from None
