"""``bdpl-async run``: learn a prompt."""

from __future__ import annotations

import os
import re
import shlex
from contextlib import AsyncExitStack
from pathlib import Path
from time import strftime
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from bdpl_cli.interrupts import INTERRUPTED, Interrupt, finish
from bdpl_cli.options import Options
from bdpl_cli.stderr import say

if TYPE_CHECKING:
    from bdpl_async.config import Config
    from bdpl_async.result import Result
    from bdpl_async.task import Task

__all__ = ["run"]

UNSAVED = "the run had not begun, so there is nothing to go on with"


def run(
    task: Annotated[str, Parameter(help="A .toml file or a built-in name")] = "reviews",
    /,
    *,
    options: Options = Options(),  # noqa: B008  frozen
) -> int:
    """Learn a prompt; without TASK on the built-in example and model, offline."""
    try:
        from bdpl_async.task import Task

        loaded = Task.from_toml(task, overrides=options.overrides())
    except KeyboardInterrupt:  # nobody listens to signals yet, and it would end without a word
        say(f"bdpl-async: stopping; {UNSAVED}")
        return INTERRUPTED
    result = finish(_learn(loaded))
    return INTERRUPTED if result.stop_reason == "interrupted" else 0


async def _learn(task: Task) -> Result:
    from bdpl_async.run import Run
    from bdpl_async.rundir import refuse_taken
    from bdpl_async.tuning import follow, opened
    from bdpl_cli.connecting import connected
    from bdpl_cli.plaintext import clean
    from bdpl_cli.views import watching
    from bdpl_cli.waiting import loading, telling

    out = _run_dir(task.config)
    refuse_taken(out)
    interrupt = Interrupt(UNSAVED)
    async with AsyncExitStack() as stack:
        async with loading(task.config.model.name):
            scorer = await stack.enter_async_context(connected(task.config))
        cache = await stack.enter_async_context(opened(task.config, scorer))
        learning = await Run.open(task, scorer, cache=cache, probing=telling)
        interrupt.halt, interrupt.saved = learning.gate.halt, clean(str(out))
        interrupt.onward = clean(f"bdpl-async resume {shlex.quote(str(out))}")
        ui = task.config.run.ui
        listener = await stack.enter_async_context(watching(ui, out, learning.pulse, interrupt))
        return await follow(learning, out, listener)


def _run_dir(config: Config) -> Path:
    """``--out``, or a new folder below ``runs`` named after the run and the time."""
    if config.run.out is not None:
        return Path(os.path.normpath(config.run.out))
    name = re.sub(r"[^\w-]+", "-", config.task.name)[:60]  # a name may hold slashes
    stem = f"{name}-{config.optimizer.method}-{config.run.seed}"
    path = Path("runs") / f"{stem}-{strftime('%Y%m%d-%H%M%S')}"
    candidates = (path.with_name(f"{path.name}-{n}") for n in range(2, 1000))
    return path if not path.exists() else next(p for p in candidates if not p.exists())
