"""Who is told of every exchange of a channel, and of what its run says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from bdpl_async.events import Event

__all__ = ["Observer"]

Exchange = Callable[[], Awaitable[Any]]


class Observer(Protocol):
    """As `bdpl_async.telemetry.watch.Watch` is one."""

    def __call__(self, exchange: Exchange) -> Exchange:
        """The same exchange, observed whenever it is called."""
        ...

    def hear(self, event: Event) -> None:
        """Take up what the run says."""
        ...

    def close(self) -> None:
        """The run is over."""
        ...
