"""The command line in a process that kills itself in the midst of one of its writes.

    python tests/doomed.py CALL N WHEN run task.toml --out out

CALL is a function of `os`: ``pwrite`` is one line of the journal or the log, ``fsync`` and
``replace`` write a checkpoint or a result, ``posix_fallocate`` makes room. At its N-th call the
process is killed (SIGKILL): WHEN is ``before`` it, ``after`` it, or ``half``, with half of what was
to be written on the disk. ``CALL:NAME`` counts only calls on a file whose name contains NAME. N = 0
counts the calls and kills nothing; the count is printed on stderr as ``doomed: COUNT``. With
BDPL_RENEW=BYTES in the environment a journal is renewed once it is longer than that.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "providers"), str(ROOT / "cli")]


class Doom:
    """Counts calls of one function, and ends the process at one of them."""

    def __init__(self, what: str, at: int, when: str) -> None:
        name, _, self.file = what.partition(":")
        self.at, self.when, self.count = at, when, 0
        self._real: Callable[..., Any] = getattr(os, name)
        setattr(os, name, self._called)

    def _called(self, *given: Any, **named: Any) -> Any:
        if self.file not in _named(given[0]):
            return self._real(*given, **named)
        self.count += 1
        if self.when == "fail" and 0 < self.at <= self.count:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if self.count != self.at:
            return self._real(*given, **named)
        if self.when == "half":
            descriptor, content, *where = given
            self._real(descriptor, content[: len(content) // 2], *where)
        elif self.when == "after":
            self._real(*given, **named)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("dead")


def _named(thing: int | str | Path) -> str:
    """The path of a file or of a descriptor."""
    return os.readlink(f"/proc/self/fd/{thing}") if isinstance(thing, int) else str(thing)


def main() -> None:
    """Run the command that follows the first three words."""
    doom = Doom(sys.argv[1], int(sys.argv[2]), sys.argv[3])
    if (most := os.environ.get("BDPL_RENEW")) is not None:
        from bdpl_async.saving import store

        setattr(store, "LARGE", int(most))  # noqa: B010  it is a constant otherwise
    from bdpl_cli.main import main as command

    try:
        command(sys.argv[4:])
    finally:
        print(f"doomed: {doom.count}", file=sys.stderr)


if __name__ == "__main__":
    main()
