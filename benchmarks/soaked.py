"""The command line as it is, in a process that counts its asyncio tasks while it runs.

    python benchmarks/soaked.py COUNTS run task.toml --max-requests 5000

COUNTS is a file of JSON lines: what was open before the event loop began, the tasks of each
second, what was left when the loop's work was done, and what is open after it. All else of a
process can be read from outside.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TextIO, TypeVar

T = TypeVar("T")
RUN = asyncio.run
OURS = 2  # tasks: the command's own, and the one that counts


def descriptors() -> list[str]:
    """What each open descriptor of this process is."""
    found = []
    for entry in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{entry}"))
        except FileNotFoundError:
            continue  # the one of the listing itself
    return sorted(found)


def threads() -> list[str]:
    """The names of the threads that run."""
    return sorted(thread.name for thread in threading.enumerate())


def note(file: TextIO, **facts: object) -> None:
    """One line."""
    file.write(json.dumps(facts) + "\n")
    file.flush()


async def beside(work: Coroutine[Any, Any, T], file: TextIO) -> T:
    """The command, and next to it the count of its tasks."""

    async def count() -> None:
        while True:
            note(file, tasks=len(asyncio.all_tasks()) - OURS)
            await asyncio.sleep(1.0)

    counting = asyncio.create_task(count())
    try:
        return await work
    finally:
        await asyncio.sleep(0)
        left = asyncio.all_tasks() - {asyncio.current_task(), counting}
        note(file, left=[str(task.get_coro()) for task in left])
        counting.cancel()


def main() -> None:
    """Run the command in `sys.argv`, but for its first word."""
    with Path(sys.argv[1]).open("w") as file:
        run(file, sys.argv[2:])


def run(file: TextIO, words: list[str]) -> None:
    """The command of these words."""

    def counted(work: Coroutine[Any, Any, T], **options: Any) -> T:
        note(file, before={"descriptors": descriptors(), "threads": threads()})
        try:
            return RUN(beside(work, file), **options)
        finally:
            gc.collect()
            note(file, after={"descriptors": descriptors(), "threads": threads()})

    asyncio.run = counted
    from bdpl_cli.main import main as command

    command(words)


if __name__ == "__main__":
    main()
