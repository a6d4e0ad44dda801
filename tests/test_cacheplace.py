"""The rules of `bdpl_async.caching.place`: several processes, and files that cannot serve."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from bdpl_async.caching.file import CacheFile
from bdpl_async.caching.place import InUse, Place
from bdpl_async.caching.table import identity_of
from tests.cachekit import (
    content,
    ended,
    entry,
    filled,
    keys,
    overwrite,
    process,
    read,
    until,
    write,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache.db"


def test_several_processes_write_at_once(path: Path) -> None:
    """Four that begin together on no file, all of whose answers are there in the end."""
    script = """
        async def work():
            cache = CacheFile(path)
            for number in range(400):
                cache.put(digest(f"{sys.argv[2]} {number}".encode()), entry())
                cache.put(digest(f"shared {number}".encode()), entry())
                if number % 20 == 0:
                    await asyncio.sleep(0.005)
            await cache.close()
            assert cache.trouble is None and cache.notes == (), (cache.trouble, cache.notes)
        asyncio.run(work())
    """
    writers = [process(script, path, name) for name in "abcd"]
    assert [ended(writer) for writer in writers] == [(0, "")] * 4
    for name in ["a", "b", "c", "d", "shared"]:
        assert len(asyncio.run(content(path, keys(400, name)))) == 400


def test_several_processes_meet_a_damaged_file(path: Path) -> None:
    """One of them sets it aside, once; all of them write into the new one."""
    path.write_bytes(b"no database at all " * 999)
    script = """
        async def work():
            cache = CacheFile(path)
            cache.put(sys.argv[2].encode(), entry())
            await asyncio.sleep(0.3)
            await cache.close()
            assert cache.trouble is None, cache.trouble
            print(len(cache.notes))
        asyncio.run(work())
    """
    writers = [process(script, path, name) for name in "abc"]
    said = [int(ended(writer)[1]) for writer in writers]
    assert sorted(said) == [0, 0, 1]
    assert len(asyncio.run(content(path, [b"a", b"b", b"c"]))) == 3
    assert [file.name for file in path.parent.glob("*corrupt*")] == ["cache.db.corrupt-1"]


async def test_a_file_in_use_is_not_pulled_away(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While another process holds the file, it is not renamed: the run goes on in memory."""
    monkeypatch.setattr("bdpl_async.caching.place.PATIENCE", 0.02)
    write(path, b"no database at all " * 999)
    other = Place(path)
    other.hold()
    cache = CacheFile(path)
    assert "another process uses it" in str(cache.trouble)
    assert identity_of(path) is not None
    assert not list(path.parent.glob("*corrupt*"))
    cache.put(b"k", entry())
    assert cache.get([b"k"]) == {b"k": entry()}
    third = Place(path)
    third.hold()
    with pytest.raises(InUse):
        third.replace(identity_of(path), "corrupt")
    third.release()
    other.release()
    await cache.close()
    assert cache.trouble is None
    assert await content(path, [b"k"]) == {b"k": entry()}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda raw: b"x" + raw[1:],
        lambda raw: raw[: len(raw) // 2],
        lambda raw: raw[:100] + b"\xff" * (len(raw) - 100),
        lambda raw: b"{}",
        lambda raw: raw[:10],
    ],
    ids=["magic", "truncated", "pages", "tiny", "header"],
)
async def test_a_damaged_file_is_set_aside(path: Path, spoil: Callable[[bytes], bytes]) -> None:
    """Nothing is deleted: the old bytes lie beside, a new file is begun, and it is said."""
    await filled(path, 500)
    damaged = spoil(read(path))
    write(path, damaged)
    cache = CacheFile(path)
    cache.get(keys(500))
    cache.put(b"new", entry())
    await until(lambda: bool(cache.notes))
    assert cache.get([b"new"]) == {b"new": entry()}
    await cache.close()
    assert cache.trouble is None
    assert "cache.db.corrupt-1" in cache.notes[0]
    assert path.with_name("cache.db.corrupt-1").read_bytes() == damaged
    assert await content(path, [b"new"]) == {b"new": entry()}


async def test_a_second_damaged_file_has_a_name_of_its_own(path: Path) -> None:
    """What was set aside before is not overwritten."""
    for text in (b"first", b"second"):
        write(path, text * 99)
        await CacheFile(path).close()
    assert path.with_name("cache.db.corrupt-1").read_bytes().startswith(b"first")
    assert path.with_name("cache.db.corrupt-2").read_bytes().startswith(b"second")


async def test_damage_during_a_run_loses_nothing_of_it(path: Path) -> None:
    """A page that breaks under the run is met while reading or writing; the run goes on."""
    await filled(path, 2_000)
    cache = CacheFile(path)
    overwrite(path, 2048)
    cache.put(b"before", entry())
    cache.get(keys(2_000))
    await until(lambda: bool(cache.notes))
    cache.put(b"after", entry())
    await cache.close()
    assert cache.trouble is None
    assert len(await content(path, [b"before", b"after"])) == 2


@pytest.mark.parametrize("version", [2, 99, 0])
async def test_another_schema_is_set_aside(path: Path, version: int) -> None:
    """A file of an older or newer program is kept, under a name that says what it is."""
    await filled(path)
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {version}")
    db.close()
    cache = CacheFile(path)
    assert cache.get(keys(3)) == {}
    assert f"schema {version}" in cache.notes[0]
    await cache.close()
    aside = path.with_name(f"cache.db.schema-{version}-1")
    with sqlite3.connect(aside) as db:
        assert db.execute("SELECT count(*) FROM answers").fetchone() == (3,)
    db.close()


async def test_a_file_system_without_locks(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some network disks refuse every lock: the file serves without."""

    def refuse(file: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    known = await filled(path)
    assert len(await content(path, known)) == 3


def test_a_lock_that_went_with_its_folder(path: Path) -> None:
    """Who holds a lock that nobody else can see holds the new one from the next opening on."""
    place = Place(path)
    place.prepare()
    place.hold()
    path.with_name("cache.db.lock").unlink()
    place.hold()
    with path.with_name("cache.db.lock").open() as lock, pytest.raises(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    place.release()
