"""The rules of `bdpl_async.limits.limiter`."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bdpl_async.errors import ProviderUnavailable, RateLimited
from bdpl_async.limits.limiter import Limiter, Ticket
from bdpl_async.limits.standing import Level, Standing
from bdpl_async.records import Quota
from tests.virtualtime import (
    Fixed,
    Provider,
    Refilling,
    Sliding,
    besiege,
    limiter_of,
    now,
    virtually,
)

RULES = [Fixed, Sliding, Refilling]
each_rule = pytest.mark.parametrize("rule", RULES)


def run(limits: dict[str, Any], provider: Provider, seconds: float, **siege: int) -> float:
    """Besiege `provider`; the moment when it began."""

    async def work() -> float:
        began = now()
        await besiege(limiter_of(**limits), provider, seconds, **siege)
        return began

    return virtually(work())


def refused(kind: str = "rate", **more: Any) -> RateLimited:
    error = RateLimited("too many", **more)
    error.kind = kind  # type: ignore[assignment]  # a str here, a Literal there
    return error


# Against providers


@each_rule
def test_a_known_limit_of_requests_is_used_up_and_never_exceeded(rule: type[Any]) -> None:
    """Under the true rpm no kind of window ever refuses, and 0.97 of the limit get through."""
    provider = Provider(rule(300))
    run({"rpm": 300}, provider, 3600)
    assert provider.refusals == []
    assert len(provider.answers) >= 0.97 * 300 * 60


@each_rule
def test_a_known_limit_of_tokens_is_used_up_and_never_exceeded(rule: type[Any]) -> None:
    """Under the true tpm the same; what was reserved too much is given back and sent."""
    provider = Provider(tokens=rule(20_000))
    run({"tpm": 20_000}, provider, 3600, tokens=100)
    assert provider.refusals == []
    assert provider.spent >= 0.97 * 20_000 * 60


@pytest.mark.parametrize("rule", [Fixed, Sliding])
@pytest.mark.parametrize("hint", [None, 60.0, 3.0])
def test_an_unknown_limit_costs_one_wave(rule: type[Any], hint: float | None) -> None:
    """20 a minute with 64 workers: after a first wave nothing is refused, whatever the hint.

    Without one, or where it is not true, five single requests more find out that it is a minute.
    """
    provider = Provider(rule(20), retry_after=hint)
    began = run({}, provider, 299)
    assert max(provider.refusals) < began + {None: 10, 60.0: 2, 3.0: 20}[hint]
    assert len(provider.refusals) <= {None: 10, 60.0: 4, 3.0: 20}[hint]
    assert len(provider.answers) >= 0.97 * 20 * 300 / 61


@pytest.mark.parametrize("hint", [None, 60.0, 3.0])
def test_a_bucket_is_emptied_and_then_met_as_it_refills(hint: float | None) -> None:
    """Where one comes back each three seconds, it takes two minutes to see that."""
    provider = Provider(Refilling(20), retry_after=hint)
    began = run({}, provider, 900)
    late = [at for at in provider.refusals if at > began + 240]
    assert len(provider.refusals) - len(late) <= {None: 140, 60.0: 4, 3.0: 85}[hint]
    assert len(late) <= 12
    assert len(provider.answers) >= 0.97 * 20 * 15


@each_rule
def test_a_learned_limit_is_tried_a_little_higher_now_and_then(rule: type[Any]) -> None:
    """In the long run 0.97 of what is allowed; one more is tried after 5, 10, 20 minutes."""
    provider = Provider(rule(20), retry_after=60.0)
    began = run({}, provider, 3600)
    assert len(provider.answers) >= 0.97 * 20 * 60
    late = [at - began for at in provider.refusals if at > began + 5]
    assert 2 <= len(late) <= 4
    assert min(late) > 300


def test_a_limit_that_rose_is_found_again() -> None:
    """A learned rate is no ceiling for good: hours later most of a larger limit is used."""
    provider = Provider(rule := Sliding(20), retry_after=60.0)

    async def work() -> int:
        limiter = limiter_of()
        await besiege(limiter, provider, 200)
        rule.limit = 100
        await besiege(limiter, provider, 4 * 3600)
        before = len(provider.answers)
        await besiege(limiter, provider, 600)
        return len(provider.answers) - before

    assert virtually(work()) > 0.7 * 100 * 10


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("kind", "hint"), [("parallel", None), ("parallel", 60.0), ("rate", None)])
def test_a_wall_of_four_at_once_is_met_once(kind: str, hint: float | None, seed: int) -> None:
    """After the first wave nothing is refused for a minute, and four are always in flight.

    Even if the refusal does not say which kind it is, or bears the retry-after of a window.
    """
    provider = Provider(parallel=4, kind=kind, retry_after=hint, seed=seed)
    began = run({}, provider, 59)
    assert len(provider.refusals) == 12
    assert max(provider.refusals) < began + 1
    assert len(provider.answers) > 0.9 * 59 * 4 / 0.38  # the mean of a round trip


@each_rule
@pytest.mark.parametrize("hint", [None, 1.0])
def test_a_window_of_a_second_is_learned_from_what_repeats(
    rule: type[Any], hint: float | None
) -> None:
    """Ten a second within the user's minute: seen after some waves, then hardly refused."""
    provider = Provider(rule(10, 1), retry_after=hint)
    began = run({"rpm": 600}, provider, 900)
    early = [at for at in provider.refusals if at < began + 120]
    assert len(early) <= 140
    assert len(provider.refusals) - len(early) <= 60
    assert len(provider.answers) >= 0.8 * 600 * 15


