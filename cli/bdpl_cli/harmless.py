"""A listener that can do no harm: if it fails, what it listens to goes on."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Generic, TypeVar

from bdpl_cli.stderr import mishap, say
from bdpl_cli.stdout import silence

__all__ = ["Harmless"]

GONE = (errno.EPIPE, errno.EIO)  # no reader, no terminal
T = TypeVar("T")


class Harmless(Generic[T]):
    """Shows what it is told on standard output, until that fails.

    Args:
        show: may fail.
        closed: called once, when nobody reads standard output any more.
    """

    def __init__(self, show: Callable[[T], None], closed: Callable[[], object]) -> None:
        self._show, self._closed = show, closed
        self._failure: Exception | None = None

    def __call__(self, item: T) -> None:
        """Show it, if that still works."""
        if self._failure is not None:
            return
        try:
            self._show(item)
        except Exception as error:
            self._failure = error
            if isinstance(error, OSError):
                silence()
                if error.errno in GONE:
                    self._closed()

    def settle(self) -> None:
        """When all is over and saved, say what went wrong.

        Raises:
            OSError: standard output took no more, though somebody may have wanted to read it.
        """
        match self._failure:
            case None:
                return
            case OSError(errno=number) as error:
                if number not in GONE:
                    raise error
            case error:
                say(mishap(error))
