"""What a person is told on stderr: no terminal obeys it, and nothing ends if nobody reads it."""

from __future__ import annotations

import sys
from pathlib import Path
from traceback import extract_tb

from bdpl_cli.plaintext import clean
from bdpl_cli.stdout import silence

__all__ = ["mishap", "say"]


def say(*lines: str) -> None:
    """Print these lines; if they cannot be, nothing else is, and nothing ends for it."""
    try:
        print(*map(clean, lines), sep="\n", file=sys.stderr, flush=True)
    except OSError:
        silence(sys.stderr)


def mishap(error: Exception) -> str:
    """What is said once of a fault in what shows a run, for whoever can mend it."""
    frames = extract_tb(error.__traceback__)
    place = f" in {Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""
    told = " ".join(f"{type(error).__name__} {error}".split())
    return f"bdpl-async: what shows the run failed, the run did not: {told}{place}"
