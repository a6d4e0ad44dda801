"""The rules of `bdpl_async.again`: another try where it helps, after a wait, and not for ever."""

from __future__ import annotations

import asyncio

import pytest

from bdpl_async.budget import Amount, Budget, Ledger
from bdpl_async.channel import Channel
from bdpl_async.errors import (
    ProviderError,
    ProviderRefused,
    ProviderUnavailable,
    RateLimited,
    RequestFailed,
    ServerFault,
)
from bdpl_async.limits.standing import Standing
from bdpl_async.terms import Terms
from tests.channelkit import ONE, Answer, Clock, Script, channel


async def test_only_what_may_pass_is_sent_again() -> None:
    """A refusal or a bad request is sent once; a provider that is busy is asked again."""
    for error, calls in [
        (ProviderRefused("key"), 1),
        (RequestFailed("too long"), 1),
        (ProviderUnavailable("503"), 8),
        (ServerFault("500"), 8),
    ]:
        script = Script([error])
        with pytest.raises(ProviderError) as caught:
            await channel().send(script, ONE)
        assert caught.value is error
        assert script.calls == calls


async def test_every_attempt_is_seen() -> None:
    """Retries are requests to the ledger, events to the user, and waits that grow."""
    clock = Clock()
    ch = channel(clock)
    bad = ProviderUnavailable("busy", fate="refused")
    await ch.send(Script([bad, bad, bad, Answer()]), ONE)
    assert ch.ledger.spent == Amount(4, 1, 7)
    assert ch.traffic.retries == ch.traffic.failures == 3
    assert [retry.attempt for retry in ch.again.retries] == [2, 3, 4]
    assert all(retry.reason == "busy" for retry in ch.again.retries)
    assert clock.slept == sorted(clock.slept)
    assert len(clock.slept) == 3


async def test_the_wait_that_was_asked_for_is_kept() -> None:
    """Retry-After beats back-off."""
    clock = Clock()
    limited = RateLimited("429", retry_after=17.0, fate="refused")
    await channel(clock).send(Script([limited, Answer()]), ONE)
    assert 17.0 <= clock.now < 20.0


async def test_a_wait_before_another_try_can_be_seen() -> None:
    """Who looks on while a request waits to be sent again is told why, and until when."""
    clock = Clock()
    seen: list[Standing] = []

    async def sleep(seconds: float) -> None:
        if not seen:
            for part in (0.0, 30.0):
                await clock.sleep(part)
                seen.append(line.limiter.standing.paused(line.again.pauses, line.elapsed))
        await clock.sleep(seconds)

    terms, ledger = Terms(), Ledger(Budget())
    line = Channel("x", ledger, terms, clock=clock, sleep=sleep, draw=lambda: 0.5)
    script = Script([RateLimited("busy", retry_after=60.0), Answer()])
    await line.send(script, ONE)
    assert {(s.waiting, s.obstacle) for s in seen} == {(1, "another try (rate limit)")}
    assert [s.seconds for s in seen] == pytest.approx([60.0, 30.0], rel=0.2)
    assert line.limiter.standing.paused(line.again.pauses, line.elapsed).waiting == 0


async def test_a_wait_of_hours_is_a_refusal() -> None:
    """Who asks for a wait that no run outlives is not asked again."""
    clock, script = Clock(), Script([RateLimited("come back tomorrow", retry_after=86_400.0)])
    with pytest.raises(RateLimited):
        await channel(clock).send(script, ONE)
    assert (script.calls, clock.now) == (1, 0.0)


async def test_a_server_that_is_not_there_is_told_soon() -> None:
    """Nobody waits a minute to read that nothing listens at that address."""
    script = Script([ProviderUnavailable("refused", fate="unsent")])
    with pytest.raises(ProviderUnavailable):
        await channel().send(script, ONE)
    assert script.calls == 3


async def test_a_list_on_which_the_server_breaks_is_given_back_early() -> None:
    """One bad member may be at fault: the caller parts the list instead of eight tries."""
    script = Script([ServerFault("500", fate="refused")])
    with pytest.raises(ServerFault):
        await channel().send(script, Amount(1, 16, 200), soon=lambda error: True)
    assert script.calls == 3


async def test_as_many_tries_as_the_user_says() -> None:
    """The first included; each is reserved, sent and counted for itself."""
    for attempts in (1, 2, 5):
        ch = channel(terms=Terms(attempts=attempts))
        script = Script([ProviderUnavailable("503", fate="refused")])
        with pytest.raises(ProviderUnavailable, match="503"):
            await ch.send(script, ONE)
        assert script.calls == ch.ledger.spent.requests == attempts
        assert len(ch.again.retries) == ch.traffic.retries == attempts - 1


async def test_who_answered_once_is_not_given_up_at_the_door() -> None:
    """A server that was reached and is away now is waited for like any other trouble."""
    ch, away = channel(), ProviderUnavailable("refused", fate="unsent")
    await ch.send(Script([Answer()]), ONE)
    script = Script([away, away, away, away, Answer()])
    await ch.send(script, ONE)
    assert script.calls == 5


async def test_the_last_error_is_the_one_that_is_raised() -> None:
    """As it was said, and not wrapped in another library's."""
    last = RequestFailed("too long")
    with pytest.raises(RequestFailed) as caught:
        await channel().send(Script([ProviderUnavailable("busy"), last]), ONE)
    assert caught.value is last


async def test_requests_try_each_for_itself() -> None:
    """What one of several requests met counts for no other one."""
    ch = channel()
    scripts = [Script([*[ProviderUnavailable("busy")] * tries, Answer()]) for tries in (7, 0, 3, 7)]
    await asyncio.gather(*(ch.send(script, ONE) for script in scripts))
    assert [script.calls for script in scripts] == [8, 1, 4, 8]
