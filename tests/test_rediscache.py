"""The rules of `bdpl_async.sharing.rediscache`: answers of all processes, each paid for once.

Against a stand-in; tests/cluster has the real thing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from bdpl_async.caching.cache import Entry, SharedCache
from bdpl_async.errors import ConfigError
from bdpl_async.records import Score
from bdpl_async.sharing.link import Link
from bdpl_async.sharing.rediscache import CAPACITY, REST, RedisCache
from tests.fakeredis import FakeLink, FakeStore, away

ENTRY = Entry(Score((-1.0, -2.0), 0.5), 7, 1)
OTHER = Entry(Score((-3.0, -0.5)), 5, 1)
A, B, C = (bytes([n]) * 16 for n in range(3))


class Clock:
    """Seconds that pass when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


@asynccontextmanager
async def cache(store: FakeStore, clock: Clock | None = None) -> AsyncIterator[RedisCache]:
    clock = clock or Clock()
    found = RedisCache(cast(Link, FakeLink(store)), clock=clock, sleep=clock.sleep)
    await found.open()
    try:
        yield found
    finally:
        await found.close()


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_what_one_paid_for_all_find() -> None:
    """Bit for bit, with its share of the usage."""
    store = FakeStore()
    async with cache(store) as ours, cache(store) as theirs:
        assert isinstance(ours, SharedCache)
        assert await ours.take([A]) == ({}, set())
        ours.put(A, ENTRY)
        await settled()
        assert await theirs.take([A, B]) == ({A: ENTRY}, set())


async def test_one_pays_and_the_other_waits() -> None:
    """What somebody asks for is not the other's to ask; he gets the answer when it is there."""
    store = FakeStore()
    async with cache(store) as ours, cache(store) as theirs:
        assert await ours.take([A]) == ({}, set())
        assert await theirs.take([A, B]) == ({}, {A})
        waiting = asyncio.create_task(theirs.take([A]))
        await settled()
        assert not waiting.done()
        ours.put(A, ENTRY)
        assert await waiting == ({A: ENTRY}, set())


async def test_what_is_given_up_is_the_others() -> None:
    """Who fails to get an answer lets others try."""
    store = FakeStore()
    async with cache(store) as ours, cache(store) as theirs:
        await ours.take([A])
        ours.give_up([A, B])
        await settled()
        assert await theirs.take([A]) == ({}, set())


async def test_the_dead_hold_nothing() -> None:
    """A claim counts as long as its owner lives."""
    store = FakeStore()
    async with cache(store) as ours, cache(store) as theirs:
        await ours.take([A])
        store.dead |= set(store.claims.values())
        assert await theirs.take([A]) == ({}, set())


async def test_a_look_claims_nothing_unless_it_says_so() -> None:
    """Whoever only looks keeps nobody waiting."""
    store = FakeStore()
    async with cache(store) as ours:
        await ours.take([A], claim=False)
        assert store.claims == {}


async def test_the_first_answer_stands_and_the_newest_record() -> None:
    """An entry never changes; what was found out may."""
    store = FakeStore()
    async with cache(store) as ours, cache(store) as theirs:
        for entry, record in ((ENTRY, b"one"), (OTHER, b"two")):
            ours.put(A, entry)
            ours.remember(B, record)
            await settled()
        assert (await theirs.take([A]))[0] == {A: ENTRY}
        assert await theirs.fetch(B) == b"two"
        assert await theirs.fetch(C) is None
        assert await theirs.fetch(A) is None  # an entry is no record


async def test_a_damaged_row_is_as_none_and_is_replaced() -> None:
    """Whoever wrote it."""
    store = FakeStore()
    async with cache(store) as ours:
        for junk in (b"", b"1234", b'\0\0\0\0[1,[-1.0],null,"",1,1]', b"x" * 99):
            store.rows[A] = junk
            assert (await ours.take([A]))[0] == {}
            ours.put(A, ENTRY)
            await settled()
            assert (await ours.take([A]))[0] == {A: ENTRY}


async def test_it_fails_open() -> None:
    """Without the Redis nothing is found and nobody waits; what is paid is written later."""
    store, clock = FakeStore(), Clock()
    async with cache(store, clock) as ours:
        store.away = away()
        assert await ours.take([A, B]) == ({}, set())
        assert "answers are kept in memory" in str(ours.trouble)
        ours.put(A, ENTRY)
        assert ours.get([A]) == {A: ENTRY}
        store.away, calls = None, len(store.calls)
        assert await ours.take([B]) == ({}, set())
        assert len(store.calls) == calls  # it has a rest first
        clock.now += REST
        await settled()
        assert A in store.rows
        assert ours.trouble is None


async def test_what_could_not_be_written_is_told() -> None:
    """In the end, with how many."""
    store = FakeStore()
    async with cache(store) as ours:
        store.away = away()
        ours.put(A, ENTRY)
        ours.put(B, OTHER)
    assert str(ours.trouble).endswith("2 answers were not saved there")


async def test_memory_is_bounded_while_it_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest answers go, and are counted as lost."""
    monkeypatch.setattr("bdpl_async.sharing.rediscache.CAPACITY", 3)
    assert CAPACITY > 3
    store = FakeStore()
    async with cache(store) as ours:
        store.away = away()
        for number in range(5):
            ours.put(bytes([number]) * 16, ENTRY)
        assert len(ours.get([bytes([n]) * 16 for n in range(5)])) == 3
    assert "5 answers" in str(ours.trouble)


async def test_a_refusal_at_the_start_is_the_users() -> None:
    """A wrong password is told before anything is spent; a Redis that is away may come."""
    store = FakeStore()
    link: Any = FakeLink(store)
    store.away = ConfigError("run.cache: redis://fake:6379/0 refuses: WRONGPASS")
    with pytest.raises(ConfigError, match="WRONGPASS"):
        await RedisCache(link).open()
    store.away = away()
    async with cache(store) as ours:
        assert ours.trouble is not None
