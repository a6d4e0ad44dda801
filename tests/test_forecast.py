"""The rules of `bdpl_async.forecast`: what asks will cost, never less than they then do."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bdpl_async.budget import Amount, Budget, Ledger
from bdpl_async.channel import Channel
from bdpl_async.errors import ServerFault
from bdpl_async.forecast import Forecast, most_tokens
from bdpl_async.records import Price, Reply, Request, Score, Text, Usage
from bdpl_async.scorer import Capabilities
from bdpl_async.terms import Terms

LABELS = (" bad", " good")
PRICE = Price(prompt=2.0, completion=8.0)


class Plain:
    """A scorer without a tokenizer."""

    name = "mine/plain"

    async def score(self, request: Request) -> Reply:
        return Reply([Score((-1.0, -2.0)) for _ in request.texts])


class Words(Plain):
    """A token is a word."""

    counted = 0

    async def count(self, texts: Sequence[Text], labels: tuple[str, ...]) -> list[int]:
        self.counted += 1
        return [len(text.before.split()) for text in texts]


class Answers:
    """An answer of so many tokens."""

    quotas = ()
    answered = None

    def __init__(self, tokens: int) -> None:
        self.usage = Usage(prompt_tokens=tokens)


class Bench:
    """A forecast beside the channel that it watches, by a clock that stands still."""

    def __init__(
        self,
        scorer: Plain | None = None,
        budget: Budget | None = None,
        capabilities: Capabilities | None = None,
        terms: Terms | None = None,
    ) -> None:
        self.now = 0.0
        self.ledger = Ledger(budget or Budget())
        self.channel = Channel("mine/x", self.ledger, terms or Terms(), clock=lambda: self.now)
        kind = capabilities or Capabilities(exact=True)
        self.forecast = Forecast(self.channel, scorer or Words(), LABELS, kind)

    async def answer(self, prompts: int, tokens: int, bound: int | None = None) -> None:
        """One request of so many texts, which took so many tokens."""

        async def exchange() -> Answers:
            return Answers(tokens)

        most = Amount(1, prompts, tokens if bound is None else bound)
        await self.channel.send(exchange, most)


def texts(*lengths: int) -> list[Text]:
    return [Text("word " * length) for length in lengths]


@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(5, 50)), min_size=1, max_size=8),
    st.integers(1, 500),
    st.sampled_from([1, 7, 64]),
)
def test_an_ask_costs_no_more_than_forecast(
    answers: list[tuple[int, int]], prompts: int, batch: int
) -> None:
    """Whole requests, and a tenth above the mean tokens of what was answered so far."""

    async def play() -> None:
        bench = Bench(capabilities=Capabilities(batch=batch, exact=True))
        for count, each in answers:
            await bench.answer(count, count * each)
        used = bench.ledger.used
        cost = bench.forecast.cost(prompts)
        assert cost.requests == -(-prompts // batch)
        assert cost.prompts == prompts
        mean = used.tokens / used.prompts
        assert prompts * mean <= cost.tokens <= 1.1 * prompts * mean + 1

    asyncio.run(play())


async def test_before_the_first_answer_a_sample_tells() -> None:
    """Exact counts are taken as they are; after an answer the sample counts no more."""
    bench = Bench()
    await bench.forecast.expect(texts(10, 20, 30))
    assert bench.forecast.cost(10).tokens == 220
    await bench.answer(4, 400)
    assert bench.forecast.cost(10).tokens == 1100


async def test_a_bound_by_bytes_is_no_expectation() -> None:
    """A token is at least a byte, which bounds a request; English has four bytes a token."""
    bench = Bench(Plain(), capabilities=Capabilities(exact=False))
    sample = texts(100)
    assert [most_tokens(text) for text in sample] == [508]
    await bench.forecast.expect(sample)
    assert bench.forecast.cost(10).tokens == round(1.1 * 10 * 508 / 4)
    assert (await bench.forecast.bound(sample)).tokens == 508


@given(st.text(max_size=40), st.text(max_size=40))
def test_the_bound_by_bytes_holds_for_every_text(before: str, after: str) -> None:
    """No tokenizer makes more tokens of a text than it has bytes."""
    text = Text(before, after)
    assert most_tokens(text) > len((before + after).encode("utf-8", "replace"))


LIMITED = [
    (Budget(tokens=1000), Terms()),
    (Budget(), Terms(tpm=1000.0)),
    (Budget(), Terms(price=PRICE)),
]


@pytest.mark.parametrize(("budget", "terms"), LIMITED, ids=["tokens", "tpm", "price"])
async def test_tokens_are_counted_where_they_matter(budget: Budget, terms: Terms) -> None:
    """Where something depends on tokens a request is bounded by the tokenizer's own count."""
    words = Words()
    bench = Bench(words, budget, Capabilities(exact=True, completion=1), terms)
    bound = await bench.forecast.bound(texts(3, 4))
    assert (bound.requests, bound.prompts, bound.tokens) == (1, 2, 9)
    assert bound.usd == (PRICE.usd(7, 2) if terms.price else 0.0)
    assert words.counted == 1


