"""The rules of `bdpl_async.caching.writer`: what was put is in the file soon, or kept."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from bdpl_async.caching import upkeep
from bdpl_async.caching import writer as cachewriter
from bdpl_async.caching.file import CacheFile
from bdpl_async.caching.row import Row
from bdpl_async.caching.table import BATCH, Table
from tests.cachekit import content, ended, entry, filled, keys, process, size, until


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache.db"


async def test_a_batch_is_written_without_closing(path: Path) -> None:
    """Entries reach the file by themselves, the first of them and the ones after."""
    cache, other = CacheFile(path), CacheFile(path)
    for name in (b"first", b"second"):
        cache.put(name, entry())
        await until(lambda name=name: bool(other.get([name])))  # type: ignore[misc]
    await cache.close()
    await other.close()


async def test_a_full_batch_does_not_wait(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many entries as a statement takes are written at once, however long others may gather."""
    monkeypatch.setattr(cachewriter, "GATHER", 30.0)
    cache, other = CacheFile(path), CacheFile(path)
    known = keys(BATCH)
    for key in known:
        cache.put(key, entry())
    await until(lambda: len(other.get(known)) == BATCH)
    await other.close()
    await cache.close()  # nor does it wait for those that would still gather


@pytest.mark.parametrize("meanwhile", ["time.sleep(0.05)", "while time.time() < end: pass"])
def test_a_kill_after_50_ms_loses_nothing(path: Path, meanwhile: str) -> None:
    """What was put 50 ms ago survives SIGKILL, be the process idle or busy."""
    script = f"""
        cache = CacheFile(path)
        cache.put(b"early", entry())  # the thread and its connection are there
        time.sleep(0.3)
        for number in range(100):
            cache.put(digest(f"key {{number}}".encode()), entry())
        end = time.time() + 0.05
        {meanwhile}
        os.kill(os.getpid(), signal.SIGKILL)
    """
    found = 0
    for attempt in range(3):  # a machine that does other things may take the 50 ms for itself
        place = path.with_name(f"{attempt}.db")
        assert ended(process(script, place))[0] == -9
        found = len(asyncio.run(content(place, keys(100))))
        if found == 100:
            break
    assert found == 100


def test_a_program_that_ends_without_closing_loses_nothing(path: Path) -> None:
    """Leaving by the end of the program writes what is still to be written."""
    script = "cache = CacheFile(path)\nfor n in range(9): cache.put(b'%d' % n, entry())"
    assert ended(process(script, path)) == (0, "")
    assert len(asyncio.run(content(path, [b"%d" % n for n in range(9)]))) == 9


async def test_closing_while_cancelled_writes_all_the_same(path: Path) -> None:
    """A close that is cancelled goes on in its thread, and may be called again."""
    cache = CacheFile(path)
    for key in keys(600):
        cache.put(key, entry())
    closing = asyncio.create_task(cache.close())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    await cache.close()
    assert len(await content(path, keys(600))) == 600


async def test_the_log_is_brought_in_while_writing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Checkpoints happen beside the writing, so that the log does not grow with the run."""
    monkeypatch.setattr(upkeep, "CHECKPOINT", 200)
    cache = CacheFile(path)
    wal = Path(f"{path}-wal")
    for round_ in range(40):
        for key in keys(100, f"{round_}"):
            cache.put(key, entry())
        await asyncio.sleep(0.025)
    assert size(wal) < size(path)
    assert cache.trouble is None
    await cache.close()
    assert size(wal) == 0


async def test_a_thread_is_there_only_to_write(path: Path) -> None:
    """A run that finds everything starts no writer."""
    known = await filled(path)
    cache = CacheFile(path)
    assert len(cache.get(known)) == 3
    assert "bdpl-cache" not in {thread.name for thread in threading.enumerate()}
    await cache.close()


def breaking(monkeypatch: pytest.MonkeyPatch, error: Exception) -> list[bool]:
    """Let every write fail as long as the list is not empty."""
    broken = [True]
    write = Table.write

    def failing(self: Table, rows: Sequence[Row], created: int) -> None:
        if broken:
            raise error
        write(self, rows, created)

    monkeypatch.setattr(Table, "write", failing)
    monkeypatch.setattr(cachewriter, "RETRY", 0.01)
    return broken


@pytest.mark.parametrize(
    "error",
    [
        sqlite3.OperationalError("database or disk is full"),
        sqlite3.OperationalError("attempt to write a readonly database"),
        sqlite3.OperationalError("database is locked"),
        sqlite3.OperationalError("locking protocol"),
        OSError(122, "Disk quota exceeded"),
        OSError(28, "No space left on device"),
    ],
)
async def test_what_cannot_be_written_is_kept(
    path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Answers stay in memory, the trouble is told, and when it is over they are written."""
    broken = breaking(monkeypatch, error)
    cache = CacheFile(path)
    known = keys(BATCH + 1)
    for key in known:
        cache.put(key, entry())
    await until(lambda: cache.trouble is not None)
    assert (error.args[-1]) in str(cache.trouble)
    assert "\n" not in str(cache.trouble)
    assert len(cache.get(known)) == len(known)
    broken.clear()
    cache.put(b"later", entry())
    await until(lambda: cache.trouble is None)
    await cache.close()
    assert len(await content(path, [*known, b"later"])) == len(known) + 1