def test_slow_down_halves_the_rate() -> None:
    """After `slow_down` half of what went through before goes through, half again 10 s later."""
    provider = Provider(rule := Sliding(100, 10), kind="slow_down")

    async def work() -> list[float]:
        limiter = limiter_of(most=2)
        await besiege(limiter, provider, 60, workers=4)
        rates = [len(provider.answers) / 60]
        rule.limit = 1
        await besiege(limiter, provider, 0.5, workers=4)
        rule.limit = 1000
        for seconds in (10, 10, 60):
            before = len(provider.answers)
            await besiege(limiter, provider, seconds, workers=4)
            rates.append((len(provider.answers) - before) / seconds)
        return rates

    before, soon, later, at_last = virtually(work())
    assert 0.35 * before <= soon <= 0.6 * before
    assert 0.55 * before <= later <= 0.85 * before
    assert at_last > 0.85 * before


def test_a_rate_that_is_told_by_slow_down_is_found() -> None:
    """Ten a second: after a minute no more than one in fifty is asked to slow down."""
    provider = Provider(Sliding(10, 1), kind="slow_down")
    began = run({}, provider, 900)
    late = [at for at in provider.refusals if at > began + 60]
    assert len(late) < 0.02 * len(provider.answers)
    assert len(provider.answers) >= 0.65 * 9000


