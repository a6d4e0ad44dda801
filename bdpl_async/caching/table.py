"""The table of answers in SQLite, through one connection: open, read, write, checkpoint.

Rows are written by one statement for the whole batch. SQLite's module gives up the interpreter
lock at each step of a statement, so that `executemany`, a step a row, takes 100 ms for 100 rows
beside a busy loop, and one statement takes 5. A table with a separate index on the key writes
less than one that is sorted by it. Knows no threads, and nothing of moving files.
"""

from __future__ import annotations

import errno
import sqlite3
import time
from collections.abc import Sequence
from itertools import chain, repeat
from pathlib import Path

from bdpl_async.caching.access import WRITING, Access, signs_of
from bdpl_async.caching.cache import Kept
from bdpl_async.caching.row import RECORD, Row, unpacked

__all__ = ["BATCH", "CHUNK", "SCHEMA", "Foreign", "Identity", "Table", "Unreadable", "identity_of"]

SCHEMA = 1
OURS = 0x6264706C  # application_id: "bdpl"
CHUNK = 256  # rows a statement, as even SQLite of old takes them: 999 parameters
BATCH = 4 * CHUNK  # the same where it takes more: rows of one transaction share its pages
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, CHUNK)  # of prepared statements, filled up with NULL
COLUMNS = "key, value, checksum, created"
LONG_LOG = 20_000  # pages
CREATE = """CREATE TABLE answers (
    key BLOB NOT NULL PRIMARY KEY,  -- a hash of the question
    value BLOB NOT NULL,            -- JSON of numbers
    checksum INTEGER NOT NULL,      -- CRC-32 of key and value
    created INTEGER NOT NULL        -- seconds since 1970
)"""
SELECT = {
    n: f"SELECT key, value, checksum FROM answers WHERE key IN ({','.join('?' * n)})"  # noqa: S608
    for n in SIZES
}
# A row of NULLs breaks NOT NULL, and is ignored like one whose key is there already.
INTO = "INSERT OR IGNORE INTO answers (created, key, value, checksum) VALUES "
INSERT = {n: INTO + ",".join(["(?1,?,?,?)"] * n) for n in (*SIZES, BATCH)}

Identity = tuple[int, int]


