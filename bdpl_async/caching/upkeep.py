"""What a cache file needs after rows were written, in a thread of its own: no batch waits for it.

The log is brought to the disk, so that a power cut costs no answer that is older than a moment; a
kill costs none anyway. Now and then the log is brought into the file, so that it does not grow
with the run. Knows nothing of answers.
"""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

from bdpl_async.caching.opening import TROUBLES
from bdpl_async.caching.table import Table, Unreadable

__all__ = ["Upkeep"]

CHECKPOINT = 8_000  # rows; about as many pages of 2 KiB in the log
GIVE_UP = 5.0  # seconds that others wait for the disk


class Upkeep:
    """A thread that is there from the first rows until it is let go.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._told = threading.Event()
        self._ending = False
        self._logged = 0  # rows since the last checkpoint
        self._thread: threading.Thread | None = None

    def written(self, rows: int) -> None:
        """So many rows are in the log."""
        self._logged += rows
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="bdpl-checkpoint", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # none to be had, or the interpreter ends: SQLite does it later
                return
            self._thread = thread
        self._told.set()

    def let_go(self) -> None:
        """Bring the last rows to the disk, and end. Waits, but not for ever for a dead disk."""
        if self._thread is not None:
            self._ending = True
            self._told.set()
            self._thread.join(GIVE_UP)
        self._thread, self._ending = None, False

    def _run(self) -> None:
        ending = False
        while not ending:
            self._told.wait()
            self._told.clear()
            ending = self._ending
            # Whatever is wrong shows at the next write, which says so.
            with contextlib.suppress(OSError):
                _sync(f"{self._path}-wal")
            if self._logged >= CHECKPOINT:
                self._logged = 0
                with contextlib.suppress(Unreadable, *TROUBLES):
                    _checkpoint(self._path)


def _sync(log: str) -> None:
    """SQLite holds its locks on other files, so this one may be opened and closed beside it."""
    descriptor = os.open(log, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)


def _checkpoint(path: Path) -> None:
    """Bring the log into the file while others write on; the second round is short."""
    table = Table(path)
    try:
        for _ in range(4):
            if table.checkpoint():
                break
    finally:
        table.close()
