"""``bdpl-async estimate``: what a run would send and cost, without sending anything."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from bdpl_cli.interrupts import finish
from bdpl_cli.options import Options

if TYPE_CHECKING:
    from bdpl_async.estimate import Estimate
    from bdpl_async.task import Task

__all__ = ["estimate"]


def estimate(
    task: Annotated[str, Parameter(help="A .toml file or a built-in name")] = "reviews",
    /,
    *,
    json: Annotated[bool, Parameter(help="One JSON document on stdout", negative=())] = False,
    options: Options = Options(),  # noqa: B008  frozen
) -> None:
    """Say what a run would send and cost; nothing is sent."""
    from bdpl_async.task import Task
    from bdpl_cli.stdout import print_json

    loaded = Task.from_toml(task, overrides=options.overrides())
    found = finish(_estimated(loaded))
    if json:
        config = loaded.config
        name = {"task": loaded.name, "model": config.model.name, "method": config.optimizer.method}
        print_json({**name, **asdict(found), "budget": config.budget.model_dump()})
    else:
        _show(loaded, found)


def _show(task: Task, found: Estimate) -> None:
    from bdpl_cli.plaintext import clean

    counted = "exact counts" if found.exact else "bounded by bytes, since the tokenizer is unknown"
    print(f"{clean(task.name)} on {clean(task.config.model.name)}, at most, with nothing cached:")
    print(f"  requests  {found.requests:>12,}  of up to {found.batch} texts each")
    print(f"  prompts   {found.prompts:>12,}  example evaluations")
    print(f"  tokens    {found.tokens:>12,}  {counted}")
    price = f"{found.usd:>12,.4f}" if found.usd is not None else f"{'unknown':>12}"
    print(
        f"  USD       {price}" + ("" if found.usd is not None else "  give --price-in, --price-out")
    )
    print(f"  updates   {found.updates:>12,}  {_bought(found)}")
    print(f"  scored on {found.dev} dev and {found.test} test examples")
    for note in found.notes:
        print(f"note: {clean(note)}")


def _bought(found: Estimate) -> str:
    if found.budget_updates is None:
        return "no budget limits them"
    return f"the budget buys {found.budget_updates:,}"


async def _estimated(task: Task) -> Estimate:
    from bdpl_async.estimate import estimate as count
    from bdpl_async.learning import DEFAULT_STEPS
    from bdpl_async.methods import searches
    from bdpl_async.session import Session
    from bdpl_async.start import candidates_with, starting_prompt
    from bdpl_cli.connecting import connected

    start = starting_prompt(task.config)
    vocabulary = candidates_with(start, task.vocabulary()) if searches(task.config) else ()
    async with connected(task.config, sends=False) as scorer:
        session = Session.prepare(task, scorer, task.config)
        return await count(session, vocabulary, DEFAULT_STEPS)
