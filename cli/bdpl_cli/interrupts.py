"""Ctrl-C and SIGTERM: the first ends in good order, the second at once."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import TypeVar

__all__ = ["INTERRUPTED", "Interrupt", "finish"]

INTERRUPTED = 130
T = TypeVar("T")


def finish(work: Coroutine[object, object, T]) -> T:
    """Run to the end.

    Raises:
        KeyboardInterrupt: a signal ended it before there was anything to save.
    """
    import asyncio  # here, for it would take a tenth of the time of every --help

    try:
        return asyncio.run(work)
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


class Interrupt:
    """Watches for both signals from when it is made, inside a running event loop.

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
        for number in (signal.SIGINT, signal.SIGTERM):
            self._watch(number)

    def first(self) -> None:
        """Stop sending, and leave at once when a signal comes again."""
        for number in (signal.SIGINT, signal.SIGTERM):
            with suppress(NotImplementedError):
                self._loop.remove_signal_handler(number)
            # A thread that is busy with a model would hold up a tidy exit.
            signal.signal(number, lambda *_: self._leave())
        kept = f"what is known is saved in {self.saved}" if self.saved else self.unsaved
        told = [f"bdpl-async: stopping{'; ' * bool(kept)}{kept}"]
        if self.onward:
            told.append(f"  go on with: {self.onward}")
        with suppress(OSError):  # whoever would read it may be gone
            print(*told, sep="\n", file=sys.stderr, flush=True)
        self.halt()

    def _watch(self, number: signal.Signals) -> None:
        try:
            self._loop.add_signal_handler(number, self.first)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: self._loop.call_soon_threadsafe(self.first))

    def _leave(self) -> None:
        try:
            self.leaving()
        finally:
            os._exit(INTERRUPTED)
