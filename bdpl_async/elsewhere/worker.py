"""What runs in a Ray worker: one cell, in the folder that was meant or in one that is mirrored."""

from __future__ import annotations

import asyncio
import queue
import tempfile
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Final, cast

from bdpl_async import __version__
from bdpl_async.elsewhere.mirror import Mirror, put
from bdpl_async.elsewhere.parcels import Broke, Files, Heard, Job, Opened, Parcel, Stands
from bdpl_async.errors import BdplError, ConfigError
from bdpl_async.events import Event
from bdpl_async.run import Run
from bdpl_async.saving.claim import Busy, Claim
from bdpl_async.studies.cells import Connect, run_cell

__all__ = ["work"]

LEAVE: Final = 60.0  # seconds
LOOK: Final = 0.5  # seconds between two looks at the bell, the run and its folder
Asked = Callable[[], Awaitable[bool]]
Send = Callable[[Parcel], None]


def work(job: Job, asked: Asked) -> Iterator[Parcel]:
    """Run a cell, or go on with it, and say what happens.

    Args:
        job: which.
        asked: whether it is to stop, as far as is known.
    """
    parcels: queue.SimpleQueue[Parcel | BaseException | None] = queue.SimpleQueue()

    def worked() -> None:
        try:
            asyncio.run(_Worker(job, asked, parcels.put).run())
        except BaseException as error:  # raised below, where somebody hears of it
            parcels.put(error)
        finally:
            parcels.put(None)

    thread = threading.Thread(target=worked, name="bdpl-cell")
    thread.start()
    while (parcel := parcels.get()) is not None:
        if isinstance(parcel, BaseException):
            raise parcel
        yield parcel
    thread.join()


class _Worker:
    """One cell's."""

    def __init__(self, job: Job, asked: Asked, send: Send) -> None:
        self._job, self._asked, self._send = job, asked, send
        self._run: Run | None = None
        self._mirror: Mirror | None = None

    async def run(self) -> None:
        """Run it and send what it says; errors of ours are sent as well."""
        try:
            if self._job.version != __version__:
                raise ConfigError(
                    f"--executor ray: bdpl-async {__version__} there, {self._job.version} here",
                    hint="install the same release on all machines of the cluster",
                )
            with self._folder() as folder:
                await _free(folder)
                await self._work_in(folder)
        except BdplError as error:
            self._send(Broke(error.with_traceback(None)))

    async def _work_in(self, folder: Path) -> None:
        cell = replace(self._job.cell, out=folder)
        going = asyncio.create_task(run_cell(cell, self._connect(), self._heard, self._opened))
        looking = asyncio.create_task(self._look(going))
        try:
            await going
        except asyncio.CancelledError:
            if not going.cancelled():  # it is we who were cancelled
                going.cancel()
                raise
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
            self._look_at_files()

    @contextmanager
    def _folder(self) -> Iterator[Path]:
        """Where to work: where the driver meant, if this machine has that."""
        token, said = self._job.token
        with suppress(OSError, UnicodeDecodeError):
            if token.read_text("utf-8") == said:
                yield self._job.cell.out
                return
        with tempfile.TemporaryDirectory(prefix="bdpl-") as name:
            folder = Path(name) / self._job.cell.out.name
            folder.mkdir(mode=0o700)
            put(folder, self._job.left)
            self._mirror = Mirror(folder)
            yield folder

    def _connect(self) -> Connect:
        module, _, function = self._job.connect.partition(":")
        return cast(Connect, getattr(import_module(module), function))

    def _opened(self, run: Run) -> None:
        self._run = run
        self._send(Opened())

    def _heard(self, event: Event) -> None:
        self._look_at_files()
        self._send(Heard(event))

    async def _look(self, going: asyncio.Task[object]) -> None:
        """Say how the run stands, and stop it once that is asked for."""
        stopping = False
        while True:
            if not stopping and await self._asked():
                stopping = True
                if self._run is None:
                    going.cancel()
                else:
                    self._run.gate.halt()
            if self._run is not None:
                self._send(Stands(self._run.pulse()))
            self._look_at_files()
            await asyncio.sleep(LOOK)

    def _look_at_files(self) -> None:
        if self._mirror is not None and (changes := self._mirror.changes()):
            self._send(Files(changes))


async def _free(folder: Path) -> None:
    """Wait until a worker that was given up has left the folder: it may outlive its node a little.

    Raises:
        ConfigError: the folder cannot be written, or somebody stays there.
    """
    for left in range(round(LEAVE / LOOK), -1, -1):
        try:
            Claim(folder).close()
            return
        except Busy:
            if not left:
                raise
        await asyncio.sleep(LOOK)
