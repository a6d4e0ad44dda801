"""What some asks would take of a budget, told and checked before anything is sent."""

from __future__ import annotations

from collections.abc import Sequence

from bdpl_async.budget import Amount
from bdpl_async.errors import BudgetTooSmall
from bdpl_async.plan import Ask, total
from bdpl_async.session import Session

__all__ = ["check_quote", "quote", "quoted"]


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
        f"{amount.prompts:,} prompts in {amount.requests:,} request{'s' * (amount.requests != 1)}"
        + (f", about {amount.tokens:,} tokens" if amount.tokens else "")
        + (f", {amount.usd:.4f} USD" if amount.usd else "")
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
    cost, ledger = quote(session, asks), session.gate.ledger
    if session.gate.forecast.affords(cost):
        return
    limit = ledger.shortage(cost) or "seconds"
    granted = getattr(ledger.budget, limit)
    raise BudgetTooSmall(
        f"{session.model}: the budget of {granted} {limit} is too small:"
        f" {what} takes {quoted(cost)}",
        hint=hint,
    )
