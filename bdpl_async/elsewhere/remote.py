"""Cells run on a cluster as they run here: each in a worker, again if that is lost."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Final

from bdpl_async import __version__
from bdpl_async.config import Config
from bdpl_async.data.textfile import exists
from bdpl_async.elsewhere.cluster import Cluster, Lost
from bdpl_async.elsewhere.mirror import put, whole
from bdpl_async.elsewhere.parcels import Broke, Files, Heard, Job, Opened, Stands
from bdpl_async.errors import ProviderUnavailable
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
        far = _Far(self._cluster)
        token = _token(cell.out.parent)
        claim: Claim | None = None
        job = Job(cell, self._connect, __version__, token, whole(cell.out))
        try:
            async for parcel in self._cluster.parcels(job, **self._needs(cell.config)):
                match parcel:
                    case Opened():
                        on_open(far)
                    case Stands(pulse):
                        far.last = pulse
                    case Heard(event):
                        on_event(event)
                    case Files(changes):
                        claim = claim or Claim(cell.out)
                        put(cell.out, changes)
                    case Broke(error):
                        raise error
        finally:
            if claim is not None:
                claim.close()
            token[0].unlink(missing_ok=True)

    def _needs(self, config: Config) -> dict[str, float]:
        """Cores and GPUs of a worker that runs this."""
        if not config.model.name.startswith(LOCAL) or config.model.workers is not None:
            return {"cores": 1, "gpus": 0}
        gpu = (config.model.device or "").startswith("cuda")
        return {"cores": min(self._threads, self._cluster.cores), "gpus": int(gpu)}


class _Far:
    """A run that is elsewhere, for whoever looks at it or stops it."""

    def __init__(self, cluster: Cluster) -> None:
        self.last: Pulse | None = None
        self._cluster = cluster

    def pulse(self) -> Pulse | None:
        """How it stood when it last said so."""
        return self.last

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
