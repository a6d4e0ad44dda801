"""What a run would take, by a rehearsal: the run itself, with a stand-in for the model.

The stand-in counts tokens as the model's side would and answers alike to everything, so that the
same prompts are drawn, the same rows asked and the same cuts made as in a run whose policy has yet
to learn. Nothing is sent. Every text that the run itself does not repeat is taken as new.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import ceil

import numpy as np

from bdpl_async.budget import Amount, Budget, Ledger
from bdpl_async.config import Config
from bdpl_async.events import Step
from bdpl_async.forecast import most_tokens
from bdpl_async.methods import drawn
from bdpl_async.plan import DEV_SHARE, TEST_SHARE, Plan, total
from bdpl_async.records import Prompt, Reply, Request, Score, Text, Usage
from bdpl_async.run import Run
from bdpl_async.scorer import Capabilities, Counting, Line, Scorer, capabilities_of
from bdpl_async.session import Session
from bdpl_async.spending import Spending

__all__ = ["Estimate", "estimate"]

REHEARSED = 200  # updates; what is beyond them is taken to be like them
LENGTHENING = 1.025  # on tokens: what is learned may be longer than what is drawn at first
CUTS = 1.03  # on requests and prompts where tokens or dollars end the run: shorter texts, more cuts
ODD = 5  # small updates at the end of such a run
DRAWN = 64  # prompts, to see how long one may be
NAMES = ("requests", "prompts", "tokens", "usd")


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run takes at most.

    Attributes:
        updates: what it does, by its steps or by what the budget buys.
        budget_updates: what the budget buys; None without one.
        exact: tokens are counted by the model's own tokenizer; else they are a bound.
        notes: what a person should know.
        parts: of the whole, what goes to the probe, the updates (train), dev and test.
        each: one further update.
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
    parts: Mapping[str, Amount] = field(default_factory=dict)
    each: Amount = field(default_factory=Amount)

    def _repr_html_(self) -> str:
        """For notebooks."""
        from bdpl_async.cards import estimate_card

        return estimate_card(self)

    def bought(self, usd: float) -> int | None:
        """About as many updates as so many dollars buy; None where they cost nothing.

        Dev and test keep what they take here, but no more than their shares of a small grant.
        """
        if not self.usd or not self.each.usd:
            return None
        rest = max(usd - self.usd + self.parts["train"].usd, usd * (1 - DEV_SHARE - TEST_SHARE))
        return int(rest / self.each.usd)


class StandIn:
    """In the model's place: reports what an answer would be billed, and knows nothing.

    Args:
        scorer: counts tokens.
        capabilities: how it is asked; None: as it likes to be.
    """

    def __init__(self, scorer: Scorer, capabilities: Capabilities | None = None) -> None:
        self.name = scorer.name
        self.capabilities = capabilities or capabilities_of(scorer)
        self._scorer = scorer

    async def score(self, request: Request) -> Reply:
        """The same log-probabilities for all, and the tokens that they would have cost."""
        tokens = sum(await self.count(request.texts, request.labels))
        written = self.capabilities.completion * len(request.texts)
        alike = Score((-1.0,) * len(request.labels))
        return Reply([alike] * len(request.texts), Usage(tokens, written))

    async def count(self, texts: Sequence[Text], labels: tuple[str, ...]) -> list[int]:
        """By the model's own tokenizer, else by bytes."""
        if isinstance(self._scorer, Counting):
            return await self._scorer.count(texts, labels)
        return [most_tokens(text) for text in texts]

    async def probe(self, request: Request, line: Line) -> Capabilities:
        """As many requests as a probe may take."""
        texts = [text.before for text in request.texts]
        for _ in range(self.capabilities.probes):
            await line(partial(self.score, request), texts)
        return self.capabilities


async def estimate(
    session: Session,
    vocabulary: Sequence[str],
    default_steps: int,
    start: Prompt | None = None,
) -> Estimate:
    """Count without sending.

    Args:
        session: prepared, not probed.
        vocabulary: candidates of the prompts.
        default_steps: of a run that neither steps nor budget limit.
        start: the prompt that the search starts from, if it does from one.

    Raises:
        BudgetTooSmall: the grant does not buy one update and its evaluation.
    """
    rehearsal = await _rehearse(session, vocabulary, start)
    done, asked = rehearsal.done, session.config.optimizer.steps
    buys = rehearsal.buys
    updates = min((n for n in (asked, buys) if n is not None), default=default_steps)
    updates = updates if done else 0
    beyond = max(0, updates - done)
    whole = rehearsal.used + _times(rehearsal.each, beyond + (beyond > 0 and updates == buys))
    gate, plan = session.gate, rehearsal.plan
    price = gate.channel.terms.price
    if done:
        more = ceil(plan.test * await _longer(session, vocabulary, rehearsal.prompt))
        whole += Amount(tokens=more, usd=price.usd(more, 0) if price is not None else 0.0)
    whole = _bounded(session, whole, rehearsal, updates)
    return Estimate(
        requests=whole.requests,
        prompts=whole.prompts,
        tokens=whole.tokens,
        usd=whole.usd if price is not None or gate.capabilities.local else None,
        updates=updates,
        budget_updates=buys if done else None,
        parts=_parts(whole, rehearsal.spending, searched=updates > 0),
        each=rehearsal.each if done else Amount(),
        dev=plan.dev,
        test=plan.test,
        batch=gate.capabilities.batch,
        exact=gate.capabilities.exact,
        notes=(*gate.capabilities.notes, *plan.notes, *_group_notes(session.config)),
    )


