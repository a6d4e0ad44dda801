"""A plan whose end is certain, also where others draw on the same budget.

What comes after the search, choosing a prompt and scoring it, is kept for this run in its budget
group before the search begins. So a run that the group's budget ends still ends with a scored
prompt, whoever was faster.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Final

from bdpl_async.errors import BudgetTooSmall
from bdpl_async.plan import Plan, total
from bdpl_async.session import Session
from bdpl_async.sharing.member import Member

__all__ = ["keep_end", "secured_plan"]

TRIES: Final = 8  # others may take what is left between a look and a grip


async def secured_plan(session: Session) -> Plan:
    """The session's plan, as its diary has it or made now, with its end kept in the group.

    Raises:
        BudgetTooSmall: the budget, or what is left of the group's, does not buy one update and
            its evaluation.
        ProviderUnavailable: the group cannot be asked.
    """
    diary, group = session.gate.channel.books.diary, session.gate.channel.group
    if group is None:
        return Plan.of(diary.pick("plan", lambda: asdict(session.plan())))
    short: str | None = ""
    for _ in range(TRIES):
        plan = session.plan()
        if (short := await keep_end(session, group, plan)) is None:
            break
    if short is not None:
        raise BudgetTooSmall(f"the budget of group {group.name!r} has too few {short} left")
    picked = Plan.of(diary.pick("plan", lambda: asdict(plan)))
    if picked != plan:  # by an earlier process of this run
        await keep_end(session, group, picked)
    return picked


async def keep_end(session: Session, group: Member, plan: Plan) -> str | None:
    """Keep what `plan` takes after the search; the limit of the group that does not hold it."""
    return await group.keep(total(session.gate.forecast.cost, plan.closing()))
