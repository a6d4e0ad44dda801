"""The terminal itself: its alternate screen, its size, and everything put back as it was.

Knows nothing of what is shown. It writes past Python's buffers, so that a signal can leave the
screen in the middle of anything.
"""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.text import Text

from bdpl_cli.screen.look import Look

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["Terminal", "unfit"]

ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[0m\x1b[2J"  # other screen, no cursor, no wrapping, empty
LEAVE = "\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l"
CLEAR = "\x1b[0m\x1b[2J"
DUMB = ("", "dumb", "unknown")
MONO = ("-mono", "-m")  # terminals without colours end so
PATIENCE = 1.0  # seconds between two looks at a terminal that takes nothing
FRESH = 40  # frames until all lines are written anew, should something else have written


def unfit(
    least: tuple[int, int],
    environment: Mapping[str, str] = os.environ,
    out: TextIO | None = None,
) -> str:
    """Why `out`, by default standard output, cannot show `least` columns and rows; "" if it can."""
    out = out or sys.stdout
    if not out.isatty():
        return f"standard {'error' if out is sys.stderr else 'output'} is no terminal"
    if os.name != "nt" and environment.get("TERM", "").lower() in DUMB:
        return f"the terminal is {environment.get('TERM') or 'unknown'} (TERM)"
    if Console(file=out).legacy_windows:
        return "this console knows no escape sequences"
    if not _in_front(out.fileno()):
        return "it runs in the background"
    columns, rows = os.get_terminal_size(out.fileno())
    if columns < least[0] or rows < least[1]:
        return f"the terminal has {columns}x{rows} characters, it takes {least[0]}x{least[1]}"
    return ""


class Terminal:
    """Standard output as a screen.

    Args:
        out: a terminal.
        write: takes what is to be sent; None sends it at once, past all buffers.
    """

    def __init__(self, out: TextIO, write: Callable[[str], None] | None = None) -> None:
        self._out = out
        name = os.environ.get("TERM", "")
        self._console = Console(
            file=out,
            highlight=False,
            markup=False,
            emoji=False,
            no_color=True if name.endswith(MONO) else None,
        )
        self._write = write or self._at_once
        self._shown: list[str] = []
        self._size = (0, 0)
        self._frames = 0
        self._echo: list[object] | None = None
        self.entered = False
        self.look = Look.of(out.encoding, name)

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows."""
        found = os.get_terminal_size(self._out.fileno())
        return found.columns, found.lines

    @property
    def in_front(self) -> bool:
        """Whether it is ours to draw on; not while we are in the background of a shell."""
        return _in_front(self._out.fileno())

    def enter(self) -> None:
        """Show the other screen, empty; what is typed is not shown."""
        if not self.entered:
            self.entered = True
            self._shown, self._size = [], (0, 0)
            self._echo = _silenced(self._out.fileno())
            self._write(ENTER)

    def leave(self) -> None:
        """Show what was there before; again and again if need be, also from a signal."""
        if self.entered:
            self.entered = False
            with suppress(OSError):  # a terminal that is gone needs no care
                self._write(LEAVE)
            _restored(self._out.fileno(), self._echo)

    def paint(self, frame: Sequence[Text], size: tuple[int, int]) -> None:
        """Draw what differs from what is there.

        Args:
            frame: as many lines, as wide, as `size` says.
            size: columns and rows; another one than before begins with an empty screen.
        """
        lines = self._rendered(frame, size[0])
        self._frames += 1
        parts = []
        if size != self._size or self._frames % FRESH == 0:
            parts.append(CLEAR if size != self._size else "")
            self._shown, self._size = [], size
        for place, text in enumerate(lines):
            if place >= len(self._shown) or self._shown[place] != text:
                parts.append(f"\x1b[{place + 1};1H\x1b[K{text}\x1b[0m")  # K would take a last cell
        self._shown = lines
        if parts:
            self._write("".join(parts))

    def _rendered(self, lines: Sequence[Text], width: int) -> list[str]:
        """The lines with the colours that the terminal has, or with none."""
        with self._console.capture() as captured:
            self._console.print(Text("\n").join(lines), soft_wrap=True, end="", width=width)
        return captured.get().split("\n")

    def _at_once(self, text: str) -> None:
        if os.name == "nt":  # whose console takes text, and bytes only in a code page of its own
            self._out.write(text)
            self._out.flush()
            return
        data = text.encode(self._out.encoding or "ascii", "replace")
        while data:
            try:
                data = data[os.write(self._out.fileno(), data) :]
            except BlockingIOError:  # someone made it so, and it takes no more for now
                select.select([], [self._out.fileno()], [], PATIENCE)


def _in_front(descriptor: int) -> bool:
    """Whether the terminal's shell has us in the foreground; true where there is no such thing."""
    if not hasattr(os, "tcgetpgrp"):
        return True
    try:
        return os.tcgetpgrp(descriptor) == os.getpgrp()
    except OSError:  # not the terminal that controls us: nobody else is in front of it
        return True


def _silenced(descriptor: int) -> list[object] | None:
    """Keys are no longer shown as they are typed; what to put back, if it can be."""
    termios = _termios()
    if termios is None or not _in_front(descriptor):
        return None
    try:
        before = termios.tcgetattr(descriptor)
        quiet = list(before)
        quiet[3] &= ~termios.ECHO
        termios.tcsetattr(descriptor, termios.TCSANOW, quiet)
    except termios.error:
        return None
    return list(before)


def _restored(descriptor: int, before: list[object] | None) -> None:
    termios = _termios()
    if termios is not None and before is not None and _in_front(descriptor):
        with suppress(termios.error):
            termios.tcsetattr(descriptor, termios.TCSANOW, before)


def _termios() -> ModuleType | None:
    try:
        import termios
    except ImportError:  # Windows
        return None
    return termios
