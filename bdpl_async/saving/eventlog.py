"""events.jsonl: what a run said, a line each; a log that cannot be written stops nothing.

Which lines it gets, so that it stays small, is the business of `bdpl_async.thinning`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import orjson

from bdpl_async.events import Event
from bdpl_async.thinning import Line, Thinning

__all__ = ["FILE", "EventLog"]

FILE: Final = "events.jsonl"


class EventLog:
    """The log of one run, private to the user.

    Args:
        path: made if it is not there.
        size: bytes of it that stand; what is behind them is cut off.

    Attributes:
        size: bytes so far.
        trouble: why lines are missing, in one sentence; None where none is.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path, size: int = 0) -> None:
        self.path = path
        self.trouble: str | None = None
        self._thinning = Thinning()
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.open(path, flags, 0o600)
        os.fchmod(self._file, 0o600)
        self.size = min(size, os.fstat(self._file).st_size)
        os.ftruncate(self._file, self.size)

    def write(self, event: Event) -> None:
        """Append what there is to say now, or remember why not; a later line may be written."""
        for line in self._thinning.lines(event):
            self._append(line)

    def _append(self, line: Line) -> None:
        spelled = orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
        try:
            written = os.pwrite(self._file, spelled, self.size)
            if written == len(spelled):
                self.size += written
                return
            os.ftruncate(self._file, self.size)  # a part of a line would spoil the next one
            reason = "it took a part of a line only"
        except OSError as error:
            reason = error.strerror or str(error)
        if self.trouble is None:
            self.trouble = f"{self.path}: cannot be written ({reason}): the log misses some events"

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)
