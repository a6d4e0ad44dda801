"""One timer for many time-outs of the same length.

`asyncio.timeout` sets and cancels a timer for each request, which costs more than the rest of our
own work on it. Deadlines of one length pass in the order in which they were set, so one timer at
a time, for the oldest, is enough, and as exact.
"""

from __future__ import annotations

import asyncio

__all__ = ["Deadlines"]


class Deadlines:
    """Cancels tasks that take longer than `seconds`.

        mark = deadlines.begin()
        try:
            await work()
        except asyncio.CancelledError:
            if not deadlines.passed(mark):
                raise  # somebody else's cancellation
            ...  # too late
        finally:
            deadlines.end(mark)

    A task has one mark at a time.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._due: dict[asyncio.Task[object], float] = {}  # oldest first
        self._late: dict[asyncio.Task[object], int] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> asyncio.Task[object]:
        """Set the current task's deadline."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  called from a coroutine
        loop = task.get_loop()
        self._due[task] = when = loop.time() + self.seconds
        if self._timer is None:
            self._timer = loop.call_at(when, self._ring, loop)
        return task

    def end(self, mark: asyncio.Task[object]) -> None:
        """Take the deadline away."""
        self._due.pop(mark, None)
        self._late.pop(mark, None)

    def passed(self, mark: asyncio.Task[object]) -> bool:
        """Whether the cancellation that the task has just met is its deadline's, and only that."""
        before = self._late.pop(mark, None)
        return before is not None and mark.uncancel() <= before

    def _ring(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now = loop.time()
        while self._due:
            task, when = next(iter(self._due.items()))
            if when > now:
                self._timer = loop.call_at(when, self._ring, loop)
                return
            del self._due[task]
            self._late[task] = task.cancelling()
            task.cancel()
