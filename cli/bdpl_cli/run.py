"""``bdpl-async run``: learn a prompt."""

from __future__ import annotations

import os
import re
from pathlib import Path
from time import strftime
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from bdpl_cli.interrupts import INTERRUPTED, finish
from bdpl_cli.learn import UNSAVED, learn
from bdpl_cli.options import Options
from bdpl_cli.stderr import say

if TYPE_CHECKING:
    from bdpl_async.config import Config

__all__ = ["run"]


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
    result = finish(learn(loaded, _run_dir(loaded.config)))
    return INTERRUPTED if result.stop_reason == "interrupted" else 0


def _run_dir(config: Config) -> Path:
    """``--out``, or a new folder below ``runs`` named after the run and the time."""
    if config.run.out is not None:
        return Path(os.path.normpath(config.run.out))
    name = re.sub(r"[^\w-]+", "-", config.task.name)[:60]  # a name may hold slashes
    stem = f"{name}-{config.optimizer.method}-{config.run.seed}"
    path = Path("runs") / f"{stem}-{strftime('%Y%m%d-%H%M%S')}"
    candidates = (path.with_name(f"{path.name}-{n}") for n in range(2, 1000))
    return path if not path.exists() else next(p for p in candidates if not p.exists())
