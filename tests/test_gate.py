"""The rules of `bdpl_async.gate`: nothing sent twice, nothing uncounted, nothing over budget."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import pytest

from bdpl_async.budget import Amount, Budget, Ledger
from bdpl_async.caching.cache import Cache, MemoryCache
from bdpl_async.channel import Channel
from bdpl_async.errors import (
    BudgetExhausted,
    ProviderError,
    ProviderRefused,
    ProviderUnavailable,
    RequestFailed,
    ServerFault,
    UnusableAnswer,
)
from bdpl_async.gate import Gate
from bdpl_async.halt import Stopped
from bdpl_async.records import Reply, Request, Score, Text, Usage
from bdpl_async.scorer import Capabilities
from bdpl_async.terms import Terms

LABELS = (" bad", " good")
GOOD = Score((-1.0, -2.0))
Answer = Callable[[Request], Reply]


def number_of(text: Text) -> int:
    return int(text.before.split()[-1])


def by_number(request: Request) -> Reply:
    """A score that can be told from every other; a token a text."""
    scores = [Score((-1.0, -2.0 - number_of(text))) for text in request.texts]
    return Reply(scores, Usage(prompt_tokens=len(request.texts)))


def texts(count: int, start: int = 0) -> list[Text]:
    return [Text(f"prompt {n}", " .") for n in range(start, start + count)]


@dataclass
class Counting:
    """A scorer that keeps books of its own, and gives up control a random number of times."""

    answer: Answer = by_number
    pauses: random.Random | None = None
    name: str = "test/counting"
    sent: list[Request] = field(default_factory=list)

    async def score(self, request: Request) -> Reply:
        self.sent.append(request)
        if self.pauses is not None:
            for _ in range(self.pauses.randrange(6)):
                await asyncio.sleep(0)
        return self.answer(request)

    @property
    def texts_sent(self) -> int:
        return sum(len(request.texts) for request in self.sent)


def gate_for(
    scorer: Counting,
    budget: Budget | None = None,
    *,
    batch: int = 1,
    order: Literal["prompt", "length"] = "prompt",
    concurrency: int = 8,
    timeout: float | None = None,
    clock: Callable[[], float] = lambda: 0.0,
    cache: Cache | None = None,
) -> Gate:
    terms = Terms(concurrency=concurrency, timeout=timeout)
    channel = Channel(scorer.name, Ledger(budget or Budget()), terms, clock=clock, sleep=at_once)
    return Gate(scorer, LABELS, channel, Capabilities(batch=batch, order=order), cache)


async def at_once(seconds: float) -> None:
    """A pause that takes no time."""
    await asyncio.sleep(0)


def values(outcomes: Sequence[object]) -> list[float]:
    return [-outcome.logprobs[1] - 2.0 for outcome in outcomes if isinstance(outcome, Score)]


async def test_outcomes_stand_in_the_order_of_the_texts() -> None:
    """Whatever is grouped, sorted or late, outcome k belongs to text k."""
    gate = gate_for(Counting(pauses=random.Random(1)), batch=3, order="length")
    numbers = random.Random(2).sample(range(2000), 100)
    outcomes = await gate.score([Text(f"prompt {n}") for n in numbers])
    assert values(outcomes) == numbers


async def test_a_text_that_stands_twice_is_sent_once() -> None:
    """Duplicates of one ask share one answer, one payment and one object."""
    scorer = Counting()
    gate = gate_for(scorer)
    first, second, again = await gate.score([*texts(2), *texts(1)])
    assert again is first is not second
    assert scorer.texts_sent == 2
    assert gate.totals().prompts == 2
    assert gate.totals().cache_hits == 1


async def test_a_second_ask_costs_nothing() -> None:
    """What was answered before comes out of the cache: no request, only hits."""
    scorer = Counting()
    gate = gate_for(scorer, Budget(requests=5), batch=2)
    first = await gate.score(texts(10))
    spent = gate.ledger.spent
    assert await gate.score(texts(10)) == first
    assert len(scorer.sent) == 5
    assert gate.ledger.spent == spent
    assert gate.totals().cache_hits == 10


async def test_requests_are_whole_batches_with_the_labels() -> None:
    """Every request but the last is full, in the order of the ask, and carries the label words."""
    scorer = Counting()
    await gate_for(scorer, batch=4, concurrency=1).score(texts(10))
    assert [len(request.texts) for request in scorer.sent] == [4, 4, 2]
    assert [text for request in scorer.sent for text in request.texts] == texts(10)
    assert {request.labels for request in scorer.sent} == {LABELS}


async def test_only_what_is_missing_fills_a_batch() -> None:
    """Known texts leave no holes: the unknown ones travel together."""
    scorer = Counting()
    gate = gate_for(scorer, batch=4, concurrency=1)
    await gate.score(texts(20)[::2])
    scorer.sent.clear()
    await gate.score(texts(20))
    assert [len(request.texts) for request in scorer.sent] == [4, 4, 2]


@pytest.mark.parametrize("order", ["prompt", "length"])
async def test_prompt_keeps_the_order_and_length_sorts(order: Literal["prompt", "length"]) -> None:
    """`prompt` leaves the order of the ask; `length` sorts by it and keeps equals in order."""
    scorer = Counting(answer=lambda request: Reply([GOOD] * len(request.texts)))
    asked = [Text("x" * n, "y" * m) for n, m in [(9, 0), (2, 2), (1, 0), (0, 4), (5, 1)]]
    await gate_for(scorer, batch=2, order=order, concurrency=1).score(asked)
    sent = [text for request in scorer.sent for text in request.texts]
    assert sent == (asked if order == "prompt" else [asked[i] for i in (2, 1, 3, 4, 0)])


async def test_grouping_is_a_function_of_the_ask() -> None:
    """The same ask gives the same requests whatever the concurrency, so local floats repeat."""
    seen = []
    for concurrency in (1, 64):
        scorer = Counting(pauses=random.Random(concurrency))
        gate = gate_for(scorer, batch=7, order="length", concurrency=concurrency)
        await gate.score(texts(120))
        seen.append(sorted(request.texts[0].before for request in scorer.sent))
    assert seen[0] == seen[1]


@pytest.mark.parametrize(("user", "scorer_limit", "most"), [(4, None, 4), (4, 2, 2), (4, 9, 4)])
async def test_the_smaller_concurrency_counts(
    user: int, scorer_limit: int | None, most: int
) -> None:
    """The user's limit and the scorer's hold together."""
    flying = peak = 0

    class Slow(Counting):
        async def score(self, request: Request) -> Reply:
            nonlocal flying, peak
            flying += 1
            peak = max(peak, flying)
            await asyncio.sleep(0)
            flying -= 1
            return by_number(request)

    channel = Channel("test/slow", Ledger(Budget()), Terms(concurrency=user))
    gate = Gate(Slow(), LABELS, channel, Capabilities(concurrency=scorer_limit))
    await gate.score(texts(30))
    assert peak == most


async def test_a_failed_member_fails_alone() -> None:
    """An error in the place of one score is that text's outcome; its neighbours are kept."""
    odd = RequestFailed("too long")

    def answer(request: Request) -> Reply:
        scores = [odd if number_of(text) == 1 else GOOD for text in request.texts]
        return Reply(scores, Usage(prompt_tokens=7))

    scorer = Counting(answer)
    gate = gate_for(scorer, batch=3)
    assert await gate.score(texts(3)) == [GOOD, odd, GOOD]
    assert gate.ledger.spent == Amount(requests=1, prompts=2, tokens=7)
    assert gate.totals().failures == 1
    assert await gate.score(texts(3)) == [GOOD, odd, GOOD]
    assert len(scorer.sent) == 1  # it would fail again


