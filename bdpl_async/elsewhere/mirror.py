"""A run's folder kept up to date on another machine: what changed since it was last looked at.

A file that begins as it was is told by what it grew by, any other whole. Knows no Ray.
"""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bdpl_async.errors import ConfigError
from bdpl_async.saving.durable import write_atomically

__all__ = ["Change", "Mirror", "put", "whole"]

LOCK: Final = ".lock"  # of whoever works there
Sign = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Change:
    """What a file holds from `start` on; None for a file that is gone."""

    name: str
    start: int
    content: bytes | None


@dataclass(slots=True)
class Mirror:
    """Looks at one folder again and again.

    Args:
        folder: flat, as a RUN_DIR is.
    """

    folder: Path
    _seen: dict[str, tuple[Sign | None, tuple[int, int]]] = field(default_factory=dict)

    def changes(self) -> list[Change]:
        """What changed since the last look, result.json last: with it, all is there."""
        found = {path.name: path for path in self.folder.iterdir() if _ours(path)}
        gone = [Change(name, 0, None) for name in self._seen.keys() - found.keys()]
        for change in gone:
            del self._seen[change.name]
        names = sorted(found, key=lambda name: (name == "result.json", name))
        told = (self._change(name, found[name]) for name in names)
        return [*gone, *(change for change in told if change is not None)]

    def _change(self, name: str, path: Path) -> Change | None:
        try:
            with path.open("rb") as file:
                found = os.fstat(file.fileno())
                sign = (found.st_ino, found.st_size, found.st_mtime_ns)
                before, told = self._seen.get(name, (None, (0, 0)))
                if sign == before:
                    return None
                content = file.read()
        except FileNotFoundError:  # it went just now
            return None
        size, checksum = told
        grown = size <= len(content) and zlib.crc32(content[:size]) == checksum
        self._seen[name] = (sign, (len(content), zlib.crc32(content)))
        start = size if grown else 0
        return Change(name, start, content[start:])


def put(folder: Path, changes: list[Change]) -> None:
    """Do to `folder` what was done to its original; files are private to their owner.

    Raises:
        OSError: it cannot be written.
        ConfigError: a change that is none of a run's folder.
    """
    for change in changes:
        path = folder / change.name
        if path.parent != folder or not _ours(path):
            raise ConfigError(f"{folder}: {change.name!r} is no file of a run")
        if change.content is None:
            path.unlink(missing_ok=True)
        elif not change.start:
            write_atomically(path, change.content)
        else:
            _grow(path, change.start, change.content)


def whole(folder: Path) -> list[Change]:
    """All that a folder holds; nothing of one that is not there."""
    return Mirror(folder).changes() if folder.is_dir() else []


def _grow(path: Path, start: int, content: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o600), "r+b" if path.exists() else "wb") as file:
        file.truncate(start)
        file.seek(start)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _ours(path: Path) -> bool:
    """A file that another machine needs: neither a lock nor one that is being written."""
    return path.name != LOCK and not path.name.startswith(".") and not path.is_symlink()
