"""The rules of `bdpl_async.caching.file`, and of `bdpl_async.caching.table` under it."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from bdpl_async.caching.cache import Entry, MemoryCache, digest
from bdpl_async.caching.file import CacheFile, default_path, open_cache
from bdpl_async.caching.table import BATCH, CHUNK, Table
from bdpl_async.errors import ConfigError
from tests.cachekit import content, entry, filled, keys, read, size, until


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache.db"


async def test_what_was_put_is_got_at_once_and_later(path: Path) -> None:
    """An entry is found before it is written, after, and by the next run."""
    cache = CacheFile(path)
    known = keys(3)
    for key in known:
        cache.put(key, entry())
    assert cache.get([*known, b"other"]) == dict.fromkeys(known, entry())
    await cache.close()
    assert await content(path, [*known, b"other"]) == dict.fromkeys(known, entry())


@pytest.mark.parametrize("count", [1, 2, CHUNK - 1, CHUNK, CHUNK + 1, BATCH - 1, BATCH, BATCH + 1])
async def test_many_at_a_time(path: Path, count: int) -> None:
    """Batches and questions of every size are written and read whole."""
    known = await filled(path, count)
    strangers = keys(count, "stranger")
    mixed = [key for pair in zip(known, strangers, strict=True) for key in pair]
    assert await content(path, mixed) == dict.fromkeys(known, entry())


async def test_the_first_answer_stands(path: Path) -> None:
    """A second answer to the same question changes nothing, in memory or in the file."""
    cache = CacheFile(path)
    cache.put(b"k", entry(-1.0))
    cache.put(b"k", entry(-9.0))
    assert cache.get([b"k"]) == {b"k": entry(-1.0)}
    await cache.close()
    again = CacheFile(path)
    again.put(b"k", entry(-9.0))
    await again.close()
    assert await content(path, [b"k"]) == {b"k": entry(-1.0)}


async def test_after_the_end_nothing_breaks(path: Path) -> None:
    """A late put or get of a closed cache does no harm: it knows what is in memory."""
    cache = CacheFile(path)
    await cache.close()
    cache.put(b"late", entry())
    assert cache.get([b"late", b"other"]) == {b"late": entry()}


async def test_a_locked_file_does_not_hold_the_loop(path: Path) -> None:
    """Another process's write lock delays no reader; its answers are written when it lets go."""
    known = await filled(path)
    cache = CacheFile(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    cache.put(b"new", entry())
    began = time.monotonic()
    assert len(cache.get(known)) == 3
    assert time.monotonic() - began < 0.1
    await asyncio.sleep(0.06)
    assert cache.get([b"new"]) == {b"new": entry()}
    other.execute("COMMIT")
    other.close()
    await cache.close()
    assert len(await content(path, [b"new"])) == 1


async def test_a_file_that_cannot_be_read_now_is_tried_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failing read is a miss, is told, and after a rest the file serves again."""
    known = await filled(path)
    now = [1000.0]
    cache = CacheFile(path, ticks=lambda: now[0])

    def failing(self: Table, wanted: Sequence[bytes]) -> dict[bytes, Entry]:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patch:
        patch.setattr(Table, "read", failing)
        assert cache.get(known) == {}
    assert "disk I/O error" in str(cache.trouble)
    assert cache.get(known) == {}
    now[0] += 2
    assert len(cache.get(known)) == 3
    assert cache.trouble is None
    await cache.close()


async def test_a_bad_row_is_a_miss(path: Path) -> None:
    """A row that does not parse is as if it were not there; its neighbours serve."""
    known = await filled(path)
    with sqlite3.connect(path) as db:
        db.execute("UPDATE answers SET value = 'nonsense' WHERE key = ?", (known[1],))
    db.close()
    assert list(await content(path, known)) in ([known[0], known[2]], [known[2], known[0]])
    assert not list(path.parent.glob("*corrupt*"))


def test_another_programs_database_is_left_alone(path: Path) -> None:
    """A sound database that is not ours is refused before anything is sent, and untouched."""
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE precious (x)")
    db.close()
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=r"run\.cache.*another program"):
        CacheFile(path)
    assert path.read_bytes() == before


def test_a_path_that_can_never_work_is_refused(tmp_path: Path) -> None:
    """A folder, a file where a folder should be, a device, an impossible name: exit 2, by name."""
    (tmp_path / "file").write_text("in the way")
    for setting in [tmp_path, tmp_path / "file" / "cache.db", Path(os.devnull), tmp_path / "\0"]:
        with pytest.raises(ConfigError, match=r"run\.cache"):
            open_cache(str(setting))
    with pytest.raises(ConfigError, match=r"run\.cache"):
        open_cache("")


async def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    """File, log, index and lock are 0600, folders that we make 0700, whatever the umask."""
    path = tmp_path / "new" / "deep" / "cache.db"
    before = os.umask(0)
    try:
        cache = CacheFile(path)
        cache.put(b"k", entry())
        await until(lambda: size(Path(f"{path}-wal")) > 0)
    finally:
        os.umask(before)
    files = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert files == dict.fromkeys(
        ["cache.db", "cache.db-wal", "cache.db-shm", "cache.db.lock"], 0o600
    )
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.parent.parent.stat().st_mode) == 0o700
    await cache.close()


async def test_no_text_is_in_the_file(path: Path) -> None:
    """Questions go in as hashes alone: their words are found nowhere in the file."""
    question = b'{"prompt": "the patient, Mr Featherstonehaugh, ", "labels": [" Yes", " No"]}'
    cache = CacheFile(path)
    cache.put(digest(question), entry())
    await until(lambda: size(Path(f"{path}-wal")) > 0)
    raw = b"".join(read(file) for file in path.parent.iterdir())
    await cache.close()
    raw += read(path)
    assert b"-2.5" in raw
    assert not any(word in raw for word in (b"Featherstonehaugh", b"patient", b" Yes"))


def test_the_default_is_where_caches_belong(monkeypatch: pytest.MonkeyPatch) -> None:
    """XDG_CACHE_HOME if it is a whole path, else ~/.cache."""
    monkeypatch.setenv("HOME", "/home/somebody")
    for base in ["", "relative/is/ignored"]:
        monkeypatch.setenv("XDG_CACHE_HOME", base)
        assert default_path() == Path("/home/somebody/.cache/bdpl-async/cache.db")
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert default_path() == Path("/elsewhere/bdpl-async/cache.db")


async def test_a_setting_names_a_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None is the default file, `none` is none, a path is a file."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HOME", str(tmp_path))
    expected = {
        None: tmp_path / "xdg" / "bdpl-async" / "cache.db",
        "~/mine.db": tmp_path / "mine.db",
        f"{tmp_path}/its.db": tmp_path / "its.db",
    }
    for setting, path in expected.items():
        cache = open_cache(setting)
        assert isinstance(cache, CacheFile)
        assert cache.path == path
        assert path.exists()
        await cache.close()
    assert open_cache("none") is None
    with pytest.raises(ConfigError, match="holds a password") as caught:
        open_cache("redis://:secret@host/0")
    assert "secret" not in str(caught.value)


async def test_a_default_that_cannot_be_is_no_reason_to_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody asked for that file by name, so the run has a cache in memory, and is told."""
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    cache = open_cache(None)
    assert isinstance(cache, MemoryCache)
    assert "Not a directory" in str(cache.trouble)
    cache.put(b"k", entry())
    assert cache.get([b"k"]) == {b"k": entry()}
    await cache.close()
