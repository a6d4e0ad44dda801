"""Looking after a cache file: what is in it, what is too old, what is damaged.

For a person who asks, not for a run: each function opens the file, does its work and closes it,
while runs may go on using it. A missing file is an empty one, and stays missing.
"""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bdpl_async.caching.opening import open_to_read, open_to_write
from bdpl_async.caching.place import InUse, Place
from bdpl_async.caching.row import unpacked
from bdpl_async.caching.table import SCHEMA, Foreign, Table, Unreadable
from bdpl_async.errors import ConfigError

__all__ = ["Stats", "Verdict", "prunable", "prune", "stats", "verify"]

FINDINGS = 5  # of the integrity check, told at most
ROWS = "SELECT rowid, key, value, checksum, created FROM answers NOT INDEXED ORDER BY rowid"
TOKENS = (  # of entries that are answers; in the order of `bdpl_async.caching.row`
    "SELECT count(*), coalesce(sum(json_extract(entry, '$[4]') + json_extract(entry, '$[5]')), 0)"
    " FROM (SELECT CAST(value AS TEXT) AS entry FROM answers) WHERE json_valid(entry)"
)
OLDEST = "SELECT rowid FROM answers ORDER BY created, rowid LIMIT ?"
REPAIR = "if it is a cache, mend it: bdpl-async cache verify --repair --cache"

Found = tuple[int, bytes, bytes, int, int]


