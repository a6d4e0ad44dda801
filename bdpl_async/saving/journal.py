"""An append-only file of records: what was appended is out of reach of a kill.

A line a record: a checksum, and JSON. The file is given room ahead of what is written, so that a
disk that fills up is found out while everything promised still fits; a thread makes it durable
`LAG` seconds after each write at the latest. Knows nothing of what stands in a record.
"""

from __future__ import annotations

import contextlib
import os
import threading
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from bdpl_async.errors import StorageError

__all__ = ["Journal", "Record"]

Record = list[Any]
"""Its kind, and what is known."""

CHUNK: Final = 1 << 18  # bytes of room made at a time
LAG: Final = 0.03  # seconds until what was written is durable
LONGEST: Final = 64_000_000  # bytes of a line; a longer one is damage
HINT: Final = "make room or mend the disk, then go on with: bdpl-async resume"


class Journal:
    """A journal that is being written.

    Args:
        path: made, private to the user, if it is not there.
        end: bytes of it that stand; what is behind them is cut off.

    Attributes:
        end: bytes so far.

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
        self._trouble: OSError | None = None
        self._dirty, self._closing = threading.Event(), threading.Event()
        self._syncing: threading.Thread | None = None

    def append(self, record: Sequence[object]) -> None:
        """Write a record; it survives this process.

        Raises:
            StorageError: it could not be written.
        """
        line = orjson.dumps(record)
        line = b"%08x %b\n" % (zlib.crc32(line), line)
        self.promise(len(line))
        try:
            written = os.pwrite(self._file, line, self.end)
        except OSError as error:
            raise self._failed(error) from None
        if written != len(line):
            raise self._failed(OSError(0, "it took a part of a line only"))
        self.end += len(line)
        if not self._dirty.is_set():
            self._rouse()

    def promise(self, size: int) -> None:
        """See to it that so many bytes more can be written.

        Raises:
            StorageError: there is no room for them, or the file is not what it was.
        """
        if self._trouble is not None:
            raise self._failed(self._trouble)
        needed = self.end + size - self._room
        if needed <= 0:
            return
        more = max(CHUNK, needed)
        try:
            os.posix_fallocate(self._file, self._room, more)
        except OSError as error:
            raise self._failed(error) from None
        self._room += more

    def flush(self) -> None:
        """Make all of it durable. Waits.

        Raises:
            OSError: that was not possible.
        """
        os.fdatasync(self._file)

    def close(self) -> None:
        """Give back the room that was not needed; what was written stays."""
        self._closing.set()
        self._dirty.set()
        if self._syncing is not None:
            self._syncing.join()
        with contextlib.suppress(OSError):  # it stands already; this only makes it tidy
            os.ftruncate(self._file, self.end)
            self.flush()
        os.close(self._file)

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
            try:
                self.flush()
                if not os.fstat(self._file).st_nlink:
                    raise OSError(0, "it was removed")
            except OSError as error:
                self._trouble = error
                return

    def _failed(self, error: OSError) -> StorageError:
        folder = self.path.parent
        reason = error.strerror or str(error)
        return StorageError(
            f"{self.path}: cannot be written: {reason}: nothing more is sent, since an answer"
            " could not be kept",
            hint=f"{HINT} {folder}",
        )

    @staticmethod
    def read(path: Path) -> Iterator[tuple[Record, int]]:
        """Every record that was written whole, and where it ends, up to the first damage.

        Raises:
            OSError: the file cannot be read.
        """
        end = 0
        with path.open("rb") as file:
            while line := file.readline(LONGEST):
                record = _record(line)
                if record is None:
                    return
                end += len(line)
                yield record, end


def _record(line: bytes) -> Record | None:
    body = line[9:-1]
    if line[8:9] != b" " or line[-1:] != b"\n" or line[:8] != b"%08x" % zlib.crc32(body):
        return None
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, list) and found and isinstance(found[0], str) else None
