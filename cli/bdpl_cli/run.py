"""``bdpl-async run``: learn a prompt."""

from __future__ import annotations

import os
import re
from pathlib import Path
from time import strftime
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from bdpl_cli.interrupts import INTERRUPTED, Interrupt, finish
from bdpl_cli.options import Options

if TYPE_CHECKING:
    from bdpl_async.config import Config
    from bdpl_async.result import Result
    from bdpl_async.task import Task

__all__ = ["run"]


def run(
    task: Annotated[str, Parameter(help="A .toml file or a built-in name")] = "reviews",
    /,
    *,
    options: Options = Options(),  # noqa: B008  frozen
) -> int:
    """Learn a prompt; without TASK on the built-in example and model, offline."""
    from bdpl_async.task import Task

    loaded = Task.from_toml(task, overrides=options.overrides())
    result = finish(_learn(loaded))
    return INTERRUPTED if result.stop_reason == "interrupted" else 0


async def _learn(task: Task) -> Result:

    from bdpl_async.run import Run
    from bdpl_async.rundir import refuse_taken
    from bdpl_async.tuning import follow, opened
    from bdpl_cli.connecting import connected
    from bdpl_cli.plaintext import clean
    from bdpl_cli.stdout import until_closed
    from bdpl_cli.views import make_view
    from bdpl_cli.waiting import telling

    out = _run_dir(task.config)
    refuse_taken(out)
    interrupt = Interrupt()
    async with connected(task.config) as scorer, opened(task.config, scorer) as cache:
        learning = await Run.open(task, scorer, cache=cache, probing=telling)
        interrupt.halt, interrupt.saved = learning.gate.halt, clean(str(out))
        view = until_closed(make_view(task.config.run.ui, out), interrupt.first)
        return await follow(learning, out, view)


def _run_dir(config: Config) -> Path:
    """``--out``, or a new folder below ``runs`` named after the run and the time."""
    if config.run.out is not None:
        return Path(os.path.normpath(config.run.out))
    name = re.sub(r"[^\w-]+", "-", config.task.name)[:60]  # a name may hold slashes
    stem = f"{name}-{config.optimizer.method}-{config.run.seed}"
    path = Path("runs") / f"{stem}-{strftime('%Y%m%d-%H%M%S')}"
    candidates = (path.with_name(f"{path.name}-{n}") for n in range(2, 1000))
    return path if not path.exists() else next(p for p in candidates if not p.exists())
