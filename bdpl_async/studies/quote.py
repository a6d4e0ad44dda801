"""What some asks would take of a budget, told and checked before anything is sent."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence

from bdpl_async.budget import Amount
from bdpl_async.errors import BudgetTooSmall
from bdpl_async.plan import Ask, total
from bdpl_async.session import Session
from bdpl_async.wording import counted, dollars

__all__ = ["affordable", "check_quote", "quote", "quoted"]


def quote(session: Session, asks: Sequence[Ask]) -> Amount:
    """What the asks take by the prices known now; a probe that is still to come is included."""
    gate = session.gate
    cost = total(gate.forecast.cost, asks)
    if gate.ledger.used.requests:
        return cost
    probes = gate.capabilities.probes
    probing = gate.forecast.cost(2 * probes)
    return cost + Amount(probes, probing.prompts, probing.tokens, probing.usd)


def quoted(amount: Amount) -> str:
    """An amount in words; tokens and dollars where they are known."""
    return (
        f"{counted(amount.prompts, 'prompt')} in {counted(amount.requests, 'request')}"
        + (f", about {counted(amount.tokens, 'token')}" if amount.tokens else "")
        + (f", {dollars(amount.usd)}" if amount.usd else "")
    )


def affordable(session: Session, asks: Callable[[int], Sequence[Ask]], count: int) -> int:
    """The largest number of examples, `count` at most, whose asks the budget holds; 0 for none."""
    affords = session.gate.forecast.affords
    return bisect_right(
        range(1, count + 1), False, key=lambda number: not affords(quote(session, asks(number)))
    )


def check_quote(
    session: Session, asks: Sequence[Ask], what: str, *, hint: str | None = None
) -> None:
    """Refuse to begin what the budget does not finish.

    Args:
        session: prepared, with its texts expected.
        asks: all that is to be sent.
        what: what it is for, for the message.
        hint: how to need less.

    Raises:
        BudgetTooSmall: saying what it takes.
    """
    gate = session.gate
    cost, ledger = quote(session, asks), gate.ledger
    if gate.forecast.affords(cost):
        return
    limit = ledger.shortage(cost) or "seconds"
    amount = getattr(ledger.budget, limit)
    granted = dollars(amount) if limit == "usd" else counted(amount, limit.removesuffix("s"))
    probing = gate.capabilities.probes and not ledger.used.requests
    raise BudgetTooSmall(
        f"{session.model}: the budget of {granted} is too small: {what} takes {quoted(cost)}"
        + (", the probe included" if probing else ""),
        hint=hint,
    )
