"""The cache on disks that are full, read-only, gone or slow: it warns, and never stops a run.

Real file systems where this user may mount some in a namespace of his own; else those tests skip.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from bdpl_async.caching import care, reader
from bdpl_async.caching import writer as cachewriter
from bdpl_async.caching.cache import Kept
from bdpl_async.caching.file import CacheFile
from bdpl_async.caching.table import Table
from tests.cachekit import READ_ONLY, ROOT, SMALL, can_mount, content, entry, filled, keys, until

NAMES = """
import asyncio, errno, os, resource, sys, time
from pathlib import Path
from bdpl_async.caching import care, writer
from bdpl_async.caching.file import CacheFile
from bdpl_async.errors import ConfigError
from tests.cachekit import content, entry, filled, keys, until
writer.RETRY = 0.02
path = Path(sys.argv[1])
async def main():
"""
TAIL = "\nasyncio.run(main())\n"
POWER = "-dac_override,-dac_read_search"
UNPRIVILEGED = ["setpriv", f"--inh-caps={POWER}", f"--bounding-set={POWER}"]


mounting = pytest.mark.skipif(not can_mount(), reason="this user may mount no file system")


def started(script: str, path: Path, *before: str) -> subprocess.Popen[str]:
    """A process of its own that runs `script`, started by the words `before`."""
    body = NAMES + textwrap.indent(textwrap.dedent(script), "    ") + TAIL
    return subprocess.Popen(
        [*before, sys.executable, "-c", body, str(path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def told(script: str, path: Path, *before: str) -> str:
    """What such a process prints."""
    child = started(script, path, *before)
    said, complaint = child.communicate(timeout=60)
    assert child.returncode == 0, complaint
    return said


def mounted(script: str, path: Path, how: str) -> str:
    """The same, with the folder of `path` mounted as `how` says."""
    return told(script, path, "unshare", "-rm", "sh", "-c", how, str(path.parent))


def powerless(script: str, path: Path) -> str:
    """The same by a user who must keep to the rights of files."""
    if os.geteuid():
        return told(script, path)
    if shutil.which("setpriv") is None:
        pytest.skip("root may write everywhere, and nothing is here to become somebody else")
    return told(script, path, *UNPRIVILEGED)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "disk"
    folder.mkdir()
    return folder / "cache.db"


async def crashed(path: Path, index: bool) -> None:
    """The files of a run that was killed: 300 answers in the log alone."""
    lively = path.with_name("lively.db")
    known = await filled(lively, 0)
    running = CacheFile(lively)
    for key in known or keys(300):
        running.put(key, entry())
    other = CacheFile(lively)
    await until(lambda: len(other.get(keys(300))) == 300)
    for part in ["", "-wal", *(["-shm"] if index else [])]:
        shutil.copy(f"{lively}{part}", f"{path}{part}")
    await running.close()
    await other.close()
    for left in path.parent.glob("lively*"):
        left.unlink()


# A cache that may only be read

READS = """
    cache = CacheFile(path)
    before = sorted(os.listdir(path.parent))
    print(len(cache.get(keys(300))), cache.trouble, cache.notes)
    cache.put(b"new", entry())
    await until(lambda: cache.trouble is not None)
    print(len(cache.get([*keys(300), b"new"])), "is read-only: it is read" in cache.trouble)
    print(care.stats(path).entries, care.verify(path).fine)
    await cache.close()
    print(cache.trouble.endswith("1 answer was not saved"))
    print(before == sorted(os.listdir(path.parent)))
"""
READ = "300 None ()\n301 True\n300 True\nTrue\nTrue\n"
STATES = pytest.mark.parametrize("state", ["closed", "killed", "killed without an index"])


async def made(path: Path, state: str) -> None:
    if state == "closed":
        await filled(path, 300)
    else:
        await crashed(path, index=state == "killed")


@mounting
@STATES
async def test_a_cache_on_a_read_only_disk_is_read(path: Path, state: str) -> None:
    """Its answers are used, whatever its writers left; new ones are kept, and it is said."""
    await made(path, state)
    assert mounted(READS, path, READ_ONLY) == READ


@STATES
async def test_a_cache_in_a_read_only_folder_is_read(path: Path, state: str) -> None:
    """Somebody else's folder, in which nothing can be made: no log, no index, no lock."""
    await made(path, state)
    for file in path.parent.iterdir():
        file.chmod(0o444)
    path.parent.chmod(0o555)
    try:
        assert powerless(READS, path) == READ
    finally:
        path.parent.chmod(0o755)


async def test_nothing_is_made_beside_a_file_of_somebody_else(path: Path) -> None:
    """In a folder that all may write, a file that we may not: a log of ours would shut its owner
    out."""
    await filled(path, 300)
    path.with_name("cache.db.lock").unlink()
    os.chmod(path, 0o444)
    assert powerless(READS, path) == READ


