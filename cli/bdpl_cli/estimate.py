"""``bdpl-async estimate``: what a run or a comparison would send and cost, sending nothing."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from bdpl_cli.given import wanted
from bdpl_cli.interrupts import finish
from bdpl_cli.options import EstimateOptions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bdpl_async.estimate import Estimate
    from bdpl_async.overrides import Value
    from bdpl_async.studies.arms import Arm
    from bdpl_async.task import Task

__all__ = ["estimate"]


def estimate(
    task: Annotated[str, Parameter(help="A .toml file or a built-in name")] = "reviews",
    /,
    *,
    json: Annotated[bool, Parameter(help="One JSON document on stdout", negative=())] = False,
    options: EstimateOptions = EstimateOptions(),  # noqa: B008  frozen
) -> None:
    """Say what a run would send and cost; nothing is sent.

    With several models or methods, with seeds, or with [[models]] in the file, it is what `compare`
    would: each run of each arm, and the total.
    """
    from bdpl_async.task import Task

    overrides = options.overrides()
    if _several(task, options, overrides):
        _of_arms(task, options, overrides, json)
        return
    named = {"model.name": options.model, "optimizer.method": options.method}
    overrides |= {key: value[0] for key, value in named.items() if value}
    _of_run(Task.from_toml(task, overrides=overrides), json)


def _several(task: str, options: EstimateOptions, overrides: Mapping[str, Value]) -> bool:
    """Whether that is a comparison and no single run."""
    from bdpl_async.config import load_config, resolve_task

    if options.seeds is not None or max(len(options.model), len(options.method)) > 1:
        return True
    return bool(load_config(resolve_task(task), overrides).models)


def _of_run(task: Task, json: bool) -> None:
    from bdpl_cli.runcosts import lines
    from bdpl_cli.stdout import print_json

    found = finish(_estimated([task]))[0]
    if json:
        config = task.config
        name = {"task": task.name, "model": config.model.name, "method": config.optimizer.method}
        print_json({**name, **asdict(found), "budget": config.budget.model_dump()})
    else:
        print("\n".join(lines(task, found)))


def _of_arms(
    task: str, options: EstimateOptions, overrides: Mapping[str, Value], json: bool
) -> None:
    """Every run of a comparison, and all of them together."""
    from bdpl_async.studies.arms import plan_arms
    from bdpl_cli.armcosts import document, lines
    from bdpl_cli.stdout import print_json

    arms = plan_arms(task, overrides, wanted(options, overrides), Path())
    found = finish(_by_arm(arms))
    if json:
        print_json(document(arms, found))
    else:
        print("\n".join(lines(arms, found)))


async def _by_arm(arms: Sequence[Arm]) -> list[list[Estimate]]:
    """For each arm an estimate a run."""
    return [await _estimated([cell.task for cell in arm.cells]) for arm in arms]


async def _estimated(tasks: Sequence[Task]) -> list[Estimate]:
    """One model's tasks, one after the other."""
    from bdpl_async.estimate import estimate as count
    from bdpl_async.learning import DEFAULT_STEPS
    from bdpl_async.methods import searches
    from bdpl_async.session import Session
    from bdpl_async.start import candidates_with, starting_prompt
    from bdpl_cli.connecting import connected

    found = []
    async with connected(tasks[0].config, sends=False) as scorer:
        for task in tasks:
            start = starting_prompt(task.config)
            vocabulary = candidates_with(start, task.vocabulary()) if searches(task.config) else ()
            session = Session.prepare(task, scorer, task.config)
            found.append(await count(session, vocabulary, DEFAULT_STEPS, start))
    return found
