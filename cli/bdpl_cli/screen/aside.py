"""What others print while the screen is up: kept, and printed once it is gone."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from bdpl_cli.stdout import silence

__all__ = ["Aside", "set_aside"]

MOST = 100_000  # characters; of more, the newest are kept


class Aside(io.TextIOBase):
    """Takes what is written, in place of a terminal, until it is opened.

    Args:
        stream: what it stands for.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._parts: list[str] = []
        self._size = 0
        self._open = False

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """As of what it stands for."""
        return self._stream.encoding or "utf-8"

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, text: str) -> int:
        """Keep it, or pass it on."""
        if self._open:
            return self._stream.write(text)
        self._parts.append(text)
        self._size += len(text)
        while self._size > MOST and len(self._parts) > 1:
            self._size -= len(self._parts.pop(0))
        return len(text)

    def flush(self) -> None:
        """Send what was passed on."""
        if self._open:
            self._stream.flush()

    def open(self) -> None:
        """There is no screen any more: what was kept goes where it belongs, and all that comes."""
        self._open = True
        if said := self.taken():
            try:
                self._stream.write(said)
                self._stream.flush()
            except OSError:  # whoever would read it is gone
                silence(self._stream)

    def taken(self) -> str:
        """What was written since this was last asked."""
        text, self._parts, self._size = "".join(self._parts), [], 0
        return text


@contextmanager
def set_aside(stderr: TextIO) -> Iterator[Aside]:
    """Standard error goes into the `Aside` inside, and to where it belongs at the end.

    Where it is no terminal, it disturbs no screen, and nothing is changed.
    """
    aside = Aside(stderr)
    if not stderr.isatty():
        yield aside
        return
    sys.stderr = aside
    try:
        yield aside
    finally:
        sys.stderr = stderr
        aside.open()
