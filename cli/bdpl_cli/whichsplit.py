"""Which examples are scored where nobody said: test, else dev, with a word on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bdpl_cli.columns import wrapped
from bdpl_cli.stderr import say

if TYPE_CHECKING:
    from bdpl_async.kept import Kept
    from bdpl_async.task import Task

__all__ = ["scored_split"]


def scored_split(
    task: Task, asked: str | None, runs: Sequence[Kept], *, hushed: bool = False
) -> str:
    """The name of the split; says on stderr if it is not the one that a score should be of.

    Args:
        task: whose split.
        asked: the one that was asked for, which is taken whether it is there or not.
        runs: whose prompts are scored.
        hushed: say nothing.
    """
    if asked is not None:
        return asked
    if len(task.test):
        return "test"
    chosen = [run for run in runs if (run.result.chosen_from or 0) > 1]
    which, them = ("these prompts", "them") if len(chosen) > 1 else ("this prompt", "it")
    why = f", which chose {which} and so flatters {them}" if chosen else ""
    if not hushed:
        say(*wrapped(f"note: no test split: on dev{why}"))
    return "dev"