@dataclass(frozen=True, slots=True)
class Stats:
    """What is in a file. Times are seconds since 1970; `bytes` counts the log too.

    Attributes:
        schema: None where no file is.
        prompts: entries that are answers of a model; the others are what was found out about it.
        tokens: what these answers took, and spare whoever asks the same again.
    """

    path: Path
    entries: int = 0
    bytes: int = 0
    oldest: int | None = None
    newest: int | None = None
    schema: int | None = None
    prompts: int = 0
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `verify` found.

    Attributes:
        entries: sound ones.
        bad: rows that are not what was written.
        damage: what is the matter with the file as a whole.
        repaired: whether all of that is mended now.
        aside: where the damaged file is.
    """

    path: Path
    entries: int = 0
    bad: int = 0
    damage: str | None = None
    repaired: bool = False
    aside: Path | None = None

    @property
    def fine(self) -> bool:
        """Nothing is wrong, or no longer."""
        return self.repaired or not (self.bad or self.damage)


def stats(path: Path) -> Stats:
    """Count what is there.

    Raises:
        ConfigError: the file is no cache, or damaged.
        OSError: it cannot be read now.
    """
    with _held(path) as place:
        if place is None:
            return Stats(path)
        with _opened(place) as table:
            entries, oldest, newest = table.db.execute(
                "SELECT count(*), min(created), max(created) FROM answers"
            ).fetchone()
            worth = table.db.execute(TOKENS).fetchone()
            return Stats(place.path, entries, _size(place.path), oldest, newest, SCHEMA, *worth)


def prunable(
    path: Path,
    *,
    before: float | None = None,
    most: int | None = None,
    most_bytes: float | None = None,
) -> int:
    """As many entries as `prune` would remove; about as many where a size is given.

    Raises:
        ConfigError, OSError: as `prune`.
    """
    with _held(path) as place:
        if place is None:
            return 0
        with _opened(place) as table:
            entries, going = _count(table), 0
            if before is not None:
                query = "SELECT count(*) FROM answers WHERE created < ?"
                going = table.db.execute(query, (before,)).fetchone()[0]
            if most is not None:
                going = max(going, entries - most)
            if most_bytes is not None and entries:
                staying = int(entries * most_bytes / _bytes(table))
                going = max(going, entries - staying)
            return going


def prune(
    path: Path,
    *,
    before: float | None = None,
    most: int | None = None,
    most_bytes: float | None = None,
) -> int:
    """Remove entries, oldest first, and give their room back; how many.

    Args:
        before: remove what is older, in seconds since 1970.
        most: entries that may stay.
        most_bytes: size that the file may have.

    Raises:
        ConfigError: the file is no cache, or damaged.
        OSError: it cannot be changed now.
    """
    with _held(path) as place:
        if place is None:
            return 0
        with _opened(place, open_to_write) as table:
            removed = 0
            if before is not None:
                removed += _changed(table, "DELETE FROM answers WHERE created < ?", before)
            if most is not None:
                removed += _remove_oldest(table, _count(table) - most)
            _shrink(table)
            if most_bytes is not None:
                removed += _shrink_to(table, most_bytes)
            return removed


def verify(path: Path, *, repair: bool = False) -> Verdict:
    """Check the file as a whole and every row.

    Args:
        path: the cache.
        repair: remove bad rows; a damaged file is set aside, and what it still gives is kept.

    Raises:
        ConfigError: the file is another program's.
        OSError: it cannot be read, or is in use and cannot be repaired.
    """
    with _held(path) as place:
        if place is None:
            return Verdict(path)
        try:
            with _connected(place, open_to_write if repair else open_to_read) as table:
                return _checked(place, table, repair=repair)
        except Unreadable as error:
            found = error
        if not repair:
            return Verdict(place.path, damage=str(found))
        aside = place.replace(found.identity, found.kind)
        with _connected(place, open_to_write) as table:
            entries, bad = _salvage(table, aside) if aside else (_count(table), 0)
        return Verdict(place.path, entries, bad, str(found), repaired=True, aside=aside)


def _checked(place: Place, table: Table, *, repair: bool) -> Verdict:
    with _judging(table):
        findings = table.db.execute(f"PRAGMA integrity_check({FINDINGS})").fetchall()
        if findings != [("ok",)]:
            raise Unreadable(
                "; ".join(str(line) for (line,) in findings), "corrupt", table.identity
            )
        bad: set[int] = set()
        entries = sum(_sound(row, bad) for row in table.db.execute(ROWS))
        if bad and repair:
            gone = ((rowid,) for rowid in bad)
            table.db.executemany("DELETE FROM answers WHERE rowid = ?", gone)
    return Verdict(place.path, entries, len(bad), repaired=bool(bad) and repair)


def _salvage(table: Table, aside: Path) -> tuple[int, int]:
    """Copy every row that the damaged file still gives: from its start, then from its end."""
    bad: set[int] = set()
    table.db.execute("BEGIN IMMEDIATE")
    for order in ("", " DESC"):
        rows = (row for row in _rows_of(aside, ROWS + order) if _sound(row, bad))
        insert = "INSERT OR IGNORE INTO answers (key, value, checksum, created) VALUES (?,?,?,?)"
        table.db.executemany(insert, (row[1:] for row in rows))
    table.db.execute("COMMIT")
    return _count(table), len(bad)


def _rows_of(path: Path, query: str) -> Iterator[Found]:
    """As many rows as come before the first unreadable page."""
    db = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    db.text_factory = bytes  # of a row that we did not write
    try:
        with suppress(sqlite3.Error):
            yield from db.execute(query)
    finally:
        db.close()


def _sound(row: Found, bad: set[int]) -> bool:
    if unpacked(*row[1:4]) is not None and isinstance(row[4], int):
        return True
    bad.add(row[0])
    return False


@contextmanager
def _held(path: Path) -> Iterator[Place | None]:
    """The place, shared with whoever uses it; None where no file is. Errors become ours."""
    place = Place(path)
    try:
        if not place.path.exists():
            yield None
            return
        yield place
    except Foreign as error:
        raise ConfigError(f"{place.path}: {error}") from None
    except (sqlite3.Error, InUse) as error:
        raise OSError(errno.EBUSY, str(error), str(place.path)) from None
    finally:
        place.release()


@contextmanager
def _connected(place: Place, way: Callable[[Place], Table]) -> Iterator[Table]:
    table = way(place)
    try:
        yield table
    finally:
        table.close()


@contextmanager
def _opened(place: Place, way: Callable[[Place], Table] = open_to_read) -> Iterator[Table]:
    """The table for those who only want a sound one."""
    try:
        with _connected(place, way) as table, _judging(table):
            yield table
    except Unreadable as error:
        raise ConfigError(
            f"{place.path}: cannot be read: {error}", hint=f"{REPAIR} {place.path}"
        ) from None


@contextmanager
def _judging(table: Table) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise table.judged(error) from None


def _remove_oldest(table: Table, count: int) -> int:
    return _changed(table, f"DELETE FROM answers WHERE rowid IN ({OLDEST})", max(count, 0))  # noqa: S608


def _shrink_to(table: Table, most: float) -> int:
    """Remove as large a part as the file is too large, until it is not."""
    removed = 0
    while (size := _bytes(table)) > most and (entries := _count(table)):
        removed += _remove_oldest(table, max(1, round(entries * (1 - most / size))))
        _shrink(table)
    return removed


def _shrink(table: Table) -> None:
    table.db.execute("VACUUM")
    table.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _changed(table: Table, statement: str, value: float) -> int:
    return table.db.execute(statement, (value,)).rowcount


def _count(table: Table) -> int:
    return int(table.db.execute("SELECT count(*) FROM answers").fetchone()[0])


def _bytes(table: Table) -> int:
    pages, size = (table.db.execute(f"PRAGMA page_{of}").fetchone()[0] for of in ("count", "size"))
    return int(pages) * int(size)


def _size(path: Path) -> int:
    files = (path, path.with_name(f"{path.name}-wal"))
    return sum(file.stat().st_size for file in files if file.exists())
