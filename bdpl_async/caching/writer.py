"""Writing behind: entries come in at any time, one thread puts them into the file in batches.

An entry is in the file 20 ms after the first of its batch came, and out of reach of a kill. What
cannot be written stays in memory and is tried again. The thread has its own connection, so that
the loop never waits for the disk; long work on the file (checkpoints) has a thread of its own, so
that no batch waits for it. Knows nothing of reading.
"""

from __future__ import annotations

import atexit
import contextlib
import sqlite3
import threading
from collections.abc import Callable
from itertools import islice
from pathlib import Path

from bdpl_async.caching.cache import Kept
from bdpl_async.caching.place import InUse, Place
from bdpl_async.caching.row import packed
from bdpl_async.caching.table import CHUNK, Foreign, Table, Unreadable
from bdpl_async.errors import ConfigError

__all__ = ["TROUBLES", "Writer", "reason_of", "set_aside"]

GATHER = 0.02  # seconds from the first entry of a batch until it is written
RETRY = 1.0  # seconds after a write that failed
CHECKPOINT = 8_000  # rows; about as many pages of 2 KiB in the log
TROUBLES = (sqlite3.Error, OSError, InUse, Foreign, ConfigError)


def reason_of(error: Exception) -> str:
    """What is the matter, without the file's name, which the sentence around it has."""
    return getattr(error, "strerror", None) or str(error).partition("\n")[0]


def set_aside(place: Place, error: Unreadable) -> str | None:
    """Move the file out of the way, and say so; None if another process did."""
    aside = place.replace(error.identity, error.kind)
    if aside is None:
        return None
    return (
        f"the cache {place.path} could not be read ({error}): it is set aside as {aside.name},"
        " and an empty one is begun"
    )


class Writer:
    """What was put and is not in the file yet, and the thread that brings it there.

    Args:
        place: the file.
        clock: seconds since 1970; stands in the rows.
        let_go: closes whatever else this process has open of the file, before it is set aside.
    """

    def __init__(
        self, place: Place, clock: Callable[[], float], let_go: Callable[[], None]
    ) -> None:
        self.trouble: str | None = None
        self.notes: list[str] = []
        self.damage: Unreadable | None = None
        self._place = place
        self._clock = clock
        self._let_go = let_go
        self._lock = threading.Lock()  # of the two dictionaries, for those who change them
        self._pending: dict[bytes, Kept] = {}
        self._writing: dict[bytes, Kept] = {}
        self._wake = threading.Event()
        self._hurry = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._checkpointing: threading.Thread | None = None
        self._table: Table | None = None
        self._logged = 0  # rows since the last checkpoint

    def put(self, key: bytes, kept: Kept) -> None:
        """Take something in; of entries the first under a key stands, of records the last."""
        with self._lock:
            if isinstance(kept, bytes):
                self._pending[key] = kept  # the newest record counts
            else:
                self._pending.setdefault(key, kept)
            count = len(self._pending)
        if count == 1:
            self._rouse()
        elif count == CHUNK:
            self._hurry.set()

    def waiting(self) -> tuple[dict[bytes, Kept], dict[bytes, Kept]]:
        """What is not in the file yet, newest first: read in this order, nothing is missed."""
        pending = self._pending
        return pending, self._writing

    def report(self, damage: Unreadable) -> None:
        """A reader found the file damaged: replace it."""
        self.damage = damage
        self._rouse()

    def finish(self) -> None:
        """Write what there is, and end the thread. Waits."""
        self._closing.set()
        self._hurry.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
            atexit.unregister(self.finish)

    def _rouse(self) -> None:
        if self._thread is None and not self._closing.is_set():
            self._thread = threading.Thread(target=self._run, name="bdpl-cache", daemon=True)
            try:
                self._thread.start()
            except RuntimeError as error:  # no more threads to be had
                self._thread = None
                self.trouble = self._sentence(error)
                return
            atexit.register(self.finish)  # a program that ends without closing loses nothing
        self._wake.set()

    def _run(self) -> None:
        closing = False
        while not closing:
            if self.trouble:
                self._closing.wait(RETRY)
            else:
                self._wake.wait()
                self._hurry.wait(GATHER)
            closing = self._closing.is_set()
            self._take()
            self._flush()
        self._drop()
        if self._writing and self.trouble:
            self.trouble += f"; {len(self._writing)} answers were not saved"

    def _take(self) -> None:
        with self._lock:
            self._wake.clear()
            if not self._closing.is_set():
                self._hurry.clear()
            if self._writing:  # left over; copied, for a reader may look at either
                self._writing = {**self._pending, **self._writing}
            else:
                self._writing = self._pending
            self._pending = {}

    def _flush(self) -> None:
        """Write the batch; a damaged file is replaced, once."""
        for _ in range(2):
            try:
                if self.damage is not None:
                    self._mend(self.damage)
                self._write()
            except Unreadable as error:
                self.damage = error
                self.trouble = self._sentence(error)
            except TROUBLES as error:
                self._drop()
                self.trouble = self._sentence(error)
                return
            else:
                self.trouble = None
                return

    def _mend(self, damage: Unreadable) -> None:
        self._let_go()
        self._drop()
        if note := set_aside(self._place, damage):
            self.notes.append(note)
        self.damage = None

    def _write(self) -> None:
        while batch := list(islice(self._writing.items(), CHUNK)):
            if self._table is None:
                self._place.prepare()
                self._place.hold()
                self._table = Table(self._place.path)
            rows = [row for key, kept in batch if (row := packed(key, kept))]
            self._table.write(rows, int(self._clock()))
            for key, _ in batch:
                del self._writing[key]
            self._logged += len(batch)
        if self._logged >= CHECKPOINT and not self._is_checkpointing():
            self._logged = 0
            self._checkpointing = threading.Thread(
                target=_checkpoint, args=(self._place.path,), name="bdpl-checkpoint", daemon=True
            )
            try:
                self._checkpointing.start()
            except RuntimeError:  # the interpreter is ending: SQLite does it at the next opening
                self._checkpointing = None

    def _is_checkpointing(self) -> bool:
        return self._checkpointing is not None and self._checkpointing.is_alive()

    def _drop(self) -> None:
        """Let go of the file; the next write opens it anew."""
        if self._checkpointing is not None:
            self._checkpointing.join()
            self._checkpointing = None
        if self._table is not None:
            self._table.close()
            self._table = None

    def _sentence(self, error: Exception) -> str:
        return (
            f"the cache {self._place.path} cannot be written ({reason_of(error)}):"
            " answers are kept in memory"
        )


def _checkpoint(path: Path) -> None:
    """Bring the log into the file while others write on; the second round is short."""
    # Whatever is wrong shows at the next write, which says so.
    with contextlib.suppress(Unreadable, *TROUBLES):
        table = Table(path)
        try:
            for _ in range(4):
                if table.checkpoint():
                    break
        finally:
            table.close()