def _group_notes(config: Config) -> Iterator[str]:
    """Others draw on a group's budget, and an estimate asks nobody."""
    if (name := config.group.name) is not None:
        yield (
            f"what the budget group {name!r} has left is not looked at: see bdpl-async group {name}"
        )


@dataclass(frozen=True, slots=True)
class _Rehearsal:
    """What a rehearsal came to.

    Attributes:
        used: all of it.
        done: updates.
        each: one of them.
        buys: updates that the budget has room for; None without limits.
        prompt: the one that was scored in the end.
        spending: where `used` went.
    """

    plan: Plan
    used: Amount
    done: int
    each: Amount
    buys: int | None
    prompt: Prompt
    spending: Spending


async def _rehearse(
    session: Session, vocabulary: Sequence[str], start: Prompt | None
) -> _Rehearsal:
    """Run with the stand-in, `REHEARSED` updates at most."""
    standin = StandIn(session.scorer, session.gate.capabilities)
    inner = Session.prepare(session.task, standin, _unhurried(session.config))
    await inner.expect(drawn(session.config, vocabulary))
    inner.plan()
    await inner.probe()
    plan, gate = inner.plan(), inner.gate
    run = Run(inner, tuple(vocabulary), plan, start)
    before = learned = closing = Amount()
    async for event in run.events():
        if isinstance(event, Step):
            learned, closing = gate.ledger.used, total(gate.forecast.cost, plan.closing())
        elif not run.result().steps_done:
            before = gate.ledger.used
    result = run.result()
    done = result.steps_done
    each = _part(learned - before, done)
    room = _buys(gate.ledger.budget, learned + closing + plan.reserve, each)
    if result.stop_reason == "budget":
        room = 0
    buys = None if room is None else done + room
    spent = result.spending or Spending()
    return _Rehearsal(plan, gate.ledger.used, done, each, buys, Prompt(result.tokens), spent)


async def _longer(session: Session, vocabulary: Sequence[str], prompt: Prompt) -> float:
    """Tokens by which a rather long prompt, half a deviation above the mean, exceeds `prompt`."""
    rng = np.random.default_rng(session.config.run.seed)
    rows = rng.integers(len(vocabulary), size=(DRAWN, session.config.prompt.length))
    prompts = [prompt, *(Prompt(tuple(vocabulary[j] for j in row)) for row in rows)]
    row = session.task.train.examples[0]
    texts = [session.task.text(one, row) for one in prompts]
    known, *drawn = await StandIn(session.scorer).count(texts, session.task.words)
    return max(0.0, float(np.mean(drawn) + np.std(drawn) / 2) - known)


def _unhurried(config: Config) -> Config:
    """Without limits of time, and no longer than `REHEARSED`."""
    steps = min(config.optimizer.steps or REHEARSED, REHEARSED)
    return config.model_copy(
        update={
            "model": config.model.model_copy(update={"rpm": None, "tpm": None}),
            "budget": config.budget.model_copy(update={"seconds": None}),
            "optimizer": config.optimizer.model_copy(update={"steps": steps}),
        }
    )


def _parts(whole: Amount, spent: Spending, *, searched: bool) -> dict[str, Amount]:
    """The whole by what it is for: what a search may take beyond its rehearsal is the updates'."""
    rest = whole - spent.probe - spent.dev - spent.test if searched else Amount()
    train = Amount(*(max(0, getattr(rest, name)) for name in NAMES))
    return {"probe": spent.probe, "train": train, "dev": spent.dev, "test": spent.test}


def _part(amount: Amount, parts: int) -> Amount:
    """The largest of `parts` equal parts, in whole requests, prompts and tokens."""
    if not parts:
        return Amount()
    requests, prompts, tokens = (ceil(getattr(amount, name) / parts) for name in NAMES[:3])
    return Amount(requests, prompts, tokens, amount.usd / parts)


def _times(amount: Amount, count: int) -> Amount:
    return Amount(
        amount.requests * count, amount.prompts * count, amount.tokens * count, amount.usd * count
    )


def _buys(budget: Budget, used: Amount, each: Amount) -> int | None:
    """Updates that there is room for beside what is `used`; None without limits."""
    counts = []
    for name in NAMES:
        limit, cost = getattr(budget, name), getattr(each, name)
        if limit is not None and cost:
            counts.append(max(0, int((limit - getattr(used, name)) / cost)))
    return min(counts, default=None)


def _bounded(session: Session, found: Amount, seen: _Rehearsal, updates: int) -> Amount:
    """`found` with what learning may add, never above the grant less what is kept for a kill.

    Where tokens can only be bounded here and end the run, it takes all that it may: bounds that
    turn out loose buy more updates.
    """
    budget, searched = session.gate.ledger.budget, updates > 0
    loose = not session.gate.capabilities.exact and updates == seen.buys
    fullest = Ledger(budget).share(seen.used)
    longer = LENGTHENING if searched else 1.0
    cuts = CUTS if searched and (budget.tokens or budget.usd) else 1.0
    odd = ODD if cuts > 1.0 else 0
    wanted = Amount(
        ceil(found.requests * cuts) + odd,
        ceil(found.prompts * cuts),
        ceil(found.tokens * longer),
        found.usd * longer,
    )
    values = [getattr(wanted, name) for name in NAMES]
    for place, name in enumerate(NAMES):
        if (limit := getattr(budget, name)) is not None:
            most = max(limit - getattr(seen.plan.reserve, name), getattr(seen.used, name))
            paid = name in ("tokens", "usd") and getattr(seen.used, name) >= fullest * limit
            values[place] = most if loose and paid else min(values[place], most)
    return Amount(*values)
