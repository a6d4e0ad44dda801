"""A folder that one process works in: a second one is refused before it can spoil the first.

The lock goes with the process, so that a killed one leaves the folder free.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

from bdpl_async.errors import ConfigError

__all__ = ["Busy", "Claim"]

HINT: Final = "give another folder as --out"


class Busy(ConfigError):
    """Raised when another process works in a folder."""


class Claim:
    """A folder, made if it is not there, held until `close`.

    Args:
        folder: where.
        busy: what to do when another process works there.
        unwritable: what to do when it cannot be written.

    Raises:
        ConfigError: it cannot be written; `Busy`: another process works there.
    """

    def __init__(self, folder: Path, busy: str = HINT, unwritable: str = HINT) -> None:
        try:
            for above in (*reversed(folder.parents), folder):
                above.mkdir(mode=0o700, exist_ok=True)  # `parents` would make them by the umask
            flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            self._lock = os.open(folder / ".lock", flags, 0o600)
            os.fchmod(self._lock, 0o600)
        except (OSError, ValueError) as error:  # a path may hold what no file system takes
            reason = getattr(error, "strerror", None) or str(error)
            raise ConfigError(f"{folder}: cannot be written: {reason}", hint=unwritable) from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise Busy(f"{folder}: another process works there", hint=busy) from None

    def close(self) -> None:
        """Let others work in the folder."""
        os.close(self._lock)
