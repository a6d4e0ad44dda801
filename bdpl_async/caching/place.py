"""Where a cache file lies: private, held while it is used, set aside when it cannot serve.

Everyone who has the file open holds ``FILE.lock`` together with others; whoever renames the file
holds it alone. Without that, a process that closes the renamed file would take the log of the new
one along. Knows nothing of what is in the file.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
import time
from pathlib import Path

from bdpl_async.caching.access import may_write
from bdpl_async.caching.table import Identity, identity_of
from bdpl_async.errors import ConfigError

__all__ = ["InUse", "Place"]

PARTS = ("-wal", "-shm", "")  # the file itself last: until it is moved, nothing has happened
HINT = "set run.cache (--cache) to a file that can be written, or to none"
PATIENCE = 2.0  # seconds
POLL = 0.005
PASSING = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE)  # may go by


class InUse(Exception):
    """Raised when others hold the file and do not let go."""


class Place:
    """One cache file, by its real path.

    Args:
        path: the file; links are followed.

    Raises:
        ConfigError: no file can ever be there.
    """

    def __init__(self, path: Path) -> None:
        try:
            self.path = path.expanduser().resolve()
            if self.path.exists() and not self.path.is_file():
                kind = "a folder" if self.path.is_dir() else "not a file"
                raise ConfigError(f"run.cache: {path}: is {kind}", hint=HINT)
        except (OSError, ValueError, RuntimeError) as error:
            raise _unusable(path, error) from None
        self._lock: int | None = None
        self._opening = threading.Lock()  # whoever reads and whoever writes hold it as one

    def prepare(self) -> None:
        """Make the file, empty, and its folder, if they are not there; nobody else may read them.

        Raises:
            ConfigError: that will never be possible.
            OSError: it is not possible now; the disk is full, say.
        """
        try:
            for folder in reversed(self.path.parents):
                if not folder.exists():
                    folder.mkdir(mode=0o700, exist_ok=True)
            self._create()
        except OSError as error:
            if error.errno in PASSING:
                raise
            raise _unusable(self.path, error) from None

    def hold(self) -> None:
        """Share the file with others until `release`.

        Raises:
            InUse: somebody is setting it aside, and does not finish.
            OSError: too many files are open.
        """
        with self._opening:
            if self._lock is not None and not self._is_current(self._lock):
                self.release()  # it went with its folder
            if self._lock is None:
                self._lock = self._lock_file()
        deadline = time.monotonic() + PATIENCE
        while not self._locked(fcntl.LOCK_SH):
            if time.monotonic() > deadline:
                raise InUse("another process holds it")
            time.sleep(POLL)

    def release(self) -> None:
        """Let go; whoever wants to set the file aside may do so now."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def replace(self, seen: Identity | None, kind: str) -> Path | None:
        """Set the file aside and begin an empty one. We hold it, and have it open no more.

        Args:
            seen: the file that cannot serve; if another stands there by now, it stays.
            kind: goes into the new name.

        Returns:
            Where the file is now; None if somebody else had set it aside.

        Raises:
            InUse: another process still uses it.
            OSError: it cannot be renamed.
        """
        self._locked(fcntl.LOCK_UN)  # or two who both hold it would wait for each other
        try:
            deadline = time.monotonic() + PATIENCE
            while identity_of(self.path) == seen:
                if self._locked(fcntl.LOCK_EX):
                    return self._moved(seen, kind)
                if time.monotonic() > deadline:
                    raise InUse("another process uses it")
                time.sleep(POLL)
            return None
        finally:
            self.hold()

    def _moved(self, seen: Identity | None, kind: str) -> Path | None:
        if identity_of(self.path) != seen:
            return None
        number = 1
        while os.path.lexists(aside := f"{self.path}.{kind}-{number}"):
            number += 1
        for part in PARTS:
            with contextlib.suppress(FileNotFoundError):
                os.rename(f"{self.path}{part}", f"{aside}{part}")
        self._create()
        return Path(aside)

    def _create(self) -> None:
        """An existing file is never opened here: closing it would undo SQLite's own locks."""
        with contextlib.suppress(FileExistsError):
            made = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            os.fchmod(made, 0o600)  # whatever the umask; SQLite gives its log the same rights
            os.close(made)

    def _lock_file(self) -> int | None:
        """None in a folder, or on a disk, that takes no such file: nothing is held there."""
        ours = not self.path.exists() or may_write(self.path)  # its owner could not open one of us
        for flags in (os.O_RDWR | os.O_CREAT, os.O_RDONLY) if ours else (os.O_RDONLY,):
            try:
                return os.open(f"{self.path}.lock", flags | os.O_CLOEXEC, 0o600)
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE):
                    raise
        return None

    def _is_current(self, lock: int) -> bool:
        found = os.fstat(lock)
        return identity_of(Path(f"{self.path}.lock")) == (found.st_dev, found.st_ino)

    def _locked(self, operation: int) -> bool:
        if self._lock is None:
            return True
        try:
            fcntl.flock(self._lock, operation | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # a file system without locks; then there is nothing to hold
            return True
        return True


def _unusable(path: Path, error: Exception) -> ConfigError:
    reason = getattr(error, "strerror", None) or str(error)
    return ConfigError(f"run.cache: {str(path)[:200]}: cannot be used: {reason}", hint=HINT)
