"""A Ray cluster: one that runs already, or one of this machine, started and ended with us."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from types import TracebackType
from typing import Any, Self

from bdpl_async.elsewhere.parcels import Job, Parcel
from bdpl_async.elsewhere.reach import Reach
from bdpl_async.errors import ConfigError

__all__ = ["Cluster", "Lost"]


class Lost(Exception):
    """Raised when the machine or process that ran a cell is gone; the cell may be run again."""


class Cluster:
    """Runs jobs, as many at a time as it has room for.

    Args:
        address: of a cluster; None takes ``RAY_ADDRESS``, else this machine alone.
        threads: that a model in a worker computes with; None leaves it to Ray.

    Raises:
        ConfigError: Ray is not installed.
    """

    def __init__(self, address: str | None = None, threads: int | None = None) -> None:
        self._reach = Reach("--executor ray", address, threads)
        self._ray = self._reach.ray
        self._bell: Any = None
        self._work: Any = None

    def __enter__(self) -> Self:
        """Reach it, or start it.

        Raises:
            ConfigError: it cannot be reached, or is of another version.
        """
        self._reach.__enter__()
        node = self._ray.get_runtime_context().get_node_id()
        affinity = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        here = {"num_cpus": 0, "scheduling_strategy": affinity(node, soft=False)}
        self._bell = self._ray.remote(_Bell).options(**here, max_concurrency=64).remote()
        self._work = self._ray.remote(_worked)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave it; one that we started ends."""
        self._reach.__exit__(kind, error, trace)

    @property
    def there(self) -> bool:
        """Whether it runs already, or is ours to start."""
        return self._reach.there

    @property
    def cores(self) -> int:
        """Of all its machines."""
        return self._reach.cores

    def ring(self) -> None:
        """Ask all jobs to stop."""
        if self._bell is not None:
            self._bell.ring.remote()

    async def parcels(self, job: Job, *, cores: float, gpus: float) -> AsyncGenerator[Parcel]:
        """Run a job somewhere, and give what it sends; who closes it early ends the job.

        Raises:
            Lost: where it ran is gone.
            ConfigError: our own code is not there.
        """
        options = {"num_cpus": cores, "num_gpus": gpus, "max_retries": 0}
        stream = self._work.options(num_returns="streaming", **options).remote(job, self._bell)
        try:
            async for ref in stream:
                yield await ref
        except (GeneratorExit, asyncio.CancelledError):
            # only a task that is at work: to cancel one that Ray has given up can crash Ray
            # in this process (its check "tried to complete task that was not pending")
            self._ray.cancel(stream, force=True)
            raise
        except self._ray.exceptions.RayTaskError as error:
            raise _explained(error) from None
        except self._ray.exceptions.RayError as error:
            raise Lost(str(error).strip().splitlines()[0][:200]) from None


class _Bell:
    """Rings when all are to stop; an actor on the driver's machine."""

    def __init__(self) -> None:
        self._rung = False

    async def ring(self) -> None:
        """Stop."""
        self._rung = True

    async def rung(self) -> bool:
        """Whether to stop."""
        return self._rung


def _worked(job: Job, bell: Any) -> Iterator[Parcel]:
    """The Ray task."""
    from bdpl_async.elsewhere.worker import work

    async def asked() -> bool:
        return bool(await bell.rung.remote())

    yield from work(job, asked)


def _explained(error: Exception) -> Exception:
    """A task's own error: ours where our code was not found, else a defect, as it is."""
    cause = error.__cause__ or error
    if isinstance(cause, ModuleNotFoundError):
        return ConfigError(
            f"--executor ray: a machine of the cluster has no {cause.name}",
            hint="install the same release of bdpl-async on all machines of the cluster",
        )
    return error