async def test_a_bad_text_does_not_sink_its_neighbours() -> None:
    """A request that fails is parted until the bad text stands alone; every attempt counts."""

    def answer(request: Request) -> Reply:
        if any(number_of(text) == 5 for text in request.texts):
            raise RequestFailed("always this one", fate="refused")
        return by_number(request)

    scorer = Counting(answer)
    gate = gate_for(scorer, batch=8)
    outcomes = await gate.score(texts(16))
    assert [n for n, outcome in enumerate(outcomes) if not isinstance(outcome, Score)] == [5]
    assert gate.ledger.spent == Amount(requests=8, prompts=15, tokens=15)  # 8, 4, 4, 2, 1, 1, 2, 8
    assert len(scorer.sent) == 8
    await gate.score(texts(16))
    assert len(scorer.sent) == 8  # known to fail


@pytest.mark.parametrize("concurrency", [1, 8])
async def test_a_text_on_which_the_server_breaks_fails_alone(concurrency: int) -> None:
    """The same 500 again and again is the text's, as long as others are answered."""

    def answer(request: Request) -> Reply:
        if any(number_of(text) % 50 == 7 for text in request.texts):
            raise ServerFault("500", fate="refused")
        return by_number(request)

    gate = gate_for(Counting(answer), batch=4, concurrency=concurrency)
    outcomes = await gate.score(texts(100))
    assert [n for n, o in enumerate(outcomes) if not isinstance(o, Score)] == [7, 57]


