"""What a run would take, without sending anything.

An upper bound: every text is taken as new, none as answered before. Where the tokenizer is known,
tokens are counted on prompts drawn as the run's first ones are, half a standard deviation longer,
since what is learned may be longer than what is drawn at first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bdpl_async.budget import Amount
from bdpl_async.forecast import most_tokens
from bdpl_async.plan import Plan
from bdpl_async.records import Example, Prompt
from bdpl_async.scorer import Counting
from bdpl_async.session import Session

__all__ = ["Estimate", "estimate"]

PROMPTS = 64  # drawn to see how many tokens a prompt takes
ROWS = 32  # of a split, to see how many tokens the drawn prompts add
LENGTHENING = 0.5  # standard deviations of a prompt's tokens, on top of the mean


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run takes at most.

    Attributes:
        updates: what it does, by its steps or by what the budget buys.
        budget_updates: what the budget buys; None without one.
        exact: tokens are counted by the model's own tokenizer; else they are bounded by bytes.
        notes: what a person should know.
    """

    requests: int
    prompts: int
    tokens: int
    usd: float | None
    updates: int
    budget_updates: int | None
    dev: int
    test: int
    batch: int
    exact: bool
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Lengths:
    """Tokens of a text by its split, with a drawn prompt and with none."""

    train: float
    dev: tuple[float, float]
    test: tuple[float, float]


async def estimate(session: Session, vocabulary: Sequence[str], default_steps: int) -> Estimate:
    """Count without sending.

    Args:
        session: prepared, not probed.
        vocabulary: candidates of the prompts.
        default_steps: of a run that neither steps nor budget limit.

    Raises:
        BudgetTooSmall: the grant does not buy one update and its evaluation.
    """
    await session.expect()
    plan, gate = session.plan(), session.gate
    lengths = await _lengths(session, plan, vocabulary)
    fixed = _probe(session) + _closing(session, plan, lengths)
    each = _ask(session, plan.update, lengths.train) if plan.update else Amount()
    buys = _buys(session, fixed, each) if plan.update else None
    steps = session.config.optimizer.steps
    updates = min((n for n in (steps, buys) if n is not None), default=default_steps)
    updates = updates if plan.update else 0
    whole = _within(session, fixed + _times(each, updates), limited=updates == buys)
    return Estimate(
        requests=whole.requests,
        prompts=whole.prompts,
        tokens=whole.tokens,
        usd=whole.usd if gate.channel.terms.price is not None else None,
        updates=updates,
        budget_updates=buys,
        dev=plan.dev,
        test=plan.test,
        batch=gate.capabilities.batch,
        exact=gate.capabilities.exact,
        notes=(*gate.capabilities.notes, *plan.notes),
    )


def _probe(session: Session) -> Amount:
    """The requests before the first answer."""
    probes = session.gate.capabilities.probes
    texts = 2 * probes
    tokens = round(texts * session.gate.forecast.tokens_per_prompt)
    return Amount(probes, texts, tokens, _usd(session, texts, tokens))


def _closing(session: Session, plan: Plan, lengths: _Lengths) -> Amount:
    """The empty prompt on dev, the selection, and both prompts on test."""
    filled, empty = lengths.dev
    whole = _ask(session, plan.dev, empty)
    for count in plan.selection():
        whole += _ask(session, count, filled)
    filled, empty = lengths.test
    return whole + _ask(session, plan.test, filled) + _ask(session, plan.test, empty)


def _ask(session: Session, prompts: int, tokens_each: float) -> Amount:
    batch = session.gate.capabilities.batch
    tokens = round(prompts * (tokens_each + session.gate.capabilities.completion))
    return Amount(-(-prompts // batch), prompts, tokens, _usd(session, prompts, tokens))


def _usd(session: Session, prompts: int, tokens: int) -> float:
    price = session.gate.channel.terms.price
    written = prompts * session.gate.capabilities.completion
    return price.usd(max(0, tokens - written), written) if price is not None else 0.0


def _times(amount: Amount, count: int) -> Amount:
    return Amount(
        amount.requests * count, amount.prompts * count, amount.tokens * count, amount.usd * count
    )


def _buys(session: Session, fixed: Amount, each: Amount) -> int | None:
    """Whole updates that the budget has room for beside the rest; None without limits."""
    budget, counts = session.gate.ledger.budget, []
    for name in ("requests", "prompts", "tokens", "usd"):
        limit, cost = getattr(budget, name), getattr(each, name)
        if limit is not None and cost:
            counts.append(int((limit - getattr(fixed, name)) / cost))
    return max(1, min(counts)) if counts else None


def _within(session: Session, whole: Amount, *, limited: bool) -> Amount:
    """The estimate, never above the grant, and at the grant where the grant ends the run."""
    budget = session.gate.ledger.budget
    limits = (budget.requests, budget.prompts, budget.tokens, budget.usd)
    found = (whole.requests, whole.prompts, whole.tokens, whole.usd)
    capped = [v if limit is None else min(v, limit) for v, limit in zip(found, limits, strict=True)]
    if limited:  # the last update is cut to what is left, so a grant is used to its end
        shares = [v / limit for v, limit in zip(capped, limits, strict=True) if limit]
        grow = 1 / max(shares) if shares else 1.0
        grown = [v * grow for v in capped]
        capped = [
            v if limit is None else min(v, limit) for v, limit in zip(grown, limits, strict=True)
        ]
    requests, prompts, tokens, usd = capped
    return Amount(round(requests), round(prompts), round(tokens), usd)


async def _lengths(session: Session, plan: Plan, vocabulary: Sequence[str]) -> _Lengths:
    """Mean tokens of the texts to come."""
    prompts = _drawn(session, vocabulary)
    added = await _added(session, prompts)

    async def bare(examples: Sequence[Example]) -> float:
        return float(np.mean(await _count(session, Prompt(), examples))) if examples else 0.0

    task = session.task
    dev, test = (
        await bare(task.dev.examples[: plan.dev]),
        await bare(task.test.examples[: plan.test]),
    )
    train = await bare(task.train.examples)
    return _Lengths(train + added, (dev + added, dev), (test + added, test))


def _drawn(session: Session, vocabulary: Sequence[str]) -> list[Prompt]:
    """Prompts as the first update draws them; the one fixed prompt of a method without a search."""
    if not vocabulary:
        return [Prompt.of(session.config.prompt.manual or "")]
    rng = np.random.default_rng(session.config.run.seed)
    rows = rng.integers(len(vocabulary), size=(PROMPTS, session.config.prompt.length))
    return [Prompt(tuple(vocabulary[j] for j in row)) for row in rows]


async def _added(session: Session, prompts: Sequence[Prompt]) -> float:
    """Tokens that a prompt adds to a text."""
    examples = session.task.train.examples[:ROWS]
    bare = np.array(await _count(session, Prompt(), examples))
    means = [np.mean(np.array(await _count(session, p, examples)) - bare) for p in prompts]
    return float(np.mean(means) + LENGTHENING * np.std(means))


async def _count(session: Session, prompt: Prompt, examples: Sequence[Example]) -> list[int]:
    texts = [session.task.text(prompt, example) for example in examples]
    scorer = session.scorer
    if isinstance(scorer, Counting):
        return await scorer.count(texts, session.task.words)
    return [*map(most_tokens, texts)]
