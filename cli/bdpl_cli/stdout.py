"""Standard output that ends no run: it takes every character, and it may lose its reader."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from typing import TypeVar

__all__ = ["print_json", "silence", "take_everything", "until_closed"]

T = TypeVar("T")


def take_everything() -> None:
    """Escape what the terminal's encoding cannot show."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def silence() -> None:
    """Send what is still to be printed nowhere, so that Python's last flush does not fail."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def until_closed(show: Callable[[T], None], closed: Callable[[], None]) -> Callable[[T], None]:
    """`show`, until nobody reads standard output any more; then `closed`, once, and silence."""

    def careful(item: T) -> None:
        try:
            show(item)
        except BrokenPipeError:
            silence()
            closed()

    return careful


def print_json(document: object) -> None:
    """One JSON document on standard output, and nothing else there."""
    import orjson

    sys.stdout.write(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode() + "\n")
