"""Ray itself: reached where it runs, or started on this machine and ended with us; quietly."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final, Self

from bdpl_async.errors import ConfigError

__all__ = ["Reach"]

WAIT: Final = 15  # seconds to reach a cluster
QUIET: Final = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


class Reach:
    """A context in which Ray can be used; one that is in use already is left as it is.

    Args:
        setting: what asks for it, for messages.
        address: of a cluster; None takes ``RAY_ADDRESS``, else this machine alone.
        threads: that a model in a worker computes with; None leaves it to Ray.

    Raises:
        ConfigError: Ray is not installed.

    Attributes:
        ray: the module.
    """

    def __init__(
        self, setting: str, address: str | None = None, threads: int | None = None
    ) -> None:
        self._setting = setting
        self._address = address or os.environ.get("RAY_ADDRESS") or None
        self._threads = threads
        self._ours = False
        try:
            import ray
        except ImportError:
            hint = "pip install 'bdpl-async[ray]'"
            raise ConfigError(f"{setting}: needs the package ray", hint=hint) from None
        self.ray: Any = ray

    def __enter__(self) -> Self:
        """Reach it, or start it.

        Raises:
            ConfigError: it cannot be reached, or is of another version.
        """
        if self.ray.is_initialized():
            return self
        self._knock()
        with _quietly():
            try:
                self._init()
            except Exception as error:  # Ray raises of everything here; each is told, none goes on
                first = (str(error) or type(error).__name__).strip().splitlines()[0][:300]
                where = f"the Ray cluster at {self._address}" if self._address else "Ray"
                raise ConfigError(
                    f"{self._setting}: {where} cannot be used: {first}",
                    hint="see that it runs, with the same releases of Ray and Python as here; if it"
                    " asks for a token, set RAY_AUTH_MODE=token",
                ) from None
        self._ours = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave it; one that we started ends."""
        if self._ours:
            self._ours = False
            with _quietly():
                self.ray.shutdown()

    @property
    def there(self) -> bool:
        """Whether it runs already, or is ours to start."""
        return self._address is not None or bool(self.ray.is_initialized())

    @property
    def cores(self) -> int:
        """Of all its machines."""
        return max(1, int(self.ray.cluster_resources().get("CPU", 1)))

    @property
    def gpus(self) -> int:
        """Of all its machines."""
        return int(self.ray.cluster_resources().get("GPU", 0))

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
            raise ConfigError(
                f"{self._setting}: {self._address!r} is not of a Ray cluster", hint=hint
            )
        try:
            socket.create_connection((host.strip("[]"), int(port)), WAIT).close()
        except (OSError, OverflowError) as error:
            where = f"the Ray cluster at {self._address}"
            raise ConfigError(
                f"{self._setting}: {where} cannot be reached: {error}", hint=hint
            ) from None

    def _init(self) -> None:
        environment = {} if self._threads is None else {"OMP_NUM_THREADS": str(self._threads)}
        alone: dict[str, Any] = {} if self._address else {"include_dashboard": False}
        self.ray.init(
            address=self._address or "local",
            runtime_env={"env_vars": environment} if environment else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
            configure_logging=True,
            **alone,
        )


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
