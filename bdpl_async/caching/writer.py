"""Writing behind: entries come in at any time, one thread puts them into the file in batches.

An entry is in the file 20 ms after the first of its batch came, and out of reach of a kill. What
cannot be written stays in memory and is tried again, as long as there is room. The thread has its
own connection, so that the loop never waits for the disk. Knows nothing of reading.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable
from itertools import islice

from bdpl_async.caching.access import may_write
from bdpl_async.caching.cache import Kept
from bdpl_async.caching.opening import TROUBLES, open_to_write, reason_of
from bdpl_async.caching.place import Place
from bdpl_async.caching.row import packed
from bdpl_async.caching.table import BATCH, Table, Unreadable, identity_of
from bdpl_async.caching.upkeep import Upkeep
from bdpl_async.wording import counted

__all__ = ["Writer", "set_aside"]

GATHER = 0.02  # seconds from the first entry of a batch until it is written
RETRY = 1.0  # seconds after a write that failed
MOST = 200_000  # entries that wait to be written; about 75 MB
GIVE_UP = 10.0  # seconds that the end of a run waits for the disk


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
        self._upkeep = Upkeep(place.path)
        self._table: Table | None = None
        self._lost = 0  # entries that were too many to wait

    def put(self, key: bytes, kept: Kept) -> None:
        """Take something in; of entries the first under a key stands, of records the last."""
        with self._lock:
            if len(self._pending) + len(self._writing) >= MOST:
                self._lost += 1
                return
            if isinstance(kept, bytes):
                self._pending[key] = kept  # the newest record counts
            else:
                self._pending.setdefault(key, kept)
            count = len(self._pending)
        if count == 1:
            self._rouse()
        elif count == BATCH:
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
        """Write what there is, and end the thread. Waits, but not for ever for a dead disk."""
        self._closing.set()
        self._hurry.set()
        self._wake.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            atexit.unregister(self.finish)
            thread.join(GIVE_UP)
            if thread.is_alive():
                self.trouble = f"the cache {self._place.path} does not answer"
            waiting = len(self._writing) + len(self._pending) if self.trouble else 0
            if lost := waiting + self._lost:
                trouble = self.trouble or f"the cache {self._place.path} could not be used"
                were = "was" if lost == 1 else "were"
                self.trouble = f"{trouble}; {counted(lost, 'answer')} {were} not saved"

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

    def _take(self) -> None:
        with self._lock:
            self._wake.clear()
            if not self._closing.is_set():
                self._hurry.clear()
            if self._writing:  # left over; it grows before the other goes: a reader sees either
                for key, kept in self._pending.items():
                    if isinstance(kept, bytes):
                        self._writing[key] = kept
                    else:
                        self._writing.setdefault(key, kept)
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
        if self._table is not None and not self._table.present:
            self._forsake(self._table)
        while self._writing:
            if self._table is None:
                self._place.prepare()
                self._table = open_to_write(self._place)
            batch = list(islice(self._writing.items(), self._table.capacity))
            rows = [row for key, kept in batch if (row := packed(key, kept))]
            self._table.write(rows, int(self._clock()))
            for key, _ in batch:
                del self._writing[key]
            self._upkeep.written(len(batch))

    def _forsake(self, table: Table) -> None:
        """Somebody removed the file, or its log, under our hands: what goes there is lost."""
        if identity_of(self._place.path) != table.identity:
            self.notes.append(
                f"the cache {self._place.path} was removed or replaced while it was in use:"
                " what stands there now is used"
            )
        else:
            table.checkpoint()  # the log has no name any more, but we still have it
        self._let_go()
        self._drop()

    def _drop(self) -> None:
        """Let go of the file; the next write opens it anew."""
        self._upkeep.let_go()
        if self._table is not None:
            self._table.close()
            self._table = None

    def _sentence(self, error: Exception) -> str:
        path = self._place.path
        if path.exists() and not may_write(path):
            return f"the cache {path} is read-only: it is read, and new answers are kept in memory"
        return f"the cache {path} cannot be used ({reason_of(error)}): answers are kept in memory"
