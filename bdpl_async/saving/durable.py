"""Files that are written whole or not at all, and are there after a power cut."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

__all__ = ["keep_names", "once_mended", "write_atomically"]


def once_mended(folder: Path, *, missing: bool = False) -> str:
    """What to do when a run's folder takes no more, or is `missing`."""
    cure = "put it back where it was" if missing else "make room or mend the disk"
    return f"{cure}, then go on with: bdpl-async resume {shlex.quote(str(folder))}"


def write_atomically(path: Path, content: bytes) -> None:
    """Write beside `path`, make it durable, rename: a reader sees the old file or the new one."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.unlink(missing_ok=True)  # of a killed process with our number
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(beside, flags, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    keep_names(path.parent)


def keep_names(folder: Path) -> None:
    """Make the names in a folder durable, where its file system can."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError:  # some network file systems take no fsync of a folder
        return
    finally:
        os.close(descriptor)
