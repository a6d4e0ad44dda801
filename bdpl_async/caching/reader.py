"""Reading a cache file for a loop that must not stand still with the disk.

A thread reads, and the loop waits for it, no longer than `PATIENCE`: a hop costs 8 us, and a
paid answer is worth a quarter of a second. A read that takes longer is a miss, and until it comes
back the file is not asked again. So a disk that stalls holds the loop once, however long it stalls.
Knows nothing of writing.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue

from bdpl_async.caching.access import may_write
from bdpl_async.caching.cache import Kept
from bdpl_async.caching.opening import TROUBLES, open_to_read, reason_of
from bdpl_async.caching.place import InUse, Place
from bdpl_async.caching.table import Table, Unreadable

__all__ = ["PATIENCE", "REST", "Reader"]

PATIENCE = 0.25  # seconds that the loop waits for a read
BRIEF = 0.05  # the same, for a file that could not be read before
REST = 1.0  # seconds without reading after the file could not be read
GIVE_UP = 2.0  # seconds that others wait for a read to come back


class _Job:
    """One question of the loop, and the answer when `done` can be had."""

    __slots__ = ("done", "error", "found", "keys")

    def __init__(self, keys: Sequence[bytes]) -> None:
        self.keys = keys
        self.found: dict[bytes, Kept] = {}
        self.error: BaseException | None = None
        self.done = threading.Lock()
        self.done.acquire()


class Reader:
    """The connection that reads, and the thread that has it.

    Args:
        place: the file.
        ticks: seconds that only grow.
        damaged: told of a file that must be set aside.
        is_mended: whether none is waiting for that.
    """

    def __init__(
        self,
        place: Place,
        ticks: Callable[[], float],
        damaged: Callable[[Unreadable], None],
        is_mended: Callable[[], bool],
    ) -> None:
        self._place = place
        self._ticks = ticks
        self._damaged = damaged
        self._is_mended = is_mended
        self._using = threading.Lock()  # of the table
        self._table: Table | None = None
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._late: _Job | None = None
        self._trouble: str | None = None
        self._rests_until = 0.0
        self._closed = False

    @property
    def trouble(self) -> str | None:
        """Why nothing is read at present, in one sentence."""
        if self._trouble is None and self._late is not None and self._late.done.locked():
            return (
                f"the cache {self._place.path} does not answer within {PATIENCE} s:"
                " the run goes on without it until it does"
            )
        return self._trouble

    def open(self, patience: float) -> None:
        """Open the file here and now, while nobody asks yet.

        Raises:
            Exception: as `open_to_read`.
        """
        self._table = open_to_read(self._place, patience)
        self._table.wait_at_most(PATIENCE)

    def rest(self, error: Exception) -> None:
        """Leave a file alone for a while that cannot be read."""
        self._rests_until = self._ticks() + REST
        self._trouble = (
            f"the cache {self._place.path} cannot be used ({reason_of(error)}):"
            " answers are kept in memory"
        )

    def read(self, keys: Sequence[bytes]) -> dict[bytes, Kept]:
        """What lies under these keys; what cannot be read in time is as if it were not there."""
        if self._late is not None and not self._late.done.acquire(blocking=False):
            return {}
        self._late = None
        if self._closed or (self._table is None and self._ticks() < self._rests_until):
            return {}
        if not self._is_running():
            return self._found(keys)
        job = _Job(keys)
        self._jobs.put(job)
        if not job.done.acquire(timeout=BRIEF if self._trouble else PATIENCE):
            self._late = job
        elif job.error is not None:
            raise job.error
        return job.found

    def let_go(self) -> None:
        """Close the file; the next read opens it anew.

        Raises:
            InUse: a read has not come back.
        """
        if not self._using.acquire(timeout=GIVE_UP):
            raise InUse("it does not answer")
        try:
            self._drop()
        finally:
            self._using.release()

    def close(self) -> None:
        """End the thread, if it is not waiting for the disk."""
        self._closed = True
        self._jobs.put(None)
        with contextlib.suppress(InUse):
            self.let_go()
        self._trouble = self._late = None

    def _is_running(self) -> bool:
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="bdpl-reads", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # no more threads to be had
                return False
            self._thread = thread
        return True

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job.found = self._found(job.keys)
            except BaseException as error:
                job.error = error
            job.done.release()

    def _found(self, keys: Sequence[bytes]) -> dict[bytes, Kept]:
        with self._using:
            try:
                table = self._opened()
                return {} if table is None else table.read(keys)
            except Unreadable as error:
                self._drop()
                if may_write(self._place.path):
                    self._damaged(error)
                else:
                    self.rest(error)
            except TROUBLES as error:
                self._drop()
                self.rest(error)
        return {}

    def _opened(self) -> Table | None:
        """The table, as it is now where no lock protects it; while it is mended, there is none."""
        if self._table is not None and not self._table.access.steady and not self._table.present:
            self._drop()
        if self._table is None and not self._closed and self._is_mended():
            self._table = open_to_read(self._place, PATIENCE)
            self._trouble = None
        return self._table

    def _drop(self) -> None:
        if self._table is not None:
            self._table.close()
            self._table = None
