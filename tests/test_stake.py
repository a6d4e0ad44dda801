"""The rules of `bdpl_async.stake`: what is kept back for a kill, and that it is enough."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bdpl_async.budget import Amount, Budget, Ledger
from bdpl_async.events import Finished
from bdpl_async.plan import Plan
from bdpl_async.records import Reply, Request, Usage
from bdpl_async.result import Result
from bdpl_async.run import Run
from bdpl_async.scorer import Capabilities
from bdpl_async.session import Session
from bdpl_async.stake import Stake
from bdpl_async.task import Task
from bdpl_providers.simulated import Simulated

LEAST_USED = 0.8  # of a budget that ends a run
NEVER = 0
Settings = dict[str, str | int | float | None]


def held(requests: int, prompts: int) -> Amount:
    """Ten tokens a text, at a dollar for a thousand."""
    return Amount(requests, prompts, 10 * prompts, prompts / 100)


def always(kept: Amount) -> bool:
    return True


class Remote(Simulated):
    """The simulated beliefs, of a server that a process leaves behind when it is killed.

    Args:
        batch: texts in a list.
        local: no server after all.
        dies: at this request, all that is reserved is lost and the run goes on, as if resumed.
    """

    def __init__(self, batch: int = 1, *, local: bool = False, dies: int = NEVER) -> None:
        super().__init__()
        self.capabilities = Capabilities(batch=batch, local=local, exact=True, completion=1)
        self.ledger = Ledger(Budget())
        self.requests = 0
        self._dies = dies

    async def score(self, request: Request) -> Reply:
        self.requests += 1
        number = self.requests
        await asyncio.sleep(0)  # so that others are sent meanwhile
        if number == self._dies:
            lost = self.ledger.held
            self.ledger.crash(self.ledger.reserve(lost))
        reply = await super().score(request)
        return replace(reply, usage=Usage(reply.usage.prompt_tokens, len(request.texts)))


@dataclass(frozen=True)
class Ended:
    """A run that came to its end."""

    result: Result
    ledger: Ledger

    @property
    def learned(self) -> list[object]:
        """All that must be the same, killed or not."""
        found = self.result
        dev, test = found.dev, found.test
        scores = [score and (score.score, score.n) for score in (dev, test, found.baseline.dev)]
        return [found.prompt, found.losses, found.stop_reason, *scores]


def task(limit: str, amount: float, **more: int) -> Task:
    prices = {"model.price_in": 2.0, "model.price_out": 8.0} if limit == "usd" else {}
    settings: Settings = {f"budget.{limit}": amount, **prices}
    settings |= {f"model.{name}": value for name, value in more.items()}
    return Task.from_toml("reviews", overrides=settings)


async def ended(learned: Task, scorer: Remote) -> Ended:
    run = await Run.open(learned, scorer)
    scorer.ledger = run.gate.ledger
    *_, last = [event async for event in run.events()]
    assert isinstance(last, Finished)
    return Ended(last.result, run.gate.ledger)


async def planned(learned: Task, scorer: Remote) -> Plan:
    session = Session.prepare(learned, scorer, learned.config)
    await session.expect()
    return session.plan()


@pytest.mark.parametrize(
    ("budget", "needed"),
    [
        (Budget(requests=9), True),
        (Budget(prompts=9), True),
        (Budget(tokens=9), True),
        (Budget(usd=9.0), True),
        (Budget(seconds=9.0), False),
        (Budget(), False),
    ],
)
def test_only_what_is_counted_can_be_lost(budget: Budget, needed: bool) -> None:
    """A limit of time has nothing to keep back, and a model of this machine loses nothing."""
    assert Stake.needed(budget, local=False) is needed
    assert Stake.needed(budget, local=True) is False


@given(
    st.builds(
        Budget,
        requests=st.none() | st.integers(1, 3000),
        prompts=st.none() | st.integers(1, 3000),
        tokens=st.none() | st.integers(1, 90_000),
        usd=st.none() | st.floats(0.01, 90.0),
    ),
    st.none() | st.integers(1, 300),
    st.integers(1, 64),
    st.integers(0, 400),
)
def test_no_more_is_kept_back_than_a_share(
    budget: Budget, most: int | None, batch: int, update: int
) -> None:
    """Six per cent of what is counted, five of what is paid; more only for a single request."""
    stake = Stake(budget, most, batch, held)
    count, kept = stake.kept(update, max(update, 500), always)
    assert 1 <= count <= (most or inf)
    assert kept in (Amount(), held(count, count * batch))
    counted = max(kept.requests / (budget.requests or inf), kept.prompts / (budget.prompts or inf))
    paid = max(kept.tokens / (budget.tokens or inf), kept.usd / (budget.usd or inf))
    assert counted <= (0.06 if count > 1 else 0.15)
    assert paid <= (0.05 if count > 1 else 0.125)


def test_fewer_are_in_flight_where_there_is_less_room() -> None:
    """As many as fit beside all else, one at the least, and then with nothing kept back."""
    stake = Stake(Budget(prompts=10_000), None, 4, held)
    assert stake.kept(200, 500, always) == (50, held(50, 200))
    assert stake.kept(200, 500, lambda kept: kept.prompts <= 83) == (20, held(20, 80))
    assert stake.kept(200, 500, lambda kept: not kept.prompts) == (1, Amount())


def test_a_request_is_no_larger_than_the_largest_ask() -> None:
    """A long list is never filled by a small task, so little is kept back for it."""
    stake = Stake(Budget(prompts=100), None, 64, held)
    assert stake.kept(8, 10, always) == (1, held(1, 10))


async def test_a_small_grant_has_little_in_flight() -> None:
    """The plan names both, and so many full requests are what is kept back."""
    plan = await planned(task("prompts", 300), Remote())
    assert (plan.in_flight, plan.reserve.prompts) == (18, 18)
    plan = await planned(task("requests", 300), Remote(16))
    assert plan.in_flight is not None
    assert plan.reserve.requests == plan.in_flight


@pytest.mark.parametrize("limit", ["requests", "prompts"])
async def test_what_is_kept_back_depends_on_no_concurrency(limit: str) -> None:
    """A run plans alike however many requests may be in flight, for its results do not differ."""
    plans = [await planned(task(limit, 500, concurrency=n), Remote()) for n in (1, 16, 256)]
    assert plans[0] == plans[1] == plans[2]


async def test_nothing_is_kept_back_for_a_model_of_this_machine() -> None:
    """Nor without a limit on what is counted."""
    for plan in (
        await planned(task("prompts", 300), Remote(local=True)),
        await planned(task("seconds", 300.0), Remote()),
    ):
        assert (plan.in_flight, plan.reserve) == (None, Amount())


KILLED = [
    ("requests", 250, 1),
    ("requests", 21, 16),
    ("prompts", 150, 1),
    ("prompts", 400, 16),
    ("tokens", 12_000, 1),
    ("tokens", 30_000, 16),
    ("usd", 0.03, 1),
]


@pytest.mark.parametrize(("limit", "amount", "batch"), KILLED)
async def test_a_run_that_was_killed_ends_where_it_would_have(
    limit: str, amount: float, batch: int
) -> None:
    """Whenever all that is in flight is lost, it learns and scores the same, in the same budget."""
    learned, whole = task(limit, amount, concurrency=64), Remote(batch)
    unharmed = await ended(learned, whole)
    assert unharmed.result.stop_reason == "budget"
    lost = 0
    for part in (0.0, 0.4, 0.8, 1.0):
        dies = 1 + int(part * (whole.requests - 1))
        killed = await ended(learned, Remote(batch, dies=dies))
        lost = max(lost, killed.ledger.crashed.requests)
        assert killed.learned == unharmed.learned
        spent = killed.ledger.used + killed.ledger.crashed
        assert getattr(spent, limit) <= amount
    assert lost > (1 if batch == 1 else 0)  # with lists a small grant has a single one in flight


async def test_without_a_reserve_it_would_end_sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept back is what makes the difference."""
    monkeypatch.setattr(Stake, "needed", staticmethod(lambda budget, local: False))
    learned = task("prompts", 400, concurrency=64)
    unharmed = await ended(learned, Remote())
    killed = await ended(learned, Remote(dies=60))
    assert killed.learned != unharmed.learned


SMALLEST = {("requests", 1): 144, ("requests", 16): 9, ("prompts", 1): 144, ("prompts", 16): 144}


@pytest.mark.parametrize("more", [1.0, 1.13, 1.25, 1.6, 3.0])
@pytest.mark.parametrize(("limit", "batch"), SMALLEST)
async def test_a_budget_is_still_used(limit: str, batch: int, more: float) -> None:
    """Four fifths at least, from the smallest grant that is accepted up."""
    granted = round(SMALLEST[limit, batch] * more)
    found = await ended(task(limit, granted), Remote(batch))
    assert LEAST_USED * granted <= getattr(found.ledger.used, limit) <= granted


@pytest.mark.parametrize("batch", [1, 16])
@pytest.mark.parametrize("granted", [5_000, 5_300, 7_600, 13_000, 40_000])
async def test_a_budget_of_tokens_is_still_used(granted: int, batch: int) -> None:
    """Where tokens are known, prices have margins of their own: less is kept back."""
    found = await ended(task("tokens", granted), Remote(batch))
    assert LEAST_USED * granted <= found.ledger.used.tokens <= granted
