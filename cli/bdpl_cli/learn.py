"""One run in front of a person: its signals, its screen, its folder; new, or taken up again."""

from __future__ import annotations

import shlex
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bdpl_cli.interrupts import Interrupt
from bdpl_cli.stderr import say

if TYPE_CHECKING:
    from bdpl_async.caching.cache import Cache
    from bdpl_async.channel import Channel
    from bdpl_async.result import Result
    from bdpl_async.run import Run
    from bdpl_async.rundir import RunDir
    from bdpl_async.task import Task

__all__ = ["UNSAVED", "learn", "onward"]

LOST = "were not saved"  # of a cache's trouble, once it is closed
UNSAVED = "the run had not begun, so there is nothing to go on with"


def onward(out: Path) -> str:
    """The command that goes on with the run in a folder."""
    return f"bdpl-async resume {shlex.quote(str(out))}"


async def learn(task: Task, out: Path, *, resumed: bool = False) -> Result:
    """Run, and say what a person should know meanwhile.

    Args:
        task: with its whole configuration.
        out: RUN_DIR.
        resumed: a run stands there, and goes on.

    Raises:
        BdplError: as `Run.open` and `follow`.
    """
    from bdpl_async.run import Run
    from bdpl_async.rundir import RunDir
    from bdpl_async.tuning import follow, opened
    from bdpl_cli.connecting import connected
    from bdpl_cli.views import watching
    from bdpl_cli.waiting import loading, telling

    interrupt = Interrupt(UNSAVED)

    @asynccontextmanager
    async def probing(channel: Channel) -> AsyncIterator[None]:
        _saved(interrupt, out)  # from here on
        interrupt.halt = channel.halt.ask
        async with telling(channel):
            with _cancelling():
                yield

    with RunDir(out, task.config, resumed=resumed) as folder, _advising(folder, interrupt):
        async with AsyncExitStack() as stack:
            async with loading(task.config.model.name):
                scorer = await stack.enter_async_context(connected(task.config))
            cache, group = await stack.enter_async_context(opened(task.config, scorer))
            run = await Run.open(
                task, scorer, cache=cache, group=group, probing=probing, folder=folder
            )
            interrupt.halt, ui = run.gate.halt, task.config.run.ui
            listener = await stack.enter_async_context(watching(ui, out, run.pulse, interrupt))
            result = await follow(run, folder, listener)
        _say_lost(cache, run)
    return result


def _say_lost(cache: Cache | None, run: Run) -> None:
    """Say what a cache that is closed could not write, and why, if that was not said before."""
    from bdpl_cli.plaintext import clean

    if cache is None or (trouble := cache.trouble) is None or LOST not in trouble:
        return
    told = any(map(trouble.startswith, run.troubles))
    what = f"the cache: {trouble.rpartition('; ')[2]}" if told else trouble
    say(f"bdpl-async: {clean(what)}")


@contextmanager
def _cancelling() -> Iterator[None]:
    """A probe that was asked to stop, and kept what was in flight, ends as if it were cancelled."""
    from asyncio import CancelledError

    from bdpl_async.halt import Stopped

    try:
        yield
    except Stopped:
        raise CancelledError from None


@contextmanager
def _advising(folder: RunDir, interrupt: Interrupt) -> Iterator[None]:
    """Say how to go on where an error ended a run; a signal's own words have said it."""
    from bdpl_async.errors import BdplError, StorageError, UsageError

    if folder.resumed:
        _saved(interrupt, folder.path)
    try:
        yield
    except BdplError as error:
        told = isinstance(error, UsageError | StorageError) or interrupt.asked
        if folder.unfinished and not told:
            say(f"bdpl-async: what is known is saved; go on with: {onward(folder.path)}")
        raise


def _saved(interrupt: Interrupt, out: Path) -> None:
    from bdpl_cli.plaintext import clean

    interrupt.saved, interrupt.onward = clean(str(out)), clean(onward(out))
