"""The rules of `bdpl_async.remainder`: one process pays, the others wait, and nobody for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest

from bdpl_async.budget import Budget
from bdpl_async.gate import Gate
from bdpl_async.halt import Stopped
from bdpl_async.records import Reply, Request, Text
from bdpl_async.sharing.link import Link
from bdpl_async.sharing.rediscache import RedisCache
from tests.fakeredis import FakeLink, FakeStore, away
from tests.test_gate import Counting, by_number, gate_for, texts, values
from tests.test_rediscache import Clock


class Held(Counting):
    """A keyed scorer that answers once it is let."""

    def __init__(self, *, free: bool = True) -> None:
        super().__init__()
        self.free = asyncio.Event()
        if free:
            self.free.set()

    async def score(self, request: Request) -> Reply:
        self.sent.append(request)
        await self.free.wait()
        return by_number(request)

    def key(self, text: Text, labels: tuple[str, ...]) -> bytes:
        return f"{text.before}{labels}".encode()


@asynccontextmanager
async def process(
    store: FakeStore, scorer: Held, *, batch: int = 1, budget: Budget | None = None
) -> AsyncIterator[Gate]:
    """One of several that share a cache."""
    clock = Clock()
    cache = RedisCache(cast(Link, FakeLink(store)), clock=clock, sleep=clock.sleep)
    await cache.open()
    try:
        yield gate_for(scorer, budget, batch=batch, cache=cache)
    finally:
        await cache.close()


async def moments() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


@pytest.mark.parametrize("batch", [1, 4, 7])
async def test_what_others_ask_for_is_not_sent(batch: int) -> None:
    """Two that want overlapping texts at the same time pay for each text once."""
    store, ours, theirs = FakeStore(), Held(free=False), Held()
    async with process(store, ours, batch=batch) as one, process(store, theirs, batch=batch) as two:
        first = asyncio.create_task(one.score(texts(20)))
        await moments()
        second = asyncio.create_task(two.score(texts(20, start=10)))
        await moments()
        assert theirs.texts_sent == 10  # its own, while it waits for the rest
        ours.free.set()
        assert values(await first) == list(range(20))
        assert values(await second) == list(range(10, 30))
    assert (ours.texts_sent, theirs.texts_sent) == (20, 10)


@pytest.mark.parametrize("batch", [1, 4])
async def test_the_budget_counts_as_if_it_had_been_paid(batch: int) -> None:
    """What another process answered fills the budget as an answer of ours would have."""
    lone = Held()
    async with process(FakeStore(), lone, batch=batch) as gate:
        await gate.score(texts(12))
        alone = gate.ledger.used
    store, ours, theirs = FakeStore(), Held(free=False), Held()
    async with process(store, ours, batch=batch) as one, process(store, theirs, batch=batch) as two:
        first = asyncio.create_task(one.score(texts(12)))
        await moments()
        second = asyncio.create_task(two.score(texts(12)))
        await moments()
        ours.free.set()
        await asyncio.gather(first, second)
        assert two.ledger.used == one.ledger.used == alone
        assert two.ledger.spent.requests == 0


async def test_the_texts_of_a_process_that_died_are_sent() -> None:
    """They are claimed by whoever waited, and come in the order asked for."""
    store, ours, theirs = FakeStore(), Held(free=False), Held()
    async with process(store, ours) as one, process(store, theirs) as two:
        first = asyncio.create_task(one.score(texts(6)))
        await moments()
        second = asyncio.create_task(two.score(texts(9)))
        await moments()
        assert theirs.texts_sent == 3
        store.dead |= set(store.claims.values())
        assert values(await second) == list(range(9))
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)


async def test_a_failed_ask_lets_others_try() -> None:
    """A process whose budget ends gives up what it claimed and did not get."""
    store, ours, theirs = FakeStore(), Held(), Held()
    async with (
        process(store, ours, budget=Budget(requests=2)) as one,
        process(store, theirs) as two,
    ):
        with pytest.raises(Exception, match="leaves no room"):
            await one.score(texts(5))
        assert values(await two.score(texts(5))) == list(range(5))
    assert ours.texts_sent + theirs.texts_sent == 5


async def test_who_waits_for_others_can_be_stopped() -> None:
    """A halt ends the wait at once: nothing of ours is in flight."""
    store, ours = FakeStore(), Held(free=False)
    async with process(store, ours) as one, process(store, Held()) as two:
        first = asyncio.create_task(one.score(texts(3)))
        await moments()
        second = asyncio.create_task(two.score(texts(3)))
        await moments()
        two.halt()
        with pytest.raises(Stopped):
            await second
        ours.free.set()
        await first


async def test_without_the_redis_everybody_pays() -> None:
    """It fails open, in the middle of a run too."""
    store, ours, theirs = FakeStore(), Held(), Held()
    async with process(store, ours) as one, process(store, theirs) as two:
        store.away = away()
        await asyncio.gather(one.score(texts(4)), two.score(texts(4)))
        store.away = None
    assert (ours.texts_sent, theirs.texts_sent) == (4, 4)
