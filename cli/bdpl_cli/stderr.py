"""What a person is told on stderr: no terminal obeys it, and nothing ends if nobody reads it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from traceback import extract_tb

from bdpl_async.keylike import hidden, known
from bdpl_cli.plaintext import clean
from bdpl_cli.stdout import silence

__all__ = ["mishap", "say", "warn", "warned"]

_once: set[str] = set()


def say(*lines: str) -> None:
    """Print these lines; if they cannot be, nothing else is, and nothing ends for it.

    No key that stands in the environment, or that looks like one, is among what is printed.
    """
    secrets = known(os.environ)
    lines = tuple(hidden(line, secrets) for line in lines)
    try:
        print(*map(clean, lines), sep="\n", file=sys.stderr, flush=True)
    except OSError:
        silence(sys.stderr)


def warn(message: str) -> None:
    """Say `message` in short lines, the first time that this command has it to say."""
    from bdpl_cli.columns import wrapped

    if message not in _once:
        _once.add(message)
        say(*wrapped(f"warning: {message}"))


def warned(message: str) -> bool:
    """Whether `warn` has said this, so that nobody need say it again."""
    return message in _once


def mishap(error: Exception) -> str:
    """What is said once of a fault in what shows a run, for whoever can mend it."""
    frames = extract_tb(error.__traceback__)
    place = f" in {Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""
    told = " ".join(f"{type(error).__name__} {error}".split())
    return f"bdpl-async: what shows the run failed, the run did not: {told}{place}"