def test_what_the_headers_say_is_left_avoids_every_refusal() -> None:
    """With `remaining` and `reset` on each answer a limit is held that nobody told us."""
    rule = Fixed(40)

    def told(at: float) -> tuple[Quota, ...]:
        left = rule.limit - (rule.used if int(at // 60) == rule.window else 0)
        return (Quota("requests", rule.limit, left, rule.reset(at) + 0.1),)

    provider = Provider(rule, quotas=told)
    run({}, provider, 1800)
    assert provider.refusals == []
    assert len(provider.answers) >= 0.97 * 40 * 30


# Rules of its own


def test_a_minute_is_never_overdrawn_at_its_edges() -> None:
    """A full burst, then nothing until 61 s after it: no window of 60 s sees more than the rpm."""

    async def work() -> list[float]:
        limiter, began = limiter_of(rpm=3), now()
        times = []
        for _ in range(7):
            ticket = await limiter.acquire(1)
            times.append(now() - began)
            limiter.answered(ticket, 1, ())
        return times

    assert virtually(work()) == pytest.approx([0, 0, 0, 61, 61, 61, 122])


def test_what_was_not_used_lets_the_next_one_in_at_once() -> None:
    """An answer that took less than reserved makes room in the window it was counted in."""

    async def work() -> float:
        limiter, began = limiter_of(tpm=1000), now()
        first = await limiter.acquire(900)
        waiting = asyncio.create_task(limiter.acquire(500))
        await asyncio.sleep(2)
        assert not waiting.done()
        limiter.answered(first, 500, ())
        limiter.answered(await waiting, 500, ())
        return now() - began

    assert virtually(work()) == pytest.approx(2)


def test_a_request_larger_than_the_limit_goes_alone() -> None:
    """What no window could ever hold is sent when the window is empty, not never."""

    async def work() -> list[float]:
        limiter, began = limiter_of(tpm=100), now()
        times = []
        for tokens in (10, 5000, 10):
            limiter.answered(await limiter.acquire(tokens), tokens, ())
            times.append(now() - began)
        return times

    assert virtually(work()) == pytest.approx([0, 61, 122])


def test_a_refusal_with_a_time_pauses_everybody_and_the_newest_counts() -> None:
    """Nothing is sent before the newest `retry_after` is over, be it earlier or later."""

    async def work() -> list[float]:
        limiter, began = limiter_of(), now()
        first, second = await limiter.acquire(1), await limiter.acquire(1)
        limiter.failed(first, refused(retry_after=50.0))
        waiting = asyncio.create_task(limiter.acquire(1))
        await asyncio.sleep(1)
        limiter.failed(second, refused(retry_after=4.0))
        limiter.answered(await waiting, 1, ())
        return [now() - began]

    assert virtually(work()) == pytest.approx([5.1])


def test_other_errors_slow_nobody_down() -> None:
    """An error that is no refusal just frees its slot."""

    async def work() -> float:
        limiter, began = limiter_of(most=1), now()
        for _ in range(10):
            error = ProviderUnavailable("busy", retry_after=30.0)
            limiter.failed(await limiter.acquire(1), error)
        return now() - began

    assert virtually(work()) == 0


def test_a_limit_header_alone_and_a_reset_too_far_hold_nobody() -> None:
    """A limit's period is unknown, and nobody waits for tomorrow in silence."""

    async def work() -> float:
        limiter, began = limiter_of(), now()
        told = (Quota("requests", limit=1), Quota("tokens", 10, 0, 86_400.0))
        for _ in range(10):
            limiter.answered(await limiter.acquire(5), 5, told)
        return now() - began

    assert virtually(work()) == 0


def test_nothing_left_waits_for_the_reset_of_the_newest_answer() -> None:
    """Tokens left, less what was sent since and is in flight, hold the next request."""

    async def work() -> list[float]:
        limiter, began, times = limiter_of(), now(), []
        first, second = await limiter.acquire(10), await limiter.acquire(60)
        limiter.answered(first, 10, (Quota("tokens", 100, 100, 20.0),))
        waiting = asyncio.create_task(limiter.acquire(50))  # 40 are surely left
        await asyncio.sleep(1)
        assert not waiting.done()
        limiter.answered(second, 60, (Quota("tokens", 100, 40, 5.0),))
        times.append(now() - began)
        limiter.answered(await waiting, 50, ())
        times.append(now() - began)
        return times

    assert virtually(work()) == pytest.approx([1, 6])


def test_take_is_acquire_where_nothing_is_in_the_way() -> None:
    """A slot, room in the windows, no pause: the ticket is there at once, and counts as any."""

    async def work() -> None:
        limiter = limiter_of(rpm=3, tpm=1000, most=2)
        first = limiter.take(400)
        assert first is not None
        second = await limiter.acquire(400)
        assert limiter.take(1) is None  # no slot
        limiter.answered(first, 400, ())
        limiter.answered(second, 400, ())
        assert limiter.take(201) is None  # too many tokens in this minute
        third = limiter.take(200)
        assert third is not None
        limiter.answered(third, 1, ())
        assert limiter.take(1) is None  # too many requests
        assert limiter.in_flight == 0
        await asyncio.sleep(61)
        fourth = limiter.take(1)
        assert fourth is not None
        limiter.failed(fourth, refused(retry_after=5.0))
        assert limiter.take(1) is None  # a pause
        await asyncio.sleep(6)
        fifth = limiter.take(1)
        assert fifth is not None
        assert [t.number for t in (first, second, third, fourth, fifth)] == [1, 2, 3, 4, 5]
        limiter.answered(fifth, 1, ())

    virtually(work())


def test_take_overtakes_nobody() -> None:
    """Whoever waits for many tokens goes before whoever comes later for few."""

    async def work() -> None:
        limiter = limiter_of(tpm=1000)
        first = limiter.take(800)
        assert first is not None
        waiting = asyncio.create_task(limiter.acquire(500))
        await asyncio.sleep(0)
        assert limiter.take(10) is None
        limiter.answered(first, 400, ())
        ticket = await waiting
        last = limiter.take(10)
        assert last is not None
        for one in (ticket, last):
            limiter.answered(one, one.tokens, ())

    virtually(work())


def test_a_ticket_is_closed_once() -> None:
    """The second word on a ticket is a mistake of the caller's and is refused, whatever it is."""

    async def work() -> None:
        limiter = limiter_of()
        for close in (
            lambda ticket: limiter.answered(ticket, 1, ()),
            lambda ticket: limiter.failed(ticket, ProviderUnavailable("busy")),
            lambda ticket: limiter.failed(ticket, refused()),
            limiter.abandoned,
        ):
            ticket = await limiter.acquire(1)
            limiter.abandoned(ticket)
            with pytest.raises(ValueError, match="closed before"):
                close(ticket)
        assert limiter.in_flight == 0

    virtually(work())


def test_it_shows_itself() -> None:
    """Its repr is a dashboard: flying, waiting, windows, what is left, the pause."""

    async def work() -> str:
        limiter = limiter_of(rpm=10, tpm=1000)
        tickets = [await limiter.acquire(100) for _ in range(3)]
        limiter.answered(tickets[0], 40, (Quota("requests", 10, 7, 30.0),))
        limiter.failed(tickets[1], refused("slow_down", retry_after=2.0))
        waiting = asyncio.create_task(limiter.acquire(1))
        await asyncio.sleep(0)
        shown = repr(limiter)
        limiter.answered(tickets[2], 100, ())
        limiter.answered(await waiting, 1, ())
        return shown

    shown = virtually(work())
    for part in ("1 of 8 in flight", "1 waiting", "3/10 requests in 61 s", "paused for 2.1 s"):
        assert part in shown
    assert "240/1000 tokens in 61 s, " in shown
    assert "5 requests left" in shown


def test_a_sleep_that_breaks_reaches_those_who_wait() -> None:
    """An error of the sleep is raised where somebody waits for it; nobody hangs."""

    async def broken(_: float) -> None:
        raise OSError("no clock")

    async def work() -> None:
        limiter = Limiter(rpm=1, clock=now, sleep=broken)
        limiter.answered(await limiter.acquire(1), 1, ())
        with pytest.raises(OSError, match="no clock"):
            await limiter.acquire(1)

    virtually(work())


def test_the_log_holds_no_more_than_the_window() -> None:
    """Tickets that count no more, and those that were never sent, are not kept."""

    async def work() -> int:
        limiter = limiter_of(rpm=5)
        for _ in range(200):
            limiter.abandoned(await limiter.acquire(1))
            limiter.answered(await limiter.acquire(1), 1, ())
        return len(limiter._given[0]._log)

    assert virtually(work()) <= 5


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["acquire", "answered", "failed", "refused", "hinted", "slow_down"])
        | st.sampled_from(["acquire", "acquire", "parallel", "abandoned", "cancel", "wait"]),
        st.integers(0, 60),
    ),
    max_size=60,
)


