"""`tune`: a whole run as one call."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path

from bdpl_async.budget import Budget
from bdpl_async.caching.cache import Cache
from bdpl_async.caching.file import open_cache
from bdpl_async.config import Config
from bdpl_async.events import Event, Finished
from bdpl_async.result import Result
from bdpl_async.run import Run
from bdpl_async.rundir import RunDir, refuse_taken
from bdpl_async.scorer import Keyed, Scorer
from bdpl_async.task import Task

__all__ = ["follow", "opened", "tune"]

Listener = Callable[[Event], None]


async def tune(
    task: Task,
    scorer: Scorer,
    *,
    budget: Budget | None = None,
    seed: int | None = None,
    out: str | Path | None = None,
    on_event: Listener | None = None,
    **optimizer: str | int | float,
) -> Result:
    """Learn a prompt for `task` on `scorer`.

    Args:
        task: examples, template, label words; its settings hold unless overridden here.
        scorer: a connected provider or an object of your own.
        budget: None takes the task's.
        seed: of everything random in the run; 0 is a seed, None takes the task's.
        out: RUN_DIR to write; None writes nothing.
        on_event: called with every event as it happens.
        optimizer: keys of the table [optimizer], as in ``steps=50, method="random"``.

    Raises:
        UsageError: task, settings or label words cannot be used; nothing was sent.
        BudgetTooSmall: the grant does not buy one update and its evaluation; nothing was sent.
        ProviderError: the model's side gave up.
    """
    config = _configured(task.config, scorer.name, budget, seed, optimizer)
    folder = None if out is None else Path(out)
    if folder is not None:
        refuse_taken(folder)
    if config.run.seed != task.config.run.seed:  # its own dev split and k-shot draw follow the seed
        task = Task.from_config(config, Path.cwd())
    async with opened(config, scorer) as cache:
        run = await Run.open(task, scorer, config, cache=cache)
        return await follow(run, folder, on_event or (lambda event: None))


@asynccontextmanager
async def opened(config: Config, scorer: Scorer) -> AsyncIterator[Cache | None]:
    """The response cache that the configuration names, for a scorer whose answers can be kept.

    Raises:
        ConfigError: the path that was given can never work.
    """
    cache = open_cache(config.run.cache) if isinstance(scorer, Keyed) else None
    try:
        yield cache
    finally:
        if cache is not None:
            await cache.close()


async def follow(run: Run, out: Path | None, on_event: Listener) -> Result:
    """Drive `run` to its end, write RUN_DIR if `out` names one, pass every event on."""
    recorder = nullcontext() if out is None else RunDir(out, run.config)
    with recorder as folder:
        async for event in run.events():
            if folder is not None:
                if isinstance(event, Finished):  # result.json comes last: with it, all is there
                    folder.keep(run.documents())
                folder.write(event)
            on_event(event)
            if isinstance(event, Finished):
                result = event.result
    return result


def _configured(
    config: Config,
    model: str,
    budget: Budget | None,
    seed: int | None,
    optimizer: Mapping[str, str | int | float],
) -> Config:
    """`config` with what the call overrides, checked like a file."""
    tables = config.model_dump()
    tables["model"]["name"] = model  # the one at hand, not the one in the file
    if budget is not None:
        tables["budget"] = asdict(budget)
    if seed is not None:
        tables["run"]["seed"] = seed
    tables["optimizer"].update(optimizer)
    return Config.check(tables, source="tune()")