async def test_what_was_never_written_is_counted(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cache that closes in trouble says how many answers it could not save."""
    breaking(monkeypatch, sqlite3.OperationalError("database or disk is full"))
    cache = CacheFile(path)
    for key in keys(7):
        cache.put(key, entry())
    await cache.close()
    assert "7 answers were not saved" in str(cache.trouble)


async def test_what_waits_is_bounded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that stays full takes no more memory than `MOST` entries; the rest is counted."""
    monkeypatch.setattr(cachewriter, "MOST", 100)
    broken = breaking(monkeypatch, sqlite3.OperationalError("database or disk is full"))
    cache = CacheFile(path)
    for key in keys(130):
        cache.put(key, entry())
    await until(lambda: cache.trouble is not None)
    assert len(cache.get(keys(130))) == 100
    broken.clear()
    await until(lambda: cache.trouble is None)
    await cache.close()
    assert "30 answers were not saved" in str(cache.trouble)
    assert len(await content(path, keys(130))) == 100


async def test_the_newest_record_outlives_a_trouble(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of records that waited together the last is written; of entries the first."""
    broken = breaking(monkeypatch, sqlite3.OperationalError("database or disk is full"))
    cache = CacheFile(path)
    for value in (-1.0, -9.0):
        cache.remember(b"record", f"{value}".encode())
        cache.put(b"entry", entry(value))
        await asyncio.sleep(0.05)
    broken.clear()
    await until(lambda: cache.trouble is None)
    await cache.close()
    again = CacheFile(path)
    assert again.recall(b"record") == b"-9.0"
    assert again.get([b"entry"]) == {b"entry": entry(-1.0)}
    await again.close()


async def test_a_dead_disk_does_not_hold_the_end(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that never comes back: closing gives up, and says how many answers that cost."""
    monkeypatch.setattr(cachewriter, "GIVE_UP", 0.05)
    back = threading.Event()
    monkeypatch.setattr(Table, "write", lambda *_: back.wait(5))
    cache = CacheFile(path)
    for key in keys(2):
        cache.put(key, entry())
    await asyncio.wait_for(cache.close(), 2)
    assert cache.trouble == f"the cache {path} does not answer; 2 answers were not saved"
    back.set()


async def test_what_is_written_reaches_the_disk(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log is synced after a batch, so that a power cut costs no old answer."""
    synced: list[int] = []
    monkeypatch.setattr("os.fdatasync", lambda file: synced.append(os.fstat(file).st_ino))
    cache = CacheFile(path)
    for name in (b"one", b"two"):
        synced.clear()
        cache.put(name, entry())
        await until(lambda: synced == [os.stat(f"{path}-wal").st_ino])
    await cache.close()


async def test_a_disk_that_is_really_full(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite's own refusal, not only our idea of it, leaves every answer in memory."""
    monkeypatch.setattr(cachewriter, "RETRY", 0.01)
    create = Table.__init__

    def small(self: Table, path: Path, *, patience: float = 5.0) -> None:
        create(self, path, patience=patience)
        self.db.execute("PRAGMA max_page_count = 12")

    monkeypatch.setattr(Table, "__init__", small)
    cache = CacheFile(path)
    known = keys(1_000)
    for key in known:
        cache.put(key, entry())
    await until(lambda: "full" in str(cache.trouble))
    assert len(cache.get(known)) == 1_000
    monkeypatch.setattr(Table, "__init__", create)
    await until(lambda: cache.trouble is None)
    await cache.close()
    assert len(await content(path, known)) == 1_000


async def test_put_never_raises(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even where no thread can be had: the answer is there, and the trouble is told."""

    def refuse(self: object) -> None:
        raise RuntimeError("can't start new thread")

    cache = CacheFile(path)
    monkeypatch.setattr("threading.Thread.start", refuse)
    cache.put(b"k", entry())
    assert cache.get([b"k"]) == {b"k": entry()}
    assert "can't start new thread" in str(cache.trouble)
    monkeypatch.undo()
    await cache.close()