class Play:
    """One random schedule against a limiter, and what it must never do."""

    def __init__(self, rpm: int, tpm: int, most: int) -> None:
        self.rpm, self.tpm, self.most = rpm, tpm, most
        self.limiter = limiter_of(rpm, tpm, most)
        self.waiting: list[tuple[int, asyncio.Task[None]]] = []
        self.held: list[tuple[Ticket, int]] = []
        self.sent: list[tuple[Ticket, int]] = []
        self.order: list[int] = []
        self.asked = 0

    async def _ask(self, number: int, tokens: int) -> None:
        ticket = await self.limiter.acquire(tokens)
        self.order.append(number)
        self.held.append((ticket, tokens))
        assert self.limiter.in_flight <= self.most

    async def step(self, what: str, amount: int) -> None:
        if what == "acquire":
            self.asked += 1
            task = asyncio.create_task(self._ask(self.asked, amount))
            self.waiting.append((self.asked, task))
        elif what == "cancel" and self.waiting:
            self.waiting[amount % len(self.waiting)][1].cancel()  # it may just have been let in
        elif what == "wait":
            await asyncio.sleep(amount)
        elif self.held:
            self.close(what, amount)
        if amount % 3:
            await asyncio.sleep(0)

    def close(self, what: str, amount: int) -> None:
        ticket, tokens = self.held.pop(amount % len(self.held))
        if what == "abandoned":
            self.limiter.abandoned(ticket)
            return
        used = tokens if what != "answered" else tokens * (amount % 4) // 3
        self.sent.append((ticket, used))
        errors = {
            "failed": ProviderUnavailable("busy"),
            "refused": refused(),
            "hinted": refused(retry_after=float(amount)),
        }
        if what in ("answered", "cancel"):
            told = (Quota("requests", None, amount, 7.0),) if amount % 5 == 0 else ()
            self.limiter.answered(ticket, used, told)
        else:
            self.limiter.failed(ticket, errors.get(what) or refused(what))

    async def finish(self) -> None:
        """Let everybody in, answer everything."""
        for _ in range(100_000):
            await asyncio.sleep(0)
            while self.held:
                self.close("answered", 1)
            if all(task.done() for _, task in self.waiting):
                break
            await asyncio.sleep(1)
        await asyncio.gather(*(task for _, task in self.waiting), return_exceptions=True)


