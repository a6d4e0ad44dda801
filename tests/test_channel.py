"""The rules of `bdpl_async.channel`: every attempt counts, and is repeated only where it helps."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bdpl_async.budget import Amount, Budget
from bdpl_async.errors import (
    BudgetExhausted,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
    RequestFailed,
)
from bdpl_async.halt import Stopped
from bdpl_async.records import Price, Usage
from bdpl_async.terms import Terms
from tests.channelkit import ONE, Answer, Clock, Script, channel


async def test_an_answer_is_counted_at_what_it_reports() -> None:
    """One request, the reported tokens, and the price of them."""
    ch = channel(terms=Terms(price=Price(2.0, 10.0)))
    _, usage = await ch.send(Script([Answer(Usage(7, 1))]), ONE)
    assert ch.ledger.spent == Amount(1, 1, 8, Price(2.0, 10.0).usd(7, 1))
    assert usage == Usage(7, 1, Price(2.0, 10.0).usd(7, 1))
    assert ch.ledger.held == Amount()


@pytest.mark.parametrize("usage", [Usage(), Usage(prompt_tokens=10**12), Usage(0, 0, 0.0)])
async def test_a_report_that_cannot_be_true_counts_as_the_bound(usage: Usage) -> None:
    """No tokens for an answered text, or absurdly many: the upper bound stands."""
    ch = channel()
    await ch.send(Script([Answer(usage)]), ONE)
    assert ch.ledger.spent.tokens == ONE.tokens


async def test_what_was_not_answered_is_no_prompt() -> None:
    """Prompts are evaluations answered by the model, not texts that stood in a request."""
    ch = channel()
    await ch.send(Script([Answer(Usage(9), answered=2)]), Amount(1, 5, 100))
    assert ch.ledger.spent == Amount(1, 2, 9)


@pytest.mark.parametrize(
    ("fate", "counted"),
    [("unsent", Amount(requests=1)), ("refused", Amount(requests=1)), ("unknown", ONE)],
)
async def test_a_failure_is_counted_by_its_fate(fate: str, counted: Amount) -> None:
    """A refusal costs a request; what may have been answered and billed counts whole."""
    ch = channel()
    with pytest.raises(RequestFailed):
        await ch.send(Script([RequestFailed("no", fate=fate)]), ONE)  # type: ignore[arg-type]
    assert ch.ledger.spent == counted
    assert ch.ledger.held == Amount()
    assert ch.traffic.failures == 1


async def test_a_wait_beyond_the_budget_of_seconds_ends_the_run() -> None:
    """Waiting until the time is over helps nobody."""
    clock = Clock()
    ch = channel(clock, Budget(seconds=10))
    script = Script([RateLimited("429", retry_after=17.0, fate="refused")])
    with pytest.raises(BudgetExhausted, match="10 seconds"):
        await ch.send(script, ONE)
    assert script.calls == 1


async def test_a_timeout_is_the_providers_error() -> None:
    """An attempt that does not end in time may have been billed: it counts whole."""

    async def hang() -> Answer:
        await asyncio.sleep(60)
        return Answer()

    ch = channel(terms=Terms(timeout=0.01, attempts=2))
    with pytest.raises(ProviderUnavailable, match=r"no answer within 0\.01 s"):
        await ch.send(hang, ONE)
    assert ch.ledger.spent == ONE + ONE


async def test_a_cancelled_attempt_is_spent_and_a_waiting_one_is_not() -> None:
    """What was sent may be billed; what was not sent costs nothing."""

    async def hang() -> Answer:
        await asyncio.sleep(60)
        return Answer()

    ch = channel(terms=Terms(concurrency=1))
    tasks = [asyncio.create_task(ch.send(hang, ONE)) for _ in range(3)]
    await asyncio.sleep(0.01)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert ch.ledger.spent == ONE
    assert ch.ledger.held == Amount()


async def test_nobody_overtakes_who_waits_for_room() -> None:
    """Requests are admitted in the order asked: what a budget buys is never a matter of luck."""
    sending = channel(budget=Budget(tokens=100))
    sent: list[str] = []
    gate = asyncio.Event()

    def exchange(name: str) -> Callable[[], Awaitable[Answer]]:
        async def answer() -> Answer:
            sent.append(name)
            if name == "first":
                await gate.wait()
            return Answer()

        return answer

    async def ask(*names: str) -> None:
        for name in names:
            await sending.send(exchange(name), Amount(1, 1, 60))

    first = asyncio.create_task(ask("first"))
    await asyncio.sleep(0)
    others = [asyncio.create_task(ask("second", "fourth")), asyncio.create_task(ask("third"))]
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(first, *others)
    assert sent == ["first", "second", "third", "fourth"]


async def test_after_a_halt_nothing_is_sent_again() -> None:
    """A request that fails after the stop was asked for is not retried."""
    ch = channel()
    script = Script([ProviderUnavailable("busy")])

    async def exchange() -> Answer:
        ch.halt.ask()
        return await script()

    with pytest.raises(Stopped):
        await ch.send(exchange, ONE)
    assert script.calls == 1


async def test_a_mistake_in_a_scorer_passes_as_itself() -> None:
    """An exception that is not ours is not hidden, and what was sent counts."""
    ch = channel()
    with pytest.raises(ZeroDivisionError):
        await ch.send(Script([ZeroDivisionError("oops")]), ONE)
    assert ch.ledger.spent == ONE


def outcomes() -> st.SearchStrategy[Exception | Answer]:
    made: list[Callable[[], Exception | Answer]] = [
        lambda: Answer(Usage(prompt_tokens=3)),
        lambda: Answer(Usage()),
        lambda: ProviderUnavailable("busy", fate="refused"),
        lambda: ProviderUnavailable("lost", fate="unknown"),
        lambda: RequestFailed("bad", fate="refused"),
        lambda: RateLimited("429", retry_after=1.0, fate="refused"),
    ]
    return st.sampled_from(made).map(lambda make: make())


@given(
    st.lists(st.lists(outcomes(), min_size=1, max_size=4), min_size=1, max_size=20),
    st.integers(1, 25),
    st.sampled_from([1, 4, 64]),
)
def test_no_schedule_exceeds_the_budget(
    scripts: list[list[Exception | Answer]], requests: int, concurrency: int
) -> None:
    """Whatever happens to requests under way, the books close within the grant."""

    async def play() -> None:
        budget = Budget(requests=requests, tokens=20 * requests, usd=15e-6 * requests)
        ch = channel(None, budget, Terms(concurrency=concurrency, attempts=4))
        plays = [Script(acts) for acts in scripts]
        ends = await asyncio.gather(
            *(ch.send(script, ONE) for script in plays), return_exceptions=True
        )
        assert all(isinstance(end, tuple | ProviderError | BudgetExhausted) for end in ends)
        assert ch.ledger.spent.requests == sum(script.calls for script in plays) <= requests
        assert ch.ledger.spent.tokens <= 20 * requests
        assert ch.ledger.spent.usd <= 15e-6 * requests
        assert ch.ledger.held == Amount()
        assert ch.limiter.in_flight == 0

    asyncio.run(play())
