"""The task of a finished run, loaded again with the data that it was learned from.

What a run left counts rows of its own data in their own order; so data that changed since are
refused, never taken for the same.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bdpl_async.config import Config, load_config
from bdpl_async.errors import DataError
from bdpl_async.kept import Kept
from bdpl_async.overrides import Value
from bdpl_async.task import Task

__all__ = ["reconfigured", "reopen", "same_data"]

SPENT = (
    *(f"budget.{limit}" for limit in ("requests", "prompts", "tokens", "usd", "seconds")),
    "models",
    "run.out",
    "run.ui",
)
"""Keys of run.toml that were for that run alone: its budget is spent, its folder is written."""


def reconfigured(kept: Kept, given: Mapping[str, Value]) -> Config:
    """The run's configuration without what was for that run alone, and with what is given now.

    Raises:
        ConfigError: something given cannot be used.
    """
    return load_config(kept.path / "run.toml", {**dict.fromkeys(SPENT), **given})


def reopen(kept: Kept, config: Config) -> Task:
    """The run's task by `config`, with the run's data.

    Raises:
        UsageError: the data are gone or cannot be read.
        DataError: they are not those of the run.
    """
    task = Task.from_config(config, kept.path)
    if not same_data(kept, task):
        raise DataError(
            f"{kept.path}: the data are not those that the run was learned from",
            hint=f"restore {config.task.train}, dev and test, or give the folder that holds them"
            " as --data DIR",
        )
    return task


def same_data(kept: Kept, task: Task) -> bool:
    """Whether the run's examples are those of `task`, and its answers are to them."""
    same = task.data_sha256 == kept.result.data_sha256
    for name, split in {"dev": task.dev, "test": task.test}.items():
        for answers in kept.answers.get(name, {}).values():
            count = len(answers.labels)
            same = same and np.array_equal(answers.labels, split.labels[:count])
    return same
