"""Questions to a person at a terminal, and to nobody else; Enter takes what is offered."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from bdpl_cli.plaintext import clean

__all__ = ["Asker"]


class Asker:
    """Asks on stderr and reads from stdin.

    Args:
        silent: never ask; every answer is the one that was offered.
    """

    def __init__(self, *, silent: bool) -> None:
        streams = (sys.stdin, sys.stderr)
        self.silent = silent or not all(stream.isatty() for stream in streams)

    def text(self, question: str, offered: str) -> str:
        """What was typed, or what was offered."""
        if self.silent:
            return offered
        print(clean(f"{question} [{offered}]"), end=" ", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line:  # the terminal was closed: nobody is there any more
            self.silent = True
            print(file=sys.stderr)
        return line.strip() or offered

    def choice(self, question: str, options: Sequence[str]) -> str:
        """One of `options`, by number or by name; the first is offered."""
        if self.silent or len(options) == 1:
            return options[0]
        for number, option in enumerate(options, start=1):
            print(clean(f"  {number}  {option}"), file=sys.stderr)
        while True:
            typed = self.text(question, "1")
            if typed in options:
                return typed
            if typed.isdecimal() and 1 <= int(typed) <= len(options):
                return options[int(typed) - 1]
            print(f"  a number from 1 to {len(options)}", file=sys.stderr)