@mounting
async def test_what_the_owner_adds_meanwhile_is_read(path: Path) -> None:
    """Its log may come, grow and go, be brought in and begun anew: rows are sound or missing."""
    await filled(path, 300)
    reads = """
        cache, found = CacheFile(path), 300
        print("ready", flush=True)
        while found < 900:
            answers = cache.get(keys(900))
            assert set(answers.values()) <= {entry()}
            assert len(answers) >= found, (len(answers), cache.trouble)
            found = len(answers)
            await asyncio.sleep(0.001)
        print(cache.trouble, cache.notes, list(path.parent.glob("*corrupt*")))
        await cache.close()
    """
    child = started(reads, path, "unshare", "-rm", "sh", "-c", READ_ONLY, str(path.parent))
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    for start in range(300, 900, 100):
        owner = CacheFile(path)
        for key in keys(900)[start : start + 100]:
            owner.put(key, entry())
            await asyncio.sleep(0.0002)
        await owner.close()
    said, _ = child.communicate(timeout=20)
    assert (child.returncode, said) == (0, "None () []\n")


# A disk that takes no more

FULL = """
    junk = path.with_name("junk")
    def fill():
        with open(junk, "ab", buffering=0) as file:
            try:
                while file.write(b"x" * 4096): pass
            except OSError as error:
                assert error.errno == errno.ENOSPC
"""


def full(script: str) -> str:
    return textwrap.dedent(FULL) + textwrap.dedent(script)


@mounting
def test_a_disk_that_fills_up_and_is_emptied(path: Path) -> None:
    """Every answer is had while it is full; when there is room they are written by themselves."""
    script = """
        cache = CacheFile(path)
        for key in keys(300): cache.put(key, entry())
        await asyncio.sleep(0.1)
        fill()
        for key in keys(3000): cache.put(key, entry())
        await until(lambda: cache.trouble is not None)
        print("answers are kept in memory" in cache.trouble, len(cache.get(keys(3000))))
        junk.unlink()
        await until(lambda: cache.trouble is None)
        cache.put(b"later", entry())
        await cache.close()
        print(cache.trouble, cache.notes, care.verify(path).fine, care.stats(path).entries)
    """
    small = SMALL.replace("256k", "1m")
    assert mounted(full(script), path, small) == "True 3000\nNone () True 3001\n"


@mounting
def test_a_full_disk_can_still_be_read(path: Path) -> None:
    """Not even the index of the log fits: what is there serves, and is sound."""
    script = """
        await filled(path, 300)
        path.with_name("cache.db.lock").unlink()
        fill()
        cache = CacheFile(path)
        print(len(cache.get(keys(300))), cache.trouble, care.stats(path).entries)
        cache.put(b"new", entry())
        await until(lambda: cache.trouble is not None)
        print(len(cache.get([*keys(300), b"new"])), care.verify(path).fine)
        await cache.close()
        print("; 1 answer was not saved" in cache.trouble)
        try:
            print(care.verify(path, repair=True).fine)
        except OSError as error:
            print("OSError", error.filename == str(path))
        junk.unlink()
        print(care.verify(path, repair=True).fine, len(await content(path, keys(300))))
    """
    said = mounted(full(script), path, SMALL)
    assert said == "300 None 300\n301 True\nTrue\nOSError True\nTrue 300\n"


@mounting
def test_a_run_that_begins_on_a_full_disk(path: Path) -> None:
    """No file can even be begun: answers are in memory, and in the file when there is room."""
    script = """
        fill()
        cache = CacheFile(path)
        print("answers are kept in memory" in cache.trouble)
        for key in keys(300): cache.put(key, entry())
        print(len(cache.get(keys(300))))
        junk.unlink()
        await until(lambda: not cache._writer.trouble)
        await cache.close()
        print(cache.trouble, cache.notes, len(await content(path, keys(300))))
    """
    assert mounted(full(script), path, SMALL) == "True\n300\nNone () 300\n"


def test_a_limit_on_the_size_of_files(path: Path) -> None:
    """EFBIG, as under a quota: no signal ends the run, and what was written is sound."""
    script = """
        await filled(path, 300)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
        cache = CacheFile(path)
        for key in keys(3000): cache.put(key, entry())
        await until(lambda: cache.trouble is not None)
        print("answers are kept in memory" in cache.trouble, len(cache.get(keys(3000))))
        print(care.verify(path).fine)
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        await until(lambda: cache.trouble is None)
        await cache.close()
        print(cache.trouble, care.verify(path).fine, len(await content(path, keys(3000))))
    """
    assert told(script, path) == "True 3000\nTrue\nNone True 3000\n"


def test_too_many_open_files(path: Path) -> None:
    """Neither log nor lock can be opened for a while: memory, then the file."""
    script = """
        await filled(path, 300)
        cache = CacheFile(path)
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
        open_ = []
        try:
            while True: open_.append(os.open(os.devnull, os.O_RDONLY))
        except OSError: pass
        cache.put(b"new", entry())
        await until(lambda: cache.trouble is not None)
        print("Too many open files" in cache.trouble, len(cache.get([*keys(300), b"new"])))
        for file in open_: os.close(file)
        await until(lambda: cache.trouble is None)
        await cache.close()
        print(cache.trouble, len(await content(path, [*keys(300), b"new"])))
    """
    assert told(script, path) == "True 301\nNone 301\n"


