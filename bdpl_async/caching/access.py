"""How a cache file may be opened here: to read and write, or only to be read, and in which way.

A log (``-wal``) that nobody may write is no hindrance: SQLite reads it through the index that the
writers left (``-shm``), else through one in memory. Where no log is, the file is read as one that
nobody changes; that somebody did is seen by its `Signs`, looked at before every read. Nothing is
copied: a copy takes as much time and room as the cache is large, and is old when it is made.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

__all__ = ["WRITING", "Access", "Signs", "may_write", "only_reading", "signs_of"]

Sign = tuple[int, ...]
Signs = tuple[Sign | None, Sign | None, Sign | None]
"""Of the file, its log, and the log's index: what changes when somebody changes them."""


@dataclass(frozen=True, slots=True)
class Access:
    """A way to open a file.

    Attributes:
        query: of SQLite's URI.
        writable: whether rows can be added.
        alone: no lock is taken and the log's index is in memory, so nobody else's is needed.
        steady: the others' locks are heeded, so that a change of content is none for us.
    """

    query: str
    writable: bool = False
    alone: bool = False
    steady: bool = False


WRITING = Access("mode=rw", writable=True, steady=True)
SHARING = Access("mode=ro", steady=True)
RECOVERING = Access("mode=ro&vfs=unix-none", alone=True)
UNCHANGING = Access("mode=ro&immutable=1")


def may_write(path: Path) -> bool:
    """Whether rows can be added to an existing file: it, its log and the index can be written.

    Whoever may not write the file makes no log beside it either: its owner could not use that.
    """
    parts = [f"{path}{part}" for part in ("-wal", "-shm")]
    there = all(map(os.path.exists, parts))
    return all(os.access(part, os.W_OK) for part in [path, *(parts if there else [path.parent])])


def only_reading(path: Path) -> Access:
    """The way to read what others wrote, without making or changing any file."""
    _, log, index = signs_of(path)
    if log is None or not log[2]:
        return UNCHANGING
    return SHARING if index is not None else RECOVERING


def signs_of(path: Path) -> Signs:
    """What to look at again before each read that no lock protects."""
    return _sign(f"{path}"), _sign(f"{path}-wal"), _sign(f"{path}-shm")


def _sign(path: str) -> Sign | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
