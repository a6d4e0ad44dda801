"""Standard output that ends no run: it takes every character, and it may lose its reader."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import TextIO

__all__ = ["print_json", "silence", "take_everything"]


def take_everything() -> None:
    """Escape what the terminal's encoding cannot show; what goes to a closed stream is lost."""
    for name in ("stdin", "stdout", "stderr"):  # else a file of ours would get its number
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, os.fdopen(nowhere, "r" if name == "stdin" else "w"))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def silence(stream: TextIO | None = None) -> None:
    """Send what is still to be printed nowhere, so that Python's last flush does not fail.

    Args:
        stream: by default standard output.
    """
    with suppress(io.UnsupportedOperation, AttributeError):  # one that stands for a file
        number = (stream or sys.stdout).fileno()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, number)
        os.close(nowhere)


def print_json(document: object) -> None:
    """One JSON document on standard output, and nothing else there."""
    import orjson

    from bdpl_cli.plaintext import escaped

    sys.stdout.write(escaped(orjson.dumps(document, option=orjson.OPT_INDENT_2)) + "\n")
