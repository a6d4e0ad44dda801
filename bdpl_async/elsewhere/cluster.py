"""A Ray cluster: one that runs already, or one of this machine, started and ended with us."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from bdpl_async.elsewhere.parcels import Job, Parcel
from bdpl_async.errors import ConfigError

if TYPE_CHECKING:
    from ray import ObjectRef

__all__ = ["Cluster", "Lost"]

REACH: Final = 15  # seconds to reach a cluster
QUIET: Final = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


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
        self._address = address or os.environ.get("RAY_ADDRESS") or None
        self._threads = threads
        self._bell: Any = None
        self._work: Any = None
        try:
            import ray
        except ImportError:
            raise ConfigError(
                "--executor ray: needs the package ray", hint="pip install 'bdpl-async[ray]'"
            ) from None
        self._ray: Any = ray

    def __enter__(self) -> Self:
        """Reach it, or start it.

        Raises:
            ConfigError: it cannot be reached, or is of another version.
        """
        self._knock()
        with _quietly():
            try:
                self._init()
            except Exception as error:  # Ray raises of everything here; each is told, none goes on
                first = (str(error) or type(error).__name__).strip().splitlines()[0][:300]
                where = f"the Ray cluster at {self._address}" if self._address else "Ray"
                raise ConfigError(
                    f"--address: {where} cannot be used: {first}",
                    hint="see that it runs, with the same releases of Ray and Python as here",
                ) from None
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
        with _quietly():
            self._ray.shutdown()

    @property
    def there(self) -> bool:
        """Whether it runs already, or is ours to start."""
        return self._address is not None or self._ray.is_initialized()

    @property
    def cores(self) -> int:
        """Of all its machines."""
        return max(1, int(self._ray.cluster_resources().get("CPU", 1)))

    def ring(self) -> None:
        """Ask all jobs to stop."""
        if self._bell is not None:
            self._bell.ring.remote()

    async def parcels(self, job: Job, *, cores: float, gpus: float) -> AsyncIterator[Parcel]:
        """Run a job somewhere, and give what it sends.

        Raises:
            Lost: where it ran is gone.
            ConfigError: our own code is not there.
        """
        options = {"num_cpus": cores, "num_gpus": gpus, "max_retries": 0}
        stream = self._work.options(num_returns="streaming", **options).remote(job, self._bell)
        done = False
        try:
            async for ref in stream:
                yield await ref
            done = True
        except self._ray.exceptions.RayTaskError as error:
            raise _explained(error) from None
        except self._ray.exceptions.RayError as error:
            raise Lost(str(error).strip().splitlines()[0][:200]) from None
        finally:
            if not done:
                self._ray.cancel(stream, force=True)

    def _knock(self) -> None:
        """See whether anybody is there: Ray itself tries for minutes, and then ends the process.

        Raises:
            ConfigError: nobody is.
        """
        if not self._address or self._address == "auto":
            return
        host, _, port = self._address.rpartition(":")
        hint = "give HOST:PORT of its head, as `ray start --head` says it"
        if not host or not port.isdecimal() or "/" in host:
            raise ConfigError(f"--address: {self._address!r} is not of a Ray cluster", hint=hint)
        try:
            socket.create_connection((host.strip("[]"), int(port)), REACH).close()
        except (OSError, OverflowError) as error:
            where = f"the Ray cluster at {self._address}"
            raise ConfigError(f"--address: {where} cannot be reached: {error}", hint=hint) from None

    def _init(self) -> None:
        environment = {} if self._threads is None else {"OMP_NUM_THREADS": str(self._threads)}
        alone: dict[str, Any] = {} if self._address else {"include_dashboard": False}
        self._ray.init(
            address=self._address or "local",
            runtime_env={"env_vars": environment} if environment else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
            configure_logging=True,
            **alone,
        )


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
        ref: ObjectRef[bool] = bell.rung.remote()
        return await ref

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


@contextmanager
def _quietly() -> Iterator[None]:
    """Ray's own talk of what it starts goes nowhere; what is wrong is raised."""
    before: Mapping[str, str | None] = {name: os.environ.get(name) for name in QUIET}
    handlers = {sign: signal.getsignal(sign) for sign in (signal.SIGINT, signal.SIGTERM)}
    os.environ.update(QUIET)
    logging.getLogger("ray").setLevel(logging.ERROR)
    sys.stderr.flush()
    try:
        yield
    finally:
        for sign, handler in handlers.items():  # Ray takes them over
            if signal.getsignal(sign) is not handler:
                signal.signal(sign, handler)
                signal.siginterrupt(sign, False)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
