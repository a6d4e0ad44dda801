"""Cells run on a cluster as they run here: each in a worker, again if that is lost."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Hashable
from contextlib import aclosing
from pathlib import Path
from typing import Final

from bdpl_async import __version__
from bdpl_async.config import Config
from bdpl_async.data.textfile import exists
from bdpl_async.elsewhere.cluster import Cluster, Lost
from bdpl_async.elsewhere.mirror import put, whole
from bdpl_async.elsewhere.parcels import Broke, Files, Heard, Job, Opened, Parcel, Stands
from bdpl_async.errors import BdplError, ProviderUnavailable
from bdpl_async.events import Event
from bdpl_async.halt import Stopped
from bdpl_async.kept import Kept, read_run
from bdpl_async.pulse import Pulse
from bdpl_async.saving.claim import Claim
from bdpl_async.studies.cells import Cell, Watched, find_cell
from bdpl_async.studies.sidebyside import server_of

__all__ = ["Remote"]

TRIES: Final = 5  # of a cell whose worker is lost each time
LOCAL: Final = "roberta/"


class Remote:
    """Runs a cell on a cluster.

    Args:
        cluster: which.
        connect: MODULE:FUNCTION, from a configuration to a connected scorer.
        threads: that a model in a worker computes with.
    """

    def __init__(self, cluster: Cluster, connect: str, threads: int = 1) -> None:
        self._cluster = cluster
        self._connect = connect
        self._threads = threads

    @property
    def most(self) -> int:
        """So many that a worker that is free never waits for the next one."""
        return 2 * self._cluster.cores

    def together(self, cell: Cell) -> Hashable:
        """Limits are an account's: cells that keep to some alone come one after another."""
        model, shared = cell.config.model, cell.config.group.name is not None
        limited = not shared and (model.rpm is not None or model.tpm is not None)
        return server_of(cell.config) if limited else cell.out

    async def __call__(
        self, cell: Cell, on_event: Callable[[Event], None], on_open: Callable[[Watched], None]
    ) -> Kept:
        """The finished run of `cell`, as `bdpl_async.studies.cells.run_cell` gives it.

        Raises:
            ProviderUnavailable: worker after worker was lost.
            BdplError: as `run_cell`.
            Stopped: it was asked to stop before it had begun.
        """
        if (there := find_cell(cell)) is not None:
            return there
        for left in range(TRIES - 1, -1, -1):
            try:
                await self._tried(cell, on_event, on_open)
                break
            except Lost as error:
                if not left:
                    raise ProviderUnavailable(
                        f"{TRIES} workers of the Ray cluster were lost one after another: {error}",
                        hint="see the cluster's own log; the same command goes on",
                    ) from None
        if not exists(cell.out / "result.json"):
            raise Stopped
        return read_run(cell.out)

    async def _tried(
        self, cell: Cell, on_event: Callable[[Event], None], on_open: Callable[[Watched], None]
    ) -> None:
        token = _token(cell.out.parent)
        far = _Far(self._cluster, cell.out, on_event, on_open)
        job = Job(cell, self._connect, __version__, token, whole(cell.out))
        try:
            async with aclosing(self._cluster.parcels(job, **self._needs(cell.config))) as parcels:
                async for parcel in parcels:
                    far.take(parcel)
        finally:
            far.close()
            token[0].unlink(missing_ok=True)
        if far.failed is not None:
            raise far.failed

    def _needs(self, config: Config) -> dict[str, float]:
        """Cores and GPUs of a worker that runs this."""
        if not config.model.name.startswith(LOCAL) or config.model.workers is not None:
            return {"cores": 1, "gpus": 0}
        gpu = (config.model.device or "").startswith("cuda")
        return {"cores": min(self._threads, self._cluster.cores), "gpus": int(gpu)}


class _Far:
    """A run that is elsewhere, for whoever looks at it or stops it; and what is sent of it."""

    def __init__(
        self,
        cluster: Cluster,
        out: Path,
        on_event: Callable[[Event], None],
        on_open: Callable[[Watched], None],
    ) -> None:
        self.failed: BdplError | None = None
        self._cluster = cluster
        self._out = out
        self._on_event = on_event
        self._on_open = on_open
        self._last: Pulse | None = None
        self._claim: Claim | None = None

    def take(self, parcel: Parcel) -> None:
        """Pass on, or write down, what was sent."""
        match parcel:
            case Opened():
                self._on_open(self)
            case Stands(pulse):
                self._last = pulse
            case Heard(event):
                self._on_event(event)
            case Files(changes):
                self._claim = self._claim or Claim(self._out)
                put(self._out, changes)
            case Broke(error):
                self.failed = error  # and its end is near: nobody cuts it off

    def close(self) -> None:
        """Leave its folder."""
        if self._claim is not None:
            self._claim.close()

    def pulse(self) -> Pulse | None:
        """How it stood when it last said so."""
        return self._last

    def halt(self) -> None:
        """Stop it, and with it all others."""
        self._cluster.ring()


def _token(folder: Path) -> tuple[Path, str]:
    """A file by which a worker sees whether it has this very folder."""
    said = secrets.token_hex(16)
    path = folder / f".ray-{secrets.token_hex(4)}"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(said)
    return path, said
