"""The rules of `bdpl_async.sharing.member`: nothing is sent before the group has granted it.

Against a stand-in that answers as told; tests/cluster has the real ledger.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from bdpl_async.budget import Amount, Budget
from bdpl_async.errors import BudgetExhausted, ProviderRefused, ProviderUnavailable
from bdpl_async.sharing.address import Address
from bdpl_async.sharing.link import Link, Unreachable
from bdpl_async.sharing.member import PATIENCE, Member
from tests.test_rediscache import Clock

ONE = Amount(1, 1, 10, 0.125)
HEAD = 5  # words before the absolute numbers


class Ledger:
    """Grants requests up to a limit; remembers what it was told.

    Attributes:
        told: of each call: spent, held, kept (four numbers each), draws, leaves, wishes.
        wait: what it says instead of granting.
    """

    key = "group.redis"
    address = Address("fake")

    def __init__(self, limit: int = 100) -> None:
        self.limit = limit
        self.told: list[tuple[list[float], ...]] = []
        self.asked: list[int] = []
        self.away: Exception | None = None
        self.lost = False  # it runs, and the answer does not arrive
        self.gone = False
        self.wait = ""

    async def run(self, script: str, *values: Any, patience: float = 2.0) -> list[Any]:
        assert script == "share"
        if self.away is not None:
            raise self.away
        numbers = [float(value) for value in values[HEAD:]]
        spent, held, kept, flags = (numbers[i : i + 4] for i in (0, 4, 8, 12))
        self.told.append((spent, held, kept, flags[:3]))
        corrections = int(numbers[15])
        wants = (len(numbers) - 16 - 2 * corrections) // 4
        self.asked.append(wants)
        if self.lost:
            raise Unreachable("no answer within 2 s")
        if self.gone:
            return [b"gone"]
        room = self.limit - int(spent[0] + held[0])
        granted = 0 if self.wait else min(wants, room)
        answer = self.wait or ("requests" if granted < wants else "")
        left = str(room - granted).encode()
        return [b"ok", granted, answer.encode() if wants > granted else b"", 5, left, b"", b"", b""]

    async def close(self) -> None:
        pass


@asynccontextmanager
async def member(ledger: Ledger, clock: Clock | None = None) -> AsyncIterator[Member]:
    clock = clock or Clock()
    found = Member(cast(Link, ledger), "team", "mark", clock=clock, sleep=clock.sleep)
    await found.begin()
    try:
        yield found
    finally:
        await found.close()


async def until(true: Callable[[], bool]) -> None:
    for _ in range(10_000):
        if true():
            return
        await asyncio.sleep(0)
    raise AssertionError


async def test_many_ask_in_one_call() -> None:
    """What is wanted at the same time goes together, in order."""
    ledger = Ledger()
    async with member(ledger) as ours:
        await asyncio.gather(*(ours.reserve(n, ONE) for n in range(50)))
        assert ledger.asked == [0, 50]


async def test_where_it_stands_is_told_with_every_call() -> None:
    """In absolute numbers, so that it can be told again."""
    ledger = Ledger()
    async with member(ledger) as ours:
        await ours.reserve(1, ONE)
        await ours.reserve(2, ONE)
        ours.settled(1, Amount(1, 1, 8, 0.0625))
        await ours.reserve(3, ONE)
    spent, held, *_ = ledger.told[-2]
    assert (spent, held) == ([1, 1, 8, 0.0625], [1, 1, 10, 0.125])
    spent, held, _, flags = ledger.told[-1]
    assert held == [2, 2, 20, 0.25]
    assert flags[1] == 1  # it leaves


async def test_a_lost_answer_is_asked_for_again() -> None:
    """What may have been granted is not held twice: the next call says what is held."""
    ledger = Ledger()
    async with member(ledger) as ours:
        ledger.lost = True
        asking = asyncio.create_task(ours.reserve(1, ONE))
        await until(lambda: len(ledger.told) >= 3)
        assert not asking.done()
        ledger.lost = False
        await asking
    assert [told[1][0] for told in ledger.told] == [0] * (len(ledger.told) - 1) + [1]


async def test_what_does_not_fit_is_refused_and_the_rest_goes_on() -> None:
    """A refusal is of one request; what fits after it is granted."""
    ledger = Ledger(limit=2)
    async with member(ledger) as ours:
        tasks = [asyncio.create_task(ours.reserve(n, ONE)) for n in range(4)]
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(one) for one in found] == [type(None)] * 2 + [BudgetExhausted] * 2
        assert "group 'team'" in str(found[-1])
        ours.settled(0, Amount())
        await ours.reserve(9, ONE)


async def test_it_waits_where_waiting_helps() -> None:
    """A limit of requests a minute, or bounds of what is under way, refuse nothing."""
    ledger = Ledger()
    async with member(ledger) as ours:
        ledger.wait = "500 rate"
        asking = asyncio.create_task(ours.reserve(1, ONE))
        await until(lambda: len(ledger.told) >= 3)
        assert not asking.done()
        assert ours.waiting == (1, "the limits of the budget group")
        ledger.wait = ""
        await asking


async def test_it_fails_closed() -> None:
    """While the Redis is away nothing is granted; after a minute the run ends."""
    ledger, clock = Ledger(), Clock()
    async with member(ledger, clock) as ours:
        ledger.away = Unreachable("no route to host")
        with pytest.raises(ProviderRefused, match=r"team.*no route to host") as caught:
            await ours.reserve(1, ONE)
        assert caught.value.fate == "unsent"
        assert clock.now >= PATIENCE
        assert "nothing is sent until it can" in str(ours.trouble)
        ledger.away = None
        await ours.reserve(2, ONE)
        assert ours.trouble is None


async def test_a_forgotten_grant_ends_the_run() -> None:
    """What others had spent is not known, so nothing more may be."""
    ledger = Ledger()
    async with member(ledger) as ours:
        ledger.gone = True
        with pytest.raises(ProviderRefused, match="any more"):
            await ours.reserve(1, ONE)


async def test_who_gives_up_holds_nothing() -> None:
    """Whether the grant was under way or there already."""
    ledger = Ledger()
    async with member(ledger) as ours:
        ledger.wait = "100 held"
        early = asyncio.create_task(ours.reserve(1, ONE))
        await asyncio.sleep(0)
        early.cancel()
        await asyncio.gather(early, return_exceptions=True)
        ledger.wait = ""
        late = asyncio.create_task(ours.reserve(2, ONE))
        await until(lambda: ledger.asked[-1] > 0)
        late.cancel()
        await asyncio.gather(late, return_exceptions=True)
        await ours.reserve(3, ONE)
    assert ledger.told[-1][1][0] == 1


async def test_what_is_kept_is_told_and_refused_whole() -> None:
    """A wish that does not fit leaves nothing kept."""
    ledger = Ledger()
    async with member(ledger) as ours:
        assert await ours.keep(Amount(4)) is None
        await ours.reserve(1, ONE)
        assert ledger.told[-1][2] == [4, 0, 0, 0]
        ours.draw()
        await ours.reserve(2, ONE)
        await ours.reserve(3, ONE)
        assert ledger.told[-1][2] == [3, 0, 0, 0]
        assert ledger.told[-1][3] == [1, 0, 0]


async def test_keeping_waits_for_the_redis() -> None:
    """A moment's absence is none; a long one is said."""
    ledger = Ledger()
    async with member(ledger) as ours:
        ledger.away = Unreachable("gone fishing")
        with pytest.raises(ProviderUnavailable, match="gone fishing"):
            await ours.keep(Amount(4))


async def test_what_is_left_narrows_a_plan() -> None:
    """By the newest word."""
    ledger = Ledger(limit=10)
    async with member(ledger) as ours:
        await ours.reserve(1, ONE)
        assert ours.fits(Amount(9))
        assert not ours.fits(Amount(10))
        assert ours.granted(Budget(requests=50), Amount(1)) == Budget(requests=10)
        assert ours.granted(Budget(requests=5), Amount(1)) == Budget(requests=5)