async def test_a_provider_that_is_down_ends_the_ask() -> None:
    """All tries of a request in vain, and no answer to any other: no need to try a thousand."""

    def answer(request: Request) -> Reply:
        raise ProviderUnavailable("503", fate="refused")

    scorer = Counting(answer)
    with pytest.raises(ProviderUnavailable, match="503"):
        await gate_for(scorer, concurrency=1).score(texts(1000))
    assert len(scorer.sent) == 8


async def test_an_unusable_answer_is_asked_for_again() -> None:
    """Null or NaN once is an accident: only the texts concerned travel again, all of it paid."""
    seen: set[Text] = set()

    def answer(request: Request) -> Reply:
        fresh = [text for text in request.texts if text not in seen]
        seen.update(request.texts)
        bad = {text for text in fresh if number_of(text) % 3 == 0}
        outcomes = [UnusableAnswer("null") if t in bad else GOOD for t in request.texts]
        return Reply(outcomes, Usage(prompt_tokens=len(request.texts)))

    scorer = Counting(answer)
    gate = gate_for(scorer, batch=4, concurrency=1)
    assert await gate.score(texts(8)) == [GOOD] * 8
    assert [len(request.texts) for request in scorer.sent] == [4, 2, 4, 1]
    assert gate.ledger.spent == Amount(requests=4, prompts=11, tokens=11)


async def test_what_the_model_says_on_purpose_is_not_asked_again() -> None:
    """A model that says no label word would say the same again."""
    wrong = UnusableAnswer("it said 'maybe'", retryable=False)
    scorer = Counting(lambda request: Reply([wrong], Usage(prompt_tokens=1)))
    gate = gate_for(scorer)
    assert await gate.score(texts(1)) == [wrong]
    assert gate.ledger.spent == Amount(requests=1, prompts=1, tokens=1)


async def test_one_text_flies_once() -> None:
    """Two asks at the same time share what both need."""
    scorer = Counting(pauses=random.Random(5))
    gate = gate_for(scorer, concurrency=2)
    first, second = await asyncio.gather(gate.score(texts(20)), gate.score(texts(20, 10)))
    assert values(first) == list(range(20))
    assert values(second) == list(range(10, 30))
    assert scorer.texts_sent == 30


