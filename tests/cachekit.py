"""What tests of the cache share: entries, closed files, other processes."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from bdpl_async.caching.cache import Entry, digest
from bdpl_async.caching.file import CacheFile
from bdpl_async.caching.row import Row, packed
from bdpl_async.records import Score

ROOT = Path(__file__).parent.parent

# Words for `unshare -rm sh -c`: mount on the folder that comes first, then run what comes after.
READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
SMALL = 'mount -t tmpfs -o size=256k small "$0" && exec "$@"'
FULL = SMALL.replace("exec", "! dd if=/dev/zero of=$0/junk 2>/dev/null && exec")


@cache
def can_mount() -> bool:
    """Whether this user may have file systems of his own."""
    if shutil.which("unshare") is None:
        return False
    words = ["unshare", "-rm", "sh", "-c", SMALL, tempfile.gettempdir(), "true"]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def entry(value: float = -1.0) -> Entry:
    return Entry(Score((value, -2.5), mass=0.25, censored=(False, True)), 12, 1)


def keys(count: int, name: str = "key") -> list[bytes]:
    return [digest(f"{name} {number}".encode()) for number in range(count)]


async def filled(path: Path, count: int = 3, name: str = "key") -> list[bytes]:
    """A closed cache with so many entries."""
    cache = CacheFile(path)
    for key in keys(count, name):
        cache.put(key, entry())
    await cache.close()
    return keys(count, name)


async def content(path: Path, wanted: Sequence[bytes]) -> dict[bytes, Entry]:
    cache = CacheFile(path)
    try:
        return cache.get(wanted)
    finally:
        await cache.close()


async def until(condition: Callable[[], bool]) -> None:
    """Come back when it is so; ten seconds is never."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it never came to be"
        await asyncio.sleep(0.002)


def process(script: str, *arguments: object) -> subprocess.Popen[str]:
    """Another process that runs `script` with the cache's names at hand."""
    names = """
        import asyncio, os, signal, sys, time
        from pathlib import Path
        from bdpl_async.caching.cache import Entry, digest
        from bdpl_async.caching.file import CacheFile
        from bdpl_async.records import Score
        path = Path(sys.argv[1])
        def entry(value=-1.0):
            return Entry(Score((value, -2.5), mass=0.25, censored=(False, True)), 12, 1)
    """
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(names) + textwrap.dedent(script)]
        + [str(argument) for argument in arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )


def rows(known: Sequence[bytes]) -> list[Row]:
    """What these keys and an entry are in a table."""
    return [row for key in known if (row := packed(key, entry())) is not None]


def ended(child: subprocess.Popen[str]) -> tuple[int, str]:
    """Its exit code and what it printed."""
    printed, _ = child.communicate(timeout=60)
    return child.returncode, printed


def size(path: Path) -> int:
    """Bytes; none where no file is."""
    return path.stat().st_size if path.exists() else 0


def read(path: Path) -> bytes:
    return path.read_bytes()


def write(path: Path, raw: bytes) -> None:
    path.write_bytes(raw)


def overwrite(path: Path, start: int) -> None:
    """Spoil everything from `start`, under the hands of whoever has the file open."""
    with path.open("r+b") as file:
        file.seek(start)
        file.write(b"\xff" * (size(path) - start))