@given(st.integers(1, 8), st.integers(40, 200), st.integers(1, 5), STEPS)
def test_no_schedule_breaks_a_rule(
    rpm: int, tpm: int, most: int, steps: list[tuple[str, int]]
) -> None:
    """Never above rpm, tpm in 60 s or most in flight; in order; all is given back at the end."""

    async def work() -> Play:
        play = Play(rpm, tpm, most)
        for what, amount in steps:
            await play.step(what, amount)
        await play.finish()
        assert play.limiter.in_flight == 0
        assert "0 waiting" in repr(play.limiter)
        # Nothing stays behind: a slot is free, and after a while everything is.
        await asyncio.sleep(400)
        ticket = await play.limiter.acquire(1)
        play.limiter.answered(ticket, 1, ())
        return play

    play = virtually(work())
    assert all(task.done() for _, task in play.waiting)
    failures = [t for _, t in play.waiting if not t.cancelled() and t.exception()]
    assert failures == []
    assert play.order == sorted(play.order)
    kept = sorted(play.sent, key=lambda pair: pair[0].at)
    for first, _ in kept:
        inside = [pair for pair in kept if first.at <= pair[0].at < first.at + 60]
        assert len(inside) <= rpm
        assert sum(used for _, used in inside) <= max(tpm, *(used for _, used in inside))


def test_cancelled_waiters_leave_no_trace() -> None:
    """Whether it still waited or was just let in, a cancelled caller holds no slot and no room."""

    async def work() -> None:
        limiter = limiter_of(rpm=2, most=2)
        tickets = [await limiter.acquire(1), await limiter.acquire(1)]
        tasks = [asyncio.create_task(limiter.acquire(1)) for _ in range(4)]
        await asyncio.sleep(1)
        tasks[0].cancel()
        for ticket in tickets:
            limiter.abandoned(ticket)  # lets in the second and the third
        tasks[1].cancel()  # after leave was given
        await asyncio.sleep(0.001)
        assert [task.done() for task in tasks] == [True] * 4
        assert [task.cancelled() for task in tasks] == [True, True, False, False]
        for task in tasks[2:]:
            limiter.answered(task.result(), 1, ())
        assert limiter.in_flight == 0

    virtually(work())


def test_the_last_waiter_takes_the_alarm_along() -> None:
    """When nobody waits any more, no task of the limiter sleeps on."""

    async def work() -> set[asyncio.Task[Any]]:
        limiter = limiter_of(rpm=1)
        limiter.answered(await limiter.acquire(1), 1, ())
        task = asyncio.create_task(limiter.acquire(1))
        await asyncio.sleep(1)
        assert len(asyncio.all_tasks()) == 3
        task.cancel()
        await asyncio.sleep(0.001)
        return asyncio.all_tasks() - {asyncio.current_task()}

    assert virtually(work()) == set()


async def test_how_it_stands() -> None:
    """It tells what is in flight, who waits, for what, and how long that will take at most."""

    async def asleep(seconds: float) -> None:
        await asyncio.Event().wait()

    limiter = Limiter(rpm=2, concurrency=8, clock=lambda: 0.0, sleep=asleep)
    assert limiter.standing == Standing(0, 8, 0, (Level("requests", 0, 2, 61.0),))
    tickets = [await limiter.acquire(5) for _ in range(2)]
    third = asyncio.ensure_future(limiter.acquire(5))
    await asyncio.sleep(0)
    found = limiter.standing
    assert (found.in_flight, found.waiting) == (2, 1)
    assert (found.obstacle, found.seconds) == ("the limit of requests", 61.0)
    limiter.failed(tickets[0], refused(retry_after=90.0))
    found = limiter.standing
    assert found.obstacle == "the pause after a refusal"
    assert found.seconds is not None
    assert found.seconds >= 90.0
    third.cancel()


async def test_how_a_full_one_stands() -> None:
    """Where every place in flight is taken, only an answer makes room."""
    limiter = Limiter(concurrency=1)
    await limiter.acquire(5)
    second = asyncio.ensure_future(limiter.acquire(5))
    await asyncio.sleep(0)
    assert (limiter.standing.obstacle, limiter.standing.seconds) == ("an answer", None)
    second.cancel()


async def test_how_an_idle_one_stands() -> None:
    """What no longer counts is not told, though nobody has asked for leave since."""
    clock = [0.0]
    limiter = Limiter(rpm=2, clock=lambda: clock[0])
    limiter.answered(await limiter.acquire(5), 5, ())
    assert [level.held for level in limiter.standing.levels] == [1]
    clock[0] = 61.5
    assert [level.held for level in limiter.standing.levels] == [0]