async def test_who_waits_for_another_ask_sends_itself_when_that_fails() -> None:
    """The failure of one ask is not the failure of the next."""
    scorer = Counting(pauses=random.Random(6))
    gate = gate_for(scorer)
    first = asyncio.create_task(gate.score(texts(5)))
    second = asyncio.create_task(gate.score(texts(5)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    first.cancel()
    assert values(await second) == list(range(5))
    assert 5 < scorer.texts_sent <= 10


class Keyed(Counting):
    """A scorer that says what an answer depends on."""

    def key(self, text: Text, labels: tuple[str, ...]) -> bytes:
        return repr((text.before, labels)).encode()


async def test_what_the_cache_answers_fills_the_budget_and_costs_nothing() -> None:
    """A warm run takes the course of the cold one, to the last token, without sending."""
    shelf, budget = MemoryCache[bytes](), Budget(requests=7, prompts=25, tokens=300)
    ends = []
    for run in range(2):
        scorer = Keyed(pauses=random.Random(7))
        gate = gate_for(scorer, budget, batch=4, cache=shelf)
        outcomes = await gate.score(texts(22))
        used, cost = gate.ledger.used, gate.forecast.cost(4)
        ends.append((values(outcomes), used, cost, gate.forecast.learned))
        assert len(scorer.sent) == (0 if run else 6)
        assert gate.ledger.spent == (Amount() if run else used)
        assert gate.totals().cache_hits == (22 if run else 0)
    assert ends[0] == ends[1]


async def test_only_what_the_cache_lacks_is_sent() -> None:
    """A half warm batch travels half full."""
    shelf = MemoryCache[bytes]()
    await gate_for(Keyed(), batch=4, cache=shelf).score(texts(10)[::2])
    scorer = Keyed()
    gate = gate_for(scorer, batch=4, concurrency=1, cache=shelf)
    assert values(await gate.score(texts(10))) == list(range(10))
    assert [len(request.texts) for request in scorer.sent] == [2, 2, 1]
    assert gate.ledger.spent == Amount(requests=3, prompts=5, tokens=5)
    assert gate.ledger.replayed == Amount(requests=0, prompts=5, tokens=5)


async def test_paid_answers_are_kept_when_the_ask_fails() -> None:
    """What was answered before the end of the budget is in the cache."""
    shelf = MemoryCache[bytes]()
    gate = gate_for(Keyed(), Budget(requests=6), cache=shelf)
    with pytest.raises(BudgetExhausted):
        await gate.score(texts(20))
    assert len(shelf) == 6


@pytest.mark.parametrize("surplus", [-1, 1, 50])
async def test_a_wrong_number_of_scores_is_not_guessed_at(surplus: int) -> None:
    """Scores that cannot be matched with texts are an error, and never break the budget."""
    scorer = Counting(lambda request: Reply([GOOD] * (len(request.texts) + surplus)))
    gate = gate_for(scorer, Budget(prompts=3), batch=3)
    with pytest.raises(ProviderRefused, match=f"{3 + surplus} scores for 3 texts"):
        await gate.score(texts(3))
    assert gate.ledger.spent.requests == 1
    assert gate.ledger.spent.prompts <= 3
    assert gate.ledger.held == Amount()


@pytest.mark.parametrize(
    "logprobs",
    [
        (float("nan"), -1.0),
        (-1.0, float("nan")),
        (0.5, -1.0),
        (float("inf"), -1.0),
        (-math.inf, -math.inf),
        (-1.0,),
        (-1.0, -1.0, -1.0),
        (),
    ],
)
async def test_impossible_answers_are_failures(logprobs: tuple[float, ...]) -> None:
    """NaN, positive, all impossible or too few log-probabilities fail the text; paid is paid."""
    scorer = Counting(lambda request: Reply([Score(logprobs)]))
    gate = gate_for(scorer)
    (outcome,) = await gate.score(texts(1))
    assert isinstance(outcome, UnusableAnswer)
    spent = gate.ledger.spent
    assert spent.requests == spent.prompts == gate.totals().failures == len(scorer.sent) == 4


@pytest.mark.parametrize("logprobs", [(0.0, -math.inf), (1e-6, -20.0), (-9999.0, -9998.0)])
async def test_extreme_but_possible_answers_are_taken(logprobs: tuple[float, ...]) -> None:
    """Certainty, rounding above zero and tiny label mass are answers."""
    gate = gate_for(Counting(lambda request: Reply([Score(logprobs)])))
    assert await gate.score(texts(1)) == [Score(logprobs)]


@pytest.mark.parametrize("error", [ProviderRefused("key"), OSError("x")])
async def test_after_an_exception_nothing_is_held(error: Exception) -> None:
    """A request whose fate is unknown counts as spent in full; what was paid before is kept."""

    def answer(request: Request) -> Reply:
        if number_of(request.texts[0]) == 4:
            raise error
        return by_number(request)

    scorer = Counting(answer)
    gate = gate_for(scorer, Budget(tokens=10_000), batch=2, concurrency=1)
    with pytest.raises(type(error)) as caught:
        await gate.score(texts(10))
    assert caught.value is error
    assert gate.ledger.held == Amount()
    bound = 2 * (len("prompt 4 .") + 8)  # bytes and frame of the lost request
    assert gate.ledger.spent == Amount(requests=3, prompts=6, tokens=4 + bound)
    scorer.answer = by_number
    await gate.score(texts(4))
    assert len(scorer.sent) == 3


async def test_after_a_cancellation_nothing_is_held() -> None:
    """What was in flight when the caller gave up is spent, and what was not sent is not."""

    class Silent(Counting):
        async def score(self, request: Request) -> Reply:
            self.sent.append(request)
            await asyncio.sleep(60)
            return by_number(request)

    scorer = Silent()
    gate = gate_for(scorer, concurrency=3)
    task = asyncio.create_task(gate.score(texts(10)))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(scorer.sent) == 3
    assert gate.ledger.held == Amount()
    assert gate.ledger.spent.requests == gate.ledger.spent.prompts == 3


async def test_a_timeout_is_the_providers_error() -> None:
    """An answer that does not come is ProviderUnavailable, names the seconds, and counts."""

    class Silent(Counting):
        async def score(self, request: Request) -> Reply:
            await asyncio.sleep(60)
            return by_number(request)

    gate = gate_for(Silent(), timeout=0.01)
    (outcome,) = await gate.score(texts(1))
    assert isinstance(outcome, ProviderUnavailable)
    assert "no answer within 0.01 s" in str(outcome)
    assert gate.ledger.held == Amount()
    assert gate.ledger.spent.requests == gate.totals().failures == 8


async def test_a_stopped_gate_sends_nothing() -> None:
    """After `stop` there is no new request, and no ask is answered, not even from the cache."""
    scorer = Counting()
    gate = gate_for(scorer)
    await gate.score(texts(3))
    gate.halt()
    for count in (3, 4):
        with pytest.raises(Stopped):
            await gate.score(texts(count))
    assert len(scorer.sent) == 3
    assert gate.ledger.held == Amount()


@pytest.mark.parametrize("concurrency", [1, 5])
async def test_stopping_in_the_middle_keeps_what_was_in_flight(concurrency: int) -> None:
    """`stop` ends the sending; requests under way are awaited, and their answers are not lost."""

    class Stopping(Counting):
        async def score(self, request: Request) -> Reply:
            self.sent.append(request)
            for _ in range(len(self.sent)):
                await asyncio.sleep(0)
            if len(self.sent) >= 5:
                gate.halt()
            return by_number(request)

    scorer = Stopping()
    gate = gate_for(scorer, concurrency=concurrency)
    with pytest.raises(Stopped):
        await gate.score(texts(50))
    sent = len(scorer.sent)
    assert sent < 5 + concurrency
    assert gate.ledger.spent == Amount(requests=sent, prompts=sent, tokens=sent)
    gate.channel.halt.asked = False
    assert len(await gate.score([request.texts[0] for request in scorer.sent])) == sent
    assert len(scorer.sent) == sent


async def test_a_halted_gate_gives_what_is_in_flight_a_few_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After `halt` a request that does not come back is given up and counts as spent."""
    monkeypatch.setattr("bdpl_async.halt.GRACE", 0.05)

    class Hanging(Counting):
        async def score(self, request: Request) -> Reply:
            self.sent.append(request)
            asyncio.get_running_loop().call_soon(gate.halt)
            await asyncio.sleep(60)
            return by_number(request)

    scorer = Hanging()
    gate = gate_for(scorer, concurrency=3)
    with pytest.raises(Stopped):
        await asyncio.wait_for(gate.score(texts(50)), timeout=5)
    assert len(scorer.sent) <= 3
    assert gate.ledger.held == Amount()
    assert gate.ledger.spent.requests == len(scorer.sent)


async def test_a_scorer_that_counts_makes_a_token_budget_tight() -> None:
    """With the scorer's own counts the last text that fits is sent, by bytes it is not."""

    class Exact(Counting):
        async def count(self, texts: Sequence[Text], labels: tuple[str, ...]) -> list[int]:
            return [1] * len(texts)

    gate = gate_for(Exact(), Budget(tokens=10), concurrency=1)
    assert len(await gate.score(texts(10))) == 10
    with pytest.raises(BudgetExhausted):
        await gate.score(texts(11))
    loose = gate_for(Counting(), Budget(tokens=10), concurrency=1)
    with pytest.raises(BudgetExhausted):
        await loose.score(texts(1))


async def test_seconds_are_a_budget() -> None:
    """When the clock has passed the limit nothing more is sent, and `affords` sees it coming."""
    now = 100.0

    def answer(request: Request) -> Reply:
        nonlocal now
        now += 1.0
        return by_number(request)

    scorer = Counting(answer)
    gate = gate_for(scorer, Budget(seconds=10), concurrency=1, clock=lambda: now)
    await gate.score(texts(5))
    assert gate.elapsed == gate.totals().seconds == 5.0
    assert gate.forecast.affords(gate.forecast.cost(4))
    assert not gate.forecast.affords(gate.forecast.cost(5))  # a fifth on top: 5 + 6 s
    with pytest.raises(BudgetExhausted, match="10 seconds"):
        await gate.score(texts(50))
    assert len(scorer.sent) == 10


BUDGETS = [
    Budget(requests=37),
    Budget(prompts=101),
    Budget(requests=20, prompts=61),
    Budget(tokens=400),
]


@pytest.mark.parametrize("concurrency", [1, 64, 512])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("budget", BUDGETS, ids=str)
async def test_no_budget_is_ever_exceeded(concurrency: int, batch: int, budget: Budget) -> None:
    """By the scorer's own books the grant holds at any concurrency, with answers at random."""
    scorer = Counting(pauses=random.Random(concurrency))
    gate = gate_for(scorer, budget, batch=batch, concurrency=concurrency)
    with pytest.raises(BudgetExhausted):
        await gate.score(texts(600))
    for limit, used in [
        (budget.requests, len(scorer.sent)),
        (budget.prompts, scorer.texts_sent),
        (budget.tokens, scorer.texts_sent),  # a token a text
    ]:
        assert limit is None or used <= limit
    assert gate.ledger.held == Amount()
    # What is refused is never cancelled under way: all that was sent is answered and kept.
    assert gate.ledger.spent == Amount(len(scorer.sent), scorer.texts_sent, scorer.texts_sent)


@pytest.mark.parametrize("budget", BUDGETS, ids=str)
async def test_concurrency_does_not_decide_what_a_budget_buys(budget: Budget) -> None:
    """A request that would fit once others have settled waits for them rather than fail."""
    bought = []
    for concurrency in (1, 8, 512):
        scorer = Counting(pauses=random.Random(concurrency))
        gate = gate_for(scorer, budget, batch=3, concurrency=concurrency)
        with pytest.raises(BudgetExhausted):
            await gate.score(texts(600))
        bought.append([request.texts for request in scorer.sent])
    if budget.tokens is None:
        assert bought[0] == bought[1] == bought[2]
    else:  # the last requests are parted until their bounds fit: as many, in another order
        counts = [sum(map(len, requests)) for requests in bought]
        assert max(counts) - min(counts) <= 3


async def test_a_tight_token_budget_serves_an_ask_that_fits() -> None:
    """Upper bounds of many requests in flight do not refuse what the real tokens allow."""
    scorer = Counting(pauses=random.Random(3))
    # 200 texts take 200 tokens; their bounds are 19 or so each, 64 in flight 1,200 together.
    gate = gate_for(scorer, Budget(tokens=260), concurrency=64)
    assert len(await gate.score(texts(200))) == 200


async def test_failures_never_break_the_budget() -> None:
    """With requests failing, refusing members and raising at random, the grant still holds."""
    rng = random.Random(4)

    def answer(request: Request) -> Reply:
        if rng.random() < 0.2:
            raise RequestFailed("unlucky")
        failed: ProviderError = RequestFailed("member")
        return Reply([failed if rng.random() < 0.2 else GOOD for _ in request.texts])

    scorer = Counting(answer, pauses=rng)
    gate = gate_for(scorer, Budget(requests=50, prompts=130), batch=4, concurrency=16)
    with pytest.raises(BudgetExhausted):
        await gate.score(texts(1000))
    assert len(scorer.sent) <= 50
    assert gate.ledger.spent.requests == len(scorer.sent)
    assert gate.ledger.spent.prompts <= 130


async def test_the_price_of_an_ask_is_an_upper_bound() -> None:
    """`cost` counts whole batches, and tokens by what was seen with a tenth on top."""
    gate = gate_for(Counting(), batch=4)
    assert gate.forecast.cost(9) == Amount(requests=3, prompts=9)
    await gate.score(texts(10))
    assert gate.forecast.cost(20) == Amount(requests=5, prompts=20, tokens=22)