async def test_tokens_are_not_counted_where_nothing_depends_on_them() -> None:
    """A run whose budget is in prompts does not wait for a tokenizer."""
    words = Words()
    bench = Bench(words, Budget(prompts=9))
    assert (await bench.forecast.bound(texts(3, 4))).tokens >= 7
    assert words.counted == 0


async def test_dollars_are_those_of_the_tokens() -> None:
    """What the model writes is priced as such, the rest as read."""
    bench = Bench(capabilities=Capabilities(completion=2, exact=True), terms=Terms(price=PRICE))
    await bench.answer(10, 200)
    cost = bench.forecast.cost(50)
    assert cost.tokens == 1100
    assert cost.usd == PRICE.usd(1100 - 100, 100)


async def test_what_the_model_writes_is_expected_too() -> None:
    """Before the first answer the tokens of a text are those it is and those it brings."""
    capabilities = Capabilities(completion=20, exact=True)
    bench = Bench(budget=Budget(tokens=1000), capabilities=capabilities)
    sample = texts(10)
    await bench.forecast.expect(sample)
    assert bench.forecast.cost(1).tokens >= (await bench.forecast.bound(sample)).tokens


async def test_without_a_price_nothing_costs() -> None:
    """An unknown price is no price of zero per token: it is left out."""
    bench = Bench()
    await bench.answer(10, 200)
    assert bench.forecast.cost(50).usd == 0.0


@pytest.mark.parametrize(
    ("budget", "most"),
    [
        (Budget(requests=11), 80),
        (Budget(prompts=50), 40),
        (Budget(tokens=420), 10),  # at a tenth above twenty tokens each
        (Budget(usd=421 * 2e-6), 10),
    ],
)
async def test_what_fits_is_affordable_and_one_more_is_not(budget: Budget, most: int) -> None:
    """Every limit counts for what is spent already and what is to come."""
    free = Terms(price=Price(2.0, 2.0))
    bench = Bench(budget=budget, capabilities=Capabilities(batch=8, exact=True), terms=free)
    await bench.answer(10, 200)
    forecast = bench.forecast
    assert forecast.affords(forecast.cost(most))
    assert not forecast.affords(forecast.cost(most + 1))


async def test_room_is_left_for_what_bounds_have_over() -> None:
    """A request that reserves more than it takes must still find the room to reserve it."""
    bench = Bench(budget=Budget(tokens=1000))
    await bench.answer(1, 20)
    amount = Amount(tokens=980)
    assert bench.forecast.affords(amount)
    await bench.answer(1, 20, bound=520)
    assert bench.forecast.affords(Amount(tokens=460))
    assert not bench.forecast.affords(Amount(tokens=461))


async def test_seconds_are_counted_in_prompts() -> None:
    """At the pace so far, less a sixth, what would end too late is not affordable."""
    bench = Bench(budget=Budget(seconds=22.0))
    assert bench.forecast.affords(bench.forecast.cost(10**6))  # nothing is known yet
    bench.now = 10.0
    await bench.answer(120, 1200)
    assert bench.forecast.pace() == pytest.approx(10.0)
    assert bench.forecast.affords(bench.forecast.cost(119))
    assert not bench.forecast.affords(bench.forecast.cost(121))


async def test_failures_are_expected_to_go_on() -> None:
    """Where one request in three failed, an ask is priced with as many failures and some more."""
    bench = Bench(terms=Terms(attempts=1))
    await bench.answer(1, 20)
    await bench.answer(1, 20)
    assert bench.forecast.cost(100).requests == 100

    async def broken() -> Answers:
        raise ServerFault("500", fate="refused")

    with pytest.raises(ServerFault):
        await bench.channel.send(broken, Amount(1, 1, 20))
    assert bench.forecast.cost(100).requests == 175


async def test_what_the_cache_answered_counts_as_answered() -> None:
    """Replayed answers tell how long texts are as well as paid ones."""
    bench = Bench()
    bench.ledger.replay(Amount(1, 10, 300))
    assert bench.forecast.cost(10).tokens == 330
