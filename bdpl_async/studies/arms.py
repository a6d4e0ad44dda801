"""The arms of a comparison: from a configuration to cells, each of which is to be run.

An arm is a model with a method; it has a run for every seed, and each run is a cell: done once,
then read back. All arms of a seed share one task as it was drawn, so that they see the same
examples. Knows no provider: whoever calls says how to connect.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from bdpl_async.channel import Channel
from bdpl_async.config import Config, ModelTable, resolve_task
from bdpl_async.overrides import Value
from bdpl_async.run import Run
from bdpl_async.studies.cells import Cell, Connect, find_cell, naming
from bdpl_async.task import Task

__all__ = ["Arm", "Wanted", "plan_arms", "rehearse"]

LONGEST: Final = 100  # bytes of a model and method in the name of a folder


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which arms; nothing named takes what the task's file says.

    Attributes:
        models: PROVIDER/NAME; one that stands in [[models]] has its settings.
        methods: none takes the file's, and where a single model is compared, beside it random
            search, the manual prompt where there is one, and the empty prompt.
        seeds: none takes the file's.
    """

    models: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Arm:
    """A model with a method, and its cells: one a seed, in the order of the seeds."""

    model: str
    method: str
    cells: tuple[Cell, ...]

    @property
    def name(self) -> str:
        """Model and method, as tables and comparison.json name the arm."""
        return f"{self.model} {self.method}"


def plan_arms(
    task: str | Path, overrides: Mapping[str, Value], wanted: Wanted, out: Path
) -> tuple[Arm, ...]:
    """Every arm, with a folder below `out` for each of its runs; models change slowest.

    Args:
        task: a TASK.toml, or a built-in task by name.
        overrides: dotted keys; those of [model] hold for all models.
        wanted: which arms.
        out: the comparison's folder.

    Raises:
        ConfigError: the configuration of an arm cannot be used.
        DataError: a data file cannot be used.
    """
    first = Task.from_toml(task, overrides=overrides)
    seeds = wanted.seeds or (first.config.run.seed,)
    tasks = [
        first
        if seed == first.config.run.seed
        else Task.from_toml(task, overrides=overrides, seed=seed)
        for seed in seeds
    ]
    folder = resolve_task(str(task)).absolute().parent
    models = _models(first.config, overrides, wanted.models, folder)
    methods = tuple(dict.fromkeys(wanted.methods)) or _usual(first.config, len(models))
    names = _told_apart([str(table["name"]) for table in models], "#")
    slugs = iter(_told_apart([_slug(f"{n}-{m}") for n in names for m in methods], "-"))
    return tuple(
        _arm(tasks, (name, table), method, out / next(slugs))
        for name, table in zip(names, models, strict=True)
        for method in methods
    )


def _usual(config: Config, models: int) -> tuple[str, ...]:
    """The methods of a comparison where none is named: of models with one, or of methods."""
    if models > 1:
        return (config.optimizer.method,)
    manual = () if config.prompt.manual is None else ("manual",)
    return tuple(dict.fromkeys((config.optimizer.method, "random", *manual, "empty")))


def _models(
    config: Config, overrides: Mapping[str, Value], names: Sequence[str], folder: Path
) -> list[dict[str, object]]:
    """The table [model] of every model."""
    given = {
        key.removeprefix("model."): value
        for key, value in overrides.items()
        if key.startswith("model.") and key != "model.name"
    }
    listed = [{**_absolute(table, folder), **given} for table in config.models]
    own = config.model.model_dump()
    if not names:
        return listed or [own]
    known = {str(table["name"]): table for table in listed}
    return [known.get(name, {**own, "name": name}) for name in dict.fromkeys(names)]


def _absolute(table: ModelTable, folder: Path) -> dict[str, object]:
    """A table of [[models]], its tokenizer named from the root, as the task's own is."""
    place = table.tokenizer
    if place is not None:
        place = str((folder / Path(place).expanduser()).absolute())
    return {**table.model_dump(), "tokenizer": place}


def _told_apart(names: Sequence[str], mark: str) -> list[str]:
    """The names, each once: a later one that is taken gets a number."""
    found: dict[str, None] = {}
    for name in names:
        tries = (name, *(f"{name}{mark}{number}" for number in range(2, len(names) + 2)))
        found[next(t for t in tries if t not in found)] = None
    return list(found)


def _slug(name: str) -> str:
    """A folder's name: short enough with a seed behind it, whatever alphabet it is in."""
    encoded = re.sub(r"[^\w.-]+", "-", name).encode()[-LONGEST:]
    return encoded.decode(errors="ignore").strip("-.")


def _arm(
    tasks: Sequence[Task], model: tuple[str, dict[str, object]], method: str, folder: Path
) -> Arm:
    name, table = model
    cells = []
    for task in tasks:
        tables = task.config.model_dump()
        # What a run shows and where it lies are no part of it: a rerun may ask for another --ui.
        tables["run"] |= {"out": None, "ui": "auto", "yes": False, "telemetry": None}
        tables["optimizer"]["method"] = method
        tables |= {"model": table, "models": []}
        source = f"arm {name} {method}"
        config = Config.check(tables, source=source, overrides={"optimizer.method": method})
        path = folder.with_name(f"{folder.name}-{config.run.seed}")
        cells.append(Cell(replace(task, config=config), path))
    return Arm(name, method, tuple(cells))


async def rehearse(arms: Sequence[Arm], connect: Connect) -> None:
    """Go as far with each arm as nothing is sent, so that none is refused after others have run.

    Raises:
        UsageError: an arm's settings, data or label words cannot be used, or a folder of it holds
            another run.
        BudgetTooSmall: the budget does not buy an arm one update and its evaluation.
        ProviderRefused: a model cannot be used at all.
    """
    waiting = [arm for arm in arms if None in [find_cell(cell) for cell in arm.cells]]
    for model in dict.fromkeys(arm.model for arm in waiting):
        due = [arm for arm in waiting if arm.model == model]
        async with connect(due[0].cells[0].config) as scorer:
            for arm in due:
                with naming(arm.name), suppress(_Rehearsed):
                    await Run.open(arm.cells[0].task, scorer, probing=_end)


class _Rehearsed(Exception):
    """Ends the opening of a run where it would begin to send."""


def _end(channel: Channel) -> AbstractAsyncContextManager[None]:
    @asynccontextmanager
    async def ending() -> AsyncIterator[None]:
        raise _Rehearsed
        yield

    return ending()
