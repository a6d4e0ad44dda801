"""The rules of `bdpl_async.forecast`: what asks will cost, never less than they then do."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bdpl_async.budget import Amount, Budget, Ledger
from bdpl_async.channel import Channel
from bdpl_async.errors import Fate, ServerFault
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


def whole(tokens: int) -> Any:
    """So many tokens, or one more: they are rounded up, and a margin has no exact fraction."""
    return pytest.approx(tokens + 0.5, abs=0.5)


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


async def test_a_sample_tells_how_long_texts_of_its_kind_are() -> None:
    """Each split, with a prompt and without, costs what its own sample took, and a margin.

    A prompt to come may be a tenth longer; without one the rows are known but for those that the
    sample left out.
    """
    bench = Bench()
    samples = {
        ("train", True): texts(10, 20, 30),
        ("test", True): texts(100),
        ("test", False): texts(100),
    }
    await bench.forecast.expect(samples)
    cost = bench.forecast.cost
    assert cost(10).tokens == whole(220)
    assert cost(10, "test").tokens == whole(1100)
    assert cost(10, "test", filled=False).tokens == whole(1020)
    assert cost(10, "dev").tokens == 0  # nothing is known of it


async def test_of_a_kind_without_a_sample_the_answers_tell() -> None:
    """What was answered so far, of whatever kind, is the best guess; a sample is a better one."""
    bench = Bench()
    await bench.forecast.expect({("train", True): texts(20), ("dev", True): []})
    await bench.answer(4, 400)
    assert bench.forecast.cost(10).tokens == whole(220)
    assert bench.forecast.cost(10, "dev").tokens == whole(1100)
    assert bench.forecast.cost(10, "dev", filled=False).tokens == whole(1100)


@pytest.mark.parametrize("exact", [True, False])
async def test_what_was_billed_corrects_the_counts(exact: bool) -> None:
    """A server that counts half as much again as we do is expected to go on so, for every kind."""
    bench = Bench(capabilities=Capabilities(exact=exact))
    await bench.forecast.expect({("train", True): texts(40), ("dev", False): texts(400)})
    bench.forecast.learn(100, 100)
    bench.forecast.learn(100, 200)
    assert bench.forecast.learned == (200, 300)
    assert bench.forecast.cost(10).tokens == whole(660)
    assert bench.forecast.cost(10, "dev", filled=False).tokens == whole(6120)
    bench.forecast.learn(-100, -200)  # it turned out not to be so
    assert bench.forecast.cost(10).tokens == whole(440)


@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=8),
    st.integers(1, 300),
    st.floats(0.2, 3.0),
    st.booleans(),
)
def test_a_sample_is_never_taken_for_less(
    lengths: list[int], prompts: int, ratio: float, filled: bool
) -> None:
    """Texts like those of the sample, billed like those before, cost no more than forecast."""

    async def play() -> None:
        bench = Bench()
        await bench.forecast.expect({("dev", filled): texts(*lengths)})
        billed = round(1000 * ratio)
        bench.forecast.learn(1000, billed)
        actual = prompts * sum(lengths) / len(lengths) * billed / 1000
        forecast = bench.forecast.cost(prompts, "dev", filled=filled).tokens
        assert actual <= forecast <= 1.1 * actual + 1

    asyncio.run(play())


@pytest.mark.parametrize(
    ("budget", "limited"),
    [
        (Budget(tokens=1), True),
        (Budget(usd=1.0), True),
        (Budget(prompts=1, requests=1, seconds=1.0), False),
    ],
    ids=["tokens", "usd", "others"],
)
def test_it_says_whether_tokens_fill_the_budget(budget: Budget, limited: bool) -> None:
    """Dollars are tokens too; what is neither needs no counting."""
    assert Bench(budget=budget).forecast.limited is limited


async def test_a_bound_by_bytes_is_no_expectation() -> None:
    """A token is at least a byte, which bounds a request; English has four bytes a token."""
    bench = Bench(Plain(), capabilities=Capabilities(exact=False))
    sample = texts(100)
    assert [most_tokens(text) for text in sample] == [508]
    await bench.forecast.expect({("train", True): sample})
    assert bench.forecast.cost(10).tokens == whole(1397)
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
    assert cost.tokens == whole(1100)
    assert cost.usd == PRICE.usd(cost.tokens - 100, 100)


async def test_what_the_model_writes_is_expected_too() -> None:
    """Before the first answer the tokens of a text are those it is and those it brings."""
    capabilities = Capabilities(completion=20, exact=True)
    bench = Bench(budget=Budget(tokens=1000), capabilities=capabilities)
    sample = texts(10)
    await bench.forecast.expect({("train", True): sample})
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
        (Budget(tokens=421), 10),  # at a tenth above twenty tokens each, rounded up
        (Budget(usd=422 * 2e-6), 10),
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


@pytest.mark.parametrize("lost", [0, 1, 15, 16, 17])
async def test_what_a_kill_has_cost_is_taken_off_what_is_kept_for_it(lost: int) -> None:
    """What fits beside the reserve fits as well when some or all of that is gone, and no more."""
    bench = Bench(budget=Budget(prompts=100))
    await bench.answer(20, 400)
    reserve = Amount(4, 16)
    gone = Amount(1, lost)
    bench.ledger.crash(bench.ledger.reserve(gone))
    assert bench.forecast.affords(Amount(prompts=64 - max(0, lost - 16)), reserve)
    assert not bench.forecast.affords(Amount(prompts=65 - max(0, lost - 16)), reserve)
    assert bench.forecast.affords(Amount(prompts=80 - lost))


async def test_what_is_under_way_is_held_by_its_bounds() -> None:
    """Tokens of the longest kind, as requests are reserved at, whatever was billed so far."""
    free = Terms(price=Price(2.0, 2.0))
    bench = Bench(budget=Budget(tokens=10_000), terms=free)
    await bench.forecast.expect({("train", True): texts(100), ("test", False): texts(300)})
    bench.forecast.learn(1000, 250)
    one = bench.forecast.held(1, 1)
    assert one == Amount(1, 1, 600, Price(2.0, 2.0).usd(600, 0))  # it may be as long as two
    many = bench.forecast.held(3, 48)
    assert (many.requests, many.prompts) == (3, 48)
    assert many.tokens >= 48 * (await bench.forecast.bound(texts(300))).tokens


async def test_room_is_left_for_what_bounds_have_over() -> None:
    """A request that reserves more than it takes must still find the room to reserve it."""
    bench = Bench(budget=Budget(tokens=10_000))
    assert bench.forecast.affords(Amount(tokens=10_000))
    await bench.forecast.expect({("train", True): texts(100), ("test", False): texts(300)})
    bench.forecast.learn(1000, 250)
    # A long text of the longest kind is bound by 600; one of its kind was priced at 1.02 * 300 / 4.
    assert bench.forecast.affords(Amount(tokens=10_000 - 524))
    assert not bench.forecast.affords(Amount(tokens=10_000 - 523))


async def test_counts_that_turned_out_too_low_are_stretched() -> None:
    """Where more was billed than a request was bound by, the next is bound by as much more."""
    bench = Bench(budget=Budget(tokens=10_000))
    sample = texts(10, 10)
    assert (await bench.forecast.bound(sample)).tokens == 20
    bench.forecast.learn(20, 25)
    bench.forecast.learn(20, 21)
    assert (await bench.forecast.bound(sample)).tokens == 25


async def test_seconds_are_counted_in_prompts() -> None:
    """At the pace so far, less a sixth, what would end too late is not affordable."""
    bench = Bench(budget=Budget(seconds=22.0))
    assert bench.forecast.affords(bench.forecast.cost(10**6))  # nothing is known yet
    bench.now = 10.0
    await bench.answer(120, 1200)
    assert bench.forecast.pace() == pytest.approx(10.0)
    assert bench.forecast.affords(bench.forecast.cost(119))
    assert not bench.forecast.affords(bench.forecast.cost(121))


@pytest.mark.parametrize(
    ("fate", "expected"),
    [("unsent", (11, 10, 220)), ("refused", (11, 10, 220)), ("unknown", (11, 13, 286))],
)
async def test_failures_are_expected_to_go_on(fate: Fate, expected: tuple[int, int, int]) -> None:
    """Where requests failed, some more are to come; one of the first three is no rule yet.

    Each costs a request; only what may have been answered and got lost costs prompts and tokens,
    and of that two standard deviations more than its mean are reckoned with.
    """
    bench = Bench(terms=Terms(attempts=1))
    await bench.answer(1, 20)
    await bench.answer(1, 20)
    assert bench.forecast.cost(10).requests == 10

    async def broken() -> Answers:
        raise ServerFault("500", fate=fate)

    with pytest.raises(ServerFault):
        await bench.channel.send(broken, Amount(1, 1, 20))
    requests, prompts, tokens = expected
    assert bench.forecast.cost(10) == Amount(requests, prompts, whole(tokens))


async def test_failures_before_the_first_answer_tell_nothing() -> None:
    """A server that is not up yet will not fail for ever."""
    bench = Bench(terms=Terms(attempts=1))

    async def broken() -> Answers:
        raise ServerFault("500", fate="unknown")

    with pytest.raises(ServerFault):
        await bench.channel.send(broken, Amount(1, 1, 20))
    assert bench.forecast.cost(10).requests == bench.forecast.cost(10).prompts == 10


async def test_what_the_cache_answered_counts_as_answered() -> None:
    """Replayed answers tell how long texts are as well as paid ones."""
    bench = Bench()
    bench.ledger.replay(Amount(1, 10, 300))
    assert bench.forecast.cost(10).tokens == whole(330)
