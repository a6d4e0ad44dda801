"""The rules of `bdpl_async.securing`: a run's end is kept for it before others can take it."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from bdpl_async.budget import Amount
from bdpl_async.errors import BudgetTooSmall
from bdpl_async.plan import total
from bdpl_async.securing import secured_plan
from bdpl_async.session import Session
from bdpl_async.sharing.link import Link
from bdpl_async.sharing.member import Member
from bdpl_async.task import Task
from bdpl_providers.simulated import Simulated
from tests.test_member import Ledger
from tests.test_rediscache import Clock
from tests.workbench import write_task


class Crowded(Ledger):
    """Others keep so much that a wish is refused, until they have left.

    Attributes:
        refusals: how often.
    """

    def __init__(self, limit: int, refusals: int) -> None:
        super().__init__(limit)
        self.refusals = refusals

    async def run(self, script: str, *values: object, patience: float = 2.0) -> list[object]:
        found = await super().run(script, *values)
        if self.told[-1][3][2] and self.refusals:
            self.refusals -= 1
            found[2] = b"requests"
        return found


async def prepared(folder: Path, ledger: Ledger) -> tuple[Session, Member]:
    task = Task.from_toml(write_task(folder))
    clock = Clock()
    group = Member(cast(Link, ledger), "team", "mark", clock=clock, sleep=clock.sleep)
    await group.begin()
    return Session.prepare(task, Simulated("x"), task.config, group=group), group


async def test_what_comes_after_the_search_is_kept(tmp_path: Path) -> None:
    """At its price, in the group."""
    ledger = Ledger(200)
    session, group = await prepared(tmp_path, ledger)
    plan = await secured_plan(session)
    price = total(session.gate.forecast.cost, plan.closing())
    assert ledger.told[-1][2] == list(map(float, price.numbers))
    assert price != Amount()
    await group.close()


async def test_it_plans_with_what_the_group_has_left(tmp_path: Path) -> None:
    """Where that is less than its own budget."""
    large, group = await prepared(tmp_path, Ledger(10_000))
    whole = await secured_plan(large)
    await group.close()
    small, group = await prepared(tmp_path, Ledger(9))
    part = await secured_plan(small)
    await group.close()
    cost = small.gate.forecast.cost
    assert total(cost, part.closing()).requests < 9
    assert part != whole


async def test_who_is_outrun_plans_anew(tmp_path: Path) -> None:
    """A few times; then nothing is left for it, and that is said."""
    session, group = await prepared(tmp_path, Crowded(200, refusals=3))
    assert (await secured_plan(session)).dev
    await group.close()
    session, group = await prepared(tmp_path, Crowded(200, refusals=99))
    with pytest.raises(BudgetTooSmall, match="'team' has too few requests left"):
        await secured_plan(session)
    await group.close()


async def test_a_group_with_nothing_left_is_named(tmp_path: Path) -> None:
    """Its run learns which budget was too small."""
    session, group = await prepared(tmp_path, Ledger(0))
    with pytest.raises(BudgetTooSmall, match="budget group 'team'"):
        session.plan()
    await group.close()
