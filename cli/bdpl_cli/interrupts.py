"""Ctrl-C, SIGTERM, a closed terminal: the first ends in good order, the second at once."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import TypeVar

from bdpl_cli.stderr import say

__all__ = ["INTERRUPTED", "Interrupt", "finish"]

INTERRUPTED = 130
TOGETHER = 0.05  # seconds in which two signals are one, as `timeout` sends them
T = TypeVar("T")


def finish(work: Coroutine[object, object, T]) -> T:
    """Run to the end.

    Raises:
        KeyboardInterrupt: a signal ended it before there was anything to save.
    """
    try:
        import asyncio  # here, for it would take a tenth of the time of every --help

        try:
            return asyncio.run(work)
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None
    finally:
        work.close()  # a signal may come before it has begun


class Interrupt:
    """Watches for signals from when it is made, inside a running event loop.

    Attributes:
        halt: what the first signal calls; until there is something to save, it cancels the task.
        saved: where what is known is kept, for the person who pressed the key.
        onward: the command that goes on with it.
        unsaved: said as long as nothing is saved.
        leaving: called before the second signal ends the process; it may come in the middle of
            anything.
    """

    def __init__(self, unsaved: str = "") -> None:
        import asyncio

        task = asyncio.current_task()
        assert task is not None  # noqa: S101  made inside a coroutine
        self.halt: Callable[[], object] = task.cancel
        self.saved = self.onward = ""
        self.unsaved = unsaved
        self.leaving: Callable[[], object] = lambda: None
        self._loop = asyncio.get_running_loop()
        self._since: float | None = None
        self._watched = _watched()
        for number in self._watched:
            self._watch(number)

    @property
    def asked(self) -> bool:
        """Whether a first signal came, and so whether it was said how to go on."""
        return self._since is not None

    def first(self) -> None:
        """Stop sending, and leave at once when a signal comes again."""
        if self._since is not None:
            return
        self._since = time.monotonic()
        for number in self._watched:
            with suppress(NotImplementedError):
                self._loop.remove_signal_handler(number)
            signal.signal(number, self._again)
        kept = f"what is known is saved in {self.saved}" if self.saved else self.unsaved
        told = [f"bdpl-async: stopping{'; ' * bool(kept)}{kept}"]
        if self.onward:
            told.append(f"  go on with: {self.onward}")
        say(*told)
        self.halt()

    def _watch(self, number: signal.Signals) -> None:
        try:
            self._loop.add_signal_handler(number, self.first)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: self._loop.call_soon_threadsafe(self.first))

    def _again(self, number: int, frame: object) -> None:
        """Leave, but not for an echo of the first: a closed terminal says so more than once."""
        since = self._since or 0.0
        if number in (signal.SIGINT, signal.SIGTERM) and time.monotonic() - since >= TOGETHER:
            self._leave()

    def _leave(self) -> None:
        """A thread that is busy with a model would hold up a tidy exit."""
        try:
            self.leaving()
        finally:
            os._exit(INTERRUPTED)


def _watched() -> list[signal.Signals]:
    """Those that end us; not the closing of the terminal, where nohup has us outlive it."""
    found = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        found.append(signal.SIGHUP)
    return found