def identity_of(path: Path) -> Identity | None:
    """Which file stands at `path`, so that a renamed and a new one are told apart."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


class Unreadable(Exception):
    """Raised when the file is ours or nobody's, but cannot serve.

    Args:
        reason: what is the matter, in words.
        kind: ``corrupt`` or ``schema-N``, for the name under which it is set aside.
        identity: the file that was found so.
    """

    def __init__(self, reason: str, kind: str, identity: Identity | None) -> None:
        super().__init__(reason)
        self.kind = kind
        self.identity = identity


class Foreign(Exception):
    """Raised when the file is a sound database of another program."""


class Table:
    """One connection; not for two threads at the same time.

    Args:
        path: the file; it must exist, and may be empty.
        patience: seconds to wait while another process holds the file.
        access: how to open it; what may only be read must be a cache already.

    Raises:
        Unreadable: here and in each method, the file is damaged or of another schema.
        Foreign: it is another program's.
        sqlite3.Error: it cannot be used now.

    Attributes:
        capacity: rows that one `write` takes.
    """

    def __init__(self, path: Path, *, patience: float = 5.0, access: Access = WRITING) -> None:
        self.identity = identity_of(path)
        self.access = access
        self._path = path
        self._signs = signs_of(path)
        self.db = sqlite3.connect(
            f"{path.as_uri()}?{access.query}",
            uri=True,
            timeout=patience,
            isolation_level=None,
            check_same_thread=False,
        )
        self.db.text_factory = _text
        parameters = self.db.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER)
        self.capacity = BATCH if parameters > 3 * BATCH else CHUNK
        try:
            self._prepare(time.monotonic() + patience)
            if access.steady:
                self._signs = signs_of(path)  # with the log that came to be
        except sqlite3.Error as error:
            self.db.close()
            raise self.judged(error) from None
        except BaseException:
            self.db.close()
            raise

    @property
    def present(self) -> bool:
        """Whether this is still what stands at the path, the log included."""
        before, now = self._signs, signs_of(self._path)
        if not self.access.steady:
            return before == now
        return all(
            was is None or (found is not None and was[:2] == found[:2])
            for was, found in zip(before, now, strict=True)
        )

    def read(self, keys: Sequence[bytes]) -> dict[bytes, Kept]:
        """What lies under these keys; a bad row is as none."""
        found: dict[bytes, Kept] = {}
        try:
            for start in range(0, len(keys), CHUNK):
                part = keys[start : start + CHUNK]
                size = next(n for n in SIZES if n >= len(part))
                filled = [*part, *repeat(None, size - len(part))]
                for row in self.db.execute(SELECT[size], filled).fetchall():
                    kept = unpacked(*row)
                    if kept is not None:
                        found[row[0]] = kept
        except sqlite3.Error as error:
            raise self.judged(error) from None
        return found

    def write(self, rows: Sequence[Row], created: int) -> None:
        """Add rows, all or none; an entry that is there stays, a record goes."""
        size = next(n for n in INSERT if n >= len(rows))
        filling = repeat(None, 3 * (size - len(rows)))
        try:
            for key, value, _ in rows:
                if value[:1] == RECORD:
                    self.db.execute("DELETE FROM answers WHERE key = ?", [key])
            self.db.execute(INSERT[size], [created, *chain.from_iterable(rows), *filling])
        except sqlite3.Error as error:
            raise self.judged(error) from None

    def wait_at_most(self, seconds: float) -> None:
        """From now on, give up sooner when another process has locked the file."""
        self.db.execute(f"PRAGMA busy_timeout = {round(seconds * 1000)}")

    def checkpoint(self) -> bool:
        """Move what was written from the log into the table's own file; whether all of it.

        Others write on meanwhile, unless they are so fast that the log has grown beyond measure.
        """
        _, logged, moved = self.db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        if logged > LONG_LOG:  # what came meanwhile keeps it from beginning anew
            self.db.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
        return bool(logged == moved)

    def close(self) -> None:
        """Let go of the file; the last to do so leaves no log behind."""
        self.db.close()

    def _prepare(self, deadline: float) -> None:
        """Make the table if the file is empty. Two that do so at once get in each other's way."""
        while True:
            try:
                self._prepare_once()
                return
            except sqlite3.OperationalError as error:
                if getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_BUSY:
                    raise
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.005)

    def _prepare_once(self) -> None:
        db = self.db
        if self.access.alone:
            db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA cache_size = -16000")  # KiB
        db.execute(
            "PRAGMA journal_size_limit = 16000000"
        )  # bytes that the log keeps when it is empty
        db.execute("PRAGMA wal_autocheckpoint = 0")  # a checkpoint waits for the disk: not here
        if self._is_empty():
            if not self.access.writable:
                raise OSError(errno.EROFS, "it is empty, and cannot be written")
            self._create()
        if self._number("application_id") != OURS:
            raise Foreign("it is the database of another program")
        if (version := self._number("user_version")) != SCHEMA:
            reason = f"it is of schema {version}, and this program writes {SCHEMA}"
            raise Unreadable(reason, f"schema-{version}", self.identity)
        db.execute(f"SELECT {COLUMNS} FROM answers LIMIT 1").fetchone()  # noqa: S608

    def _create(self) -> None:
        db = self.db
        db.execute("PRAGMA page_size = 2048")  # a random key dirties a page: small ones are cheaper
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("BEGIN IMMEDIATE")
        try:
            if self._is_empty():
                db.execute(CREATE)
                db.execute(f"PRAGMA application_id = {OURS}")
                db.execute(f"PRAGMA user_version = {SCHEMA}")
            db.execute("COMMIT")
        finally:
            if db.in_transaction:
                db.execute("ROLLBACK")

    def _is_empty(self) -> bool:
        if self._number("application_id") or self._number("user_version"):
            return False
        return self.db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is None

    def _number(self, pragma: str) -> int:
        return int(self.db.execute(f"PRAGMA {pragma}").fetchone()[0])

    def judged(self, error: sqlite3.Error) -> Exception:
        """The error, or `Unreadable` if it says that the file itself is broken."""
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        no_such = code == sqlite3.SQLITE_ERROR and "no such" in str(error)
        if no_such or code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return Unreadable(str(error), "corrupt", self.identity)
        return error


def _text(raw: bytes) -> str:
    """Text of a row that we did not write, which may be none; its checksum tells."""
    return raw.decode("utf-8", "replace")
