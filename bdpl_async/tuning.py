"""`tune` and `resume`: a whole run as one call."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path

from bdpl_async.budget import Budget
from bdpl_async.caching.cache import Cache, SharedCache
from bdpl_async.caching.file import open_cache
from bdpl_async.config import Config
from bdpl_async.errors import ConfigError, StorageError
from bdpl_async.events import Evaluated, Event, Finished, Step
from bdpl_async.kept import finished, read_run
from bdpl_async.result import Result
from bdpl_async.run import Run
from bdpl_async.rundir import RunDir, refuse_taken
from bdpl_async.scorer import Keyed, Scorer
from bdpl_async.sharing.grants import joined
from bdpl_async.sharing.member import Member
from bdpl_async.task import Task
from bdpl_async.telemetry.exporting import exporting

__all__ = ["follow", "opened", "resume", "tune"]

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
    if out is not None:
        refuse_taken(Path(out))
    if config.run.seed != task.config.run.seed:  # its own dev split and k-shot draw follow the seed
        task = Task.from_config(config, Path.cwd())
    task = replace(task, config=config)
    folder = None if out is None else RunDir(Path(out), config)
    with folder or nullcontext():
        async with opened(config, scorer) as (cache, group):
            run = await Run.open(task, scorer, cache=cache, group=group, folder=folder)
            return await follow(run, folder, on_event or _ignored)


async def resume(out: str | Path, scorer: Scorer, *, on_event: Listener | None = None) -> Result:
    """Go on with a run that was stopped, killed or crashed; the result is as if it never had been.

    Args:
        out: its RUN_DIR. Where the run is finished, nothing is asked and nothing changed.
        scorer: the same model.
        on_event: called with every event from here on.

    Raises:
        UsageError: there is no run, another process works on it, or data, task or model changed.
        ProviderError: the model's side gave up.
    """
    path = Path(out)
    if finished(path):
        return read_run(path).result
    task = Task.from_toml(path / "run.toml")
    if scorer.name != (model := task.config.model.name):
        raise ConfigError(
            f"{path}: a run of {model}, not of {scorer.name}", hint="resume it with its own model"
        )
    with RunDir(path, task.config, resumed=True) as folder:
        async with opened(task.config, scorer) as (cache, group):
            run = await Run.open(task, scorer, cache=cache, group=group, folder=folder)
            return await follow(run, folder, on_event or _ignored)


def _ignored(event: Event) -> None:
    """Nobody listens."""


@asynccontextmanager
async def opened(
    config: Config, scorer: Scorer, patience: float = 0.0
) -> AsyncIterator[tuple[Cache | None, Member | None]]:
    """What a run shares with others: the response cache, for a scorer whose answers can be kept,
    and the membership in a budget group; None for what the configuration does not name.

    Args:
        config: of the run.
        scorer: its model.
        patience: seconds to wait for a group that cannot be asked.

    Raises:
        ConfigError: the path or address that was given can never work, or the group cannot be
            asked.
        ProviderUnavailable: the group could not be asked for all of `patience`.
    """
    async with exporting(config.run.telemetry), joined(config, patience) as group:
        cache = open_cache(config.run.cache) if isinstance(scorer, Keyed) else None
        try:
            if isinstance(cache, SharedCache):
                await cache.open()
            yield cache, group
        finally:
            if cache is not None:
                await cache.close()


async def follow(run: Run, folder: RunDir | None, on_event: Listener) -> Result:
    """Drive `run` to its end, keep all in its RUN_DIR if it has one, pass every event on.

    Raises:
        StorageError: the folder takes no more; the run has ended in good order.
        BdplError: as `Run.events`.
    """
    lost: StorageError | None = None
    watch = run.gate.channel.observed
    async for event in run.events():
        told: list[Event] = []
        if watch is not None:
            watch.hear(event)
        if isinstance(event, Finished):
            result = event.result
            try:
                told = [] if folder is None else await folder.finish(event, run.documents())
            except StorageError as error:
                lost = error
        elif folder is not None:
            told = folder.write(event)
            _save(run, folder, event)
        for one in (*told, event) if isinstance(event, Finished) else (event, *told):
            on_event(one)
    if lost is not None:
        raise lost
    return result


def _save(run: Run, folder: RunDir, event: Event) -> None:
    """Keep the state of the run where it can be taken up: after the baseline, and steps."""
    baseline = isinstance(event, Evaluated) and (event.split, event.role) == ("dev", "empty")
    if (isinstance(event, Step) or baseline) and run.resting:
        try:
            folder.save(run.steps, run.snapshot(), run.gate.known())
        except StorageError as error:
            run.gate.channel.refuse(error)


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
