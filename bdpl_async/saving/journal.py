"""An append-only file of records: what was appended is out of reach of a kill.

A line is a checksum and JSON: a record, or a list of those that stand or fall together. The file
is given room ahead of what is written, so that a disk that fills up is found out while everything
promised still fits; a thread makes it durable `LAG` seconds after each write at the latest. Knows
nothing of what stands in a record.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from bdpl_async.errors import StorageError
from bdpl_async.saving.durable import once_mended

__all__ = ["Journal", "Record"]

Record = list[Any]
"""Its kind, and what is known."""

CHUNK: Final = 1 << 18  # bytes of room made at a time
LAG: Final = 0.03  # seconds until what was written is durable
LONGEST: Final = 64_000_000  # bytes of a line; a longer one is damage


class Journal:
    """A journal that is being written.

    Args:
        path: made, private to the user, if it is not there.
        end: bytes of it that stand; what is behind them is cut off.

    Attributes:
        end: bytes so far.
        trouble: what was not possible; from then on nothing is promised.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path, end: int = 0) -> None:
        self.path = path
        self.end = end
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.open(path, flags, 0o600)
        os.fchmod(self._file, 0o600)
        os.ftruncate(self._file, end)
        self._room = end
        self.trouble: OSError | None = None
        self._dirty, self._closing = threading.Event(), threading.Event()
        self._syncing: threading.Thread | None = None

    def append(self, *records: Sequence[object]) -> None:
        """Write records, all or none; they survive this process.

        What was promised is tried in any trouble.

        Raises:
            StorageError: it could not be written.
        """
        line = orjson.dumps(records[0] if len(records) == 1 else records)
        line = b"%08x %b\n" % (zlib.crc32(line), line)
        try:
            self._make_room(len(line))
            if os.pwrite(self._file, line, self.end) != len(line):
                raise OSError(errno.ENOSPC, "it took a part of a line only")
        except OSError as error:
            raise self._failed(error) from None
        self.end += len(line)
        if not self._dirty.is_set():
            self._rouse()

    def promise(self, size: int) -> None:
        """See to it that so many bytes more can be written.

        Raises:
            StorageError: there is no room for them, or the file is not what it was.
        """
        if self.trouble is not None:
            raise self._failed(self.trouble)
        try:
            self._make_room(size)
        except OSError as error:
            raise self._failed(error) from None

    def spare(self) -> None:
        """Give back the room that was not needed: others may need it."""
        with contextlib.suppress(OSError):  # it stands already; this only makes it tidy
            os.ftruncate(self._file, self.end)
            self._room = self.end

    def flush(self) -> None:
        """Make all of it durable. Waits.

        Raises:
            OSError: that was not possible.
        """
        _keep(self._file)

    def close(self) -> None:
        """Give back the room that was not needed; what was written stays."""
        self._closing.set()
        self._dirty.set()
        if self._syncing is not None:
            self._syncing.join()
        self.spare()
        with contextlib.suppress(OSError):  # nobody is left to be told
            self.flush()
        file, self._file = self._file, -1  # whoever comes late must not write to another file
        os.close(file)

    def _make_room(self, size: int) -> None:
        needed = self.end + size - self._room
        if needed > 0:
            more = max(CHUNK, needed)
            _allocate(self._file, self._room, more)
            self._room += more

    def _rouse(self) -> None:
        self._dirty.set()
        if self._syncing is None:
            name = "bdpl-journal"
            self._syncing = threading.Thread(target=self._sync, name=name, daemon=True)
            self._syncing.start()

    def _sync(self) -> None:
        while True:
            self._dirty.wait()
            if self._closing.wait(LAG):
                return
            self._dirty.clear()
            if self._closing.is_set():  # in the moment before: nobody will wake us again
                return
            try:
                self.flush()
                self._find()
            except OSError as error:
                self.trouble = error
                return

    def _find(self) -> None:
        """See whether the file still is where it was; written to elsewhere, nobody would find it.

        Raises:
            OSError: it is not.
        """
        try:
            there = os.path.samestat(os.stat(self.path), os.fstat(self._file))
        except FileNotFoundError:
            there = False
        if not there:
            raise OSError(errno.ENOENT, "it was moved or removed")

    def _failed(self, error: OSError) -> StorageError:
        """What to raise; as one line is missing, none may follow that is not under way."""
        self.trouble = self.trouble or error
        reason = error.strerror or str(error)
        return StorageError(
            f"{self.path}: cannot be written: {reason}: nothing more is sent, since an answer"
            " could not be kept",
            hint=once_mended(self.path.parent, missing=error.errno == errno.ENOENT),
        )

    @staticmethod
    def read(path: Path) -> Iterator[tuple[Record, int]]:
        """Every record that was written whole, and where its line ends, up to the first damage.

        Raises:
            OSError: the file cannot be read.
        """
        end = 0
        with path.open("rb") as file:
            while line := file.readline(LONGEST):
                if not (records := _records(line)):
                    return
                end += len(line)
                for record in records:
                    yield record, end


def _keep(file: int) -> None:
    """Make the content durable; some systems know one way only."""
    (os.fdatasync if hasattr(os, "fdatasync") else os.fsync)(file)


def _allocate(file: int, at: int, size: int) -> None:
    """Room on the disk; where the system cannot say so, zeros take it.

    Raises:
        OSError: there is none.
    """
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(file, at, size)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS):
                raise
        else:
            return
    end = at + size
    while at < end:
        at += os.pwrite(file, bytes(end - at), at)


def _records(line: bytes) -> list[Record]:
    """What a line holds; none if it is damaged."""
    body = line[9:-1]
    if line[8:9] != b" " or line[-1:] != b"\n" or line[:8] != b"%08x" % zlib.crc32(body):
        return []
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return []
    records = found if isinstance(found, list) and found and isinstance(found[0], list) else [found]
    whole = [isinstance(r, list) and bool(r) and isinstance(r[0], str) for r in records]
    return records if all(whole) else []