# A file that goes away under the hands of a run


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cachewriter, "RETRY", 0.02)


@pytest.mark.usefixtures("soon")
async def test_a_folder_that_vanishes(path: Path) -> None:
    """A new file is begun in a new folder, and it is said once: nothing goes into a deleted one."""
    cache = CacheFile(path)
    cache.put(b"early", entry())
    await asyncio.sleep(0.05)
    shutil.rmtree(path.parent)
    for name in (b"one", b"two"):
        cache.put(name, entry())
        await until(lambda name=name: path.exists() and count(path) > (name == b"two"))  # type: ignore[misc]
    assert set(cache.get([b"one", b"two"])) == {b"one", b"two"}
    await cache.close()
    assert cache.trouble is None
    (note,) = cache.notes
    assert "was removed or replaced while it was in use" in note
    assert len(await content(path, [b"one", b"two"])) == 2


@pytest.mark.usefixtures("soon")
async def test_a_folder_that_comes_back(path: Path) -> None:
    """While it is gone for good answers are kept; the same file serves again when it is back."""
    known = await filled(path)
    cache = CacheFile(path)
    cache.put(b"early", entry())
    await until(lambda: count(path) == 4)
    away = path.parent.with_name("away")
    path.parent.rename(away)
    path.parent.write_text("in the way")
    cache.put(b"while", entry())
    await until(lambda: cache.trouble is not None)
    assert cache.get([b"while"]) == {b"while": entry()}
    path.parent.unlink()
    away.rename(path.parent)
    await until(lambda: cache.trouble is None)
    await cache.close()
    assert len(await content(path, [*known, b"early", b"while"])) == 5


@pytest.mark.usefixtures("soon")
async def test_a_path_that_becomes_a_folder(path: Path) -> None:
    """The file is replaced by a folder and comes back: no answer of meanwhile is lost."""
    known = await filled(path)
    cache = CacheFile(path)
    aside = path.with_name("aside")
    os.rename(path, aside)
    os.mkdir(path)
    cache.put(b"new", entry())
    await until(lambda: cache.trouble is not None)
    assert len(cache.get([*known, b"new"])) == 4  # the old file is open still
    os.rmdir(path)
    os.rename(aside, path)
    await until(lambda: cache.trouble is None)
    await cache.close()
    assert len(await content(path, [*known, b"new"])) == 4


async def test_a_log_that_is_deleted(path: Path) -> None:
    """Somebody tidies up ``-wal``: what was in it is brought into the file, what comes is logged
    anew."""
    cache = CacheFile(path)
    for key in keys(50):
        cache.put(key, entry())
    await until(lambda: count(path) == 50)
    path.with_name("cache.db-wal").unlink()
    cache.put(b"more", entry())
    await until(lambda: count(path) == 51)
    assert len(cache.get([*keys(50), b"more"])) == 51
    assert cache.notes == ()
    await cache.close()
    assert care.verify(path).entries == 51


def count(path: Path) -> int:
    """Rows that another process would find now."""
    try:
        with sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True) as db:
            return int(db.execute("SELECT count(*) FROM answers").fetchone()[0])
    except sqlite3.Error:
        return 0


# A disk that is slow


def held(monkeypatch: pytest.MonkeyPatch, seconds: float) -> Callable[[], None]:
    """Let every read take so long, until what is given back is called."""
    read = Table.read

    def slow(self: Table, wanted: Sequence[bytes]) -> dict[bytes, Kept]:
        time.sleep(seconds)
        return read(self, wanted)

    monkeypatch.setattr(Table, "read", slow)
    return lambda: monkeypatch.setattr(Table, "read", read)


def asked(cache: CacheFile, known: Sequence[bytes]) -> tuple[int, float]:
    """How many are found, and how long the loop stood still for it."""
    began = time.monotonic()
    found = len(cache.get(known))
    return found, time.monotonic() - began


async def test_a_disk_that_stalls_holds_the_loop_once(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read of a second costs the loop `PATIENCE`, and nothing more until it is back."""
    monkeypatch.setattr(reader, "PATIENCE", 0.05)
    known = await filled(path)
    cache = CacheFile(path)
    release = held(monkeypatch, 0.3)
    found, blocked = asked(cache, known)
    assert found == 0
    assert 0.05 <= blocked < 0.2
    assert "does not answer" in str(cache.trouble)
    for _ in range(5):
        assert asked(cache, known)[1] < 0.02
    cache.put(b"new", entry())
    assert cache.get([b"new"]) == {b"new": entry()}
    release()
    await until(lambda: len(cache.get(known)) == 3)
    assert cache.trouble is None
    await cache.close()


async def test_a_slow_disk_is_waited_for_a_little(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A paid answer is worth a short wait."""
    known = await filled(path)
    cache = CacheFile(path)
    held(monkeypatch, 0.05)
    assert cache.get(known) == dict.fromkeys(known, entry())
    assert cache.trouble is None
    await cache.close()
