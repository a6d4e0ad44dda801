"""``--executor ray``: where the runs of a sweep or a comparison run."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from bdpl_async.config import Config
    from bdpl_async.studies.cells import Runner

__all__ = ["Place", "refuse_address", "running", "threads_of"]

CONNECT: Final = "bdpl_cli.connecting:connected"


def refuse_address(executor: str, address: str | None) -> None:
    """See to it that every option that was given has an effect, before anything is sent.

    Raises:
        ConfigError: an address, and no cluster is asked for; or Ray is not installed.
    """
    from bdpl_async.elsewhere.cluster import Cluster
    from bdpl_async.errors import ConfigError

    if executor == "ray":
        Cluster(address)
    elif address is not None:
        raise ConfigError("--address: of a Ray cluster", hint="add --executor ray")


class Place(NamedTuple):
    """Where runs run, and who watches.

    Attributes:
        executor: local or ray.
        address: of a Ray cluster; None takes the environment's, else starts one here.
        telemetry: as ``run.telemetry`` says it, of all of them.
    """

    executor: str = "local"
    address: str | None = None
    telemetry: str | None = None

    def words(self) -> list[str]:
        """The options that say so."""
        options = {"--address": self.address, "--telemetry": self.telemetry}
        if self.executor != "local":
            options = {"--executor": self.executor, **options}
        return [word for name, value in options.items() if value for word in (name, value)]


@asynccontextmanager
async def running(place: Place, configs: Sequence[Config]) -> AsyncIterator[Runner | None]:
    """What runs them; None for this process. Watched as long as the context is open.

    Args:
        place: where.
        configs: of what is to be run.

    Raises:
        ConfigError: the cluster cannot be used, a budget group cannot be asked, or nobody can
            watch.
    """
    from bdpl_async.sharing.grants import refuse_absent
    from bdpl_async.telemetry.exporting import exporting

    await refuse_absent(configs)
    async with exporting(place.telemetry):
        with _on(place, configs) as runner:
            yield runner


@contextmanager
def _on(place: Place, configs: Sequence[Config]) -> Iterator[Runner | None]:
    if place.executor != "ray":
        yield None
        return
    from bdpl_async.elsewhere.cluster import Cluster
    from bdpl_async.elsewhere.remote import Remote
    from bdpl_cli.stderr import say

    threads = next((n for config in configs if (n := threads_of(config)) is not None), None)
    cluster = Cluster(place.address, threads)
    if not cluster.there:
        say("bdpl-async: starting Ray on this machine")
    with cluster:
        yield Remote(cluster, CONNECT, threads or 1)


def threads_of(config: Config) -> int | None:
    """Threads that a model in this process would compute with; None where none would.

    The same number elsewhere gives the same bits.
    """
    if not config.model.name.startswith("roberta/"):
        return None
    if (given := os.environ.get("OMP_NUM_THREADS", "")).isdecimal():
        return int(given)
    import torch

    return torch.get_num_threads()
