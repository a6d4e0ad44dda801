"""The rules of `bdpl_async.fanout`."""

from __future__ import annotations

import asyncio
import random

import pytest

from bdpl_async.fanout import Places, fan_out


async def wait_a_little(rng: random.Random) -> None:
    for _ in range(rng.randrange(8)):
        await asyncio.sleep(0)


@pytest.mark.parametrize("concurrency", [1, 2, 7, 64, 500])
@pytest.mark.parametrize("count", [0, 1, 5, 200])
async def test_results_stand_in_the_order_asked_for(concurrency: int, count: int) -> None:
    """Whatever arrives first, result k belongs to item k."""
    rng, arrived = random.Random(concurrency), list[int]()

    async def call(item: int) -> int:
        await wait_a_little(rng)
        arrived.append(item)
        return 10 * item

    assert await fan_out(call, range(count), Places(concurrency)) == [
        10 * item for item in range(count)
    ]
    assert sorted(arrived) == list(range(count))
    if concurrency >= 7 and count == 200:
        assert arrived != list(range(count))  # or the test would prove nothing


@pytest.mark.parametrize("concurrency", [1, 2, 7, 64])
async def test_no_more_are_in_flight_than_allowed(concurrency: int) -> None:
    """The bound holds at every moment, and is reached."""
    rng, flying, most = random.Random(0), 0, 0

    async def call(item: int) -> None:
        nonlocal flying, most
        flying += 1
        most = max(most, flying)
        await asyncio.sleep(0)
        await wait_a_little(rng)
        flying -= 1

    await fan_out(call, range(200), Places(concurrency))
    assert most == concurrency


@pytest.mark.parametrize("concurrency", [1, 8, 100])
async def test_the_first_error_comes_out_plain_and_stops_the_rest(concurrency: int) -> None:
    """It is the exception itself, not a group; those under way are cancelled, none starts later."""
    started: list[int] = []
    ended: list[int] = []
    cancelled: list[int] = []

    async def call(item: int) -> None:
        started.append(item)
        try:
            if item == 3:
                await asyncio.sleep(0)
                raise KeyError("three")
            await asyncio.sleep(0 if item < 3 else 60)
            ended.append(item)
        except asyncio.CancelledError:
            cancelled.append(item)
            raise

    with pytest.raises(KeyError, match="three") as caught:
        await fan_out(call, range(50), Places(concurrency))
    assert caught.value.__cause__ is None
    assert sorted([*ended, *cancelled, 3]) == sorted(started)
    assert ended == [0, 1, 2]
    assert len(started) <= 3 + concurrency


async def test_of_several_errors_the_first_counts() -> None:
    """Errors that follow while the rest is being cancelled do not hide the first."""

    async def call(item: int) -> None:
        try:
            await asyncio.sleep(0 if item == 1 else 60)
        finally:
            raise ValueError(str(item))

    with pytest.raises(ValueError, match=r"^1$"):
        await fan_out(call, range(3), Places(3))


@pytest.mark.parametrize("end", ["result", "error", "cancel"])
async def test_nothing_is_left_running(end: str) -> None:
    """However it ends, no task of its own outlives the call."""
    before = asyncio.all_tasks()

    async def call(item: int) -> None:
        await asyncio.sleep(0)
        if end == "error" and item == 4:
            raise ValueError
        if end == "cancel":
            await asyncio.sleep(60)

    task = asyncio.create_task(fan_out(call, range(100), Places(8)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    if end == "cancel":
        task.cancel()
    await asyncio.wait([task])
    assert task.cancelled() == (end == "cancel")
    assert (not task.cancelled() and task.exception() is not None) == (end == "error")
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("count", [1, 3, 8])
async def test_one_that_shares_places_begins_where_the_first_has_nothing_left(count: int) -> None:
    """Before its stragglers have ended, but within the same places, and nobody overtakes."""
    rng, places, begun = random.Random(count), Places(count), list[int]()
    flying: set[int] = set()
    together = False

    async def call(item: int) -> None:
        nonlocal together
        begun.append(item)
        flying.add(item)
        together |= item >= 30 > min(flying)
        assert len(flying) <= count
        await wait_a_little(rng)
        flying.remove(item)

    first = asyncio.create_task(fan_out(call, range(30), places))
    await asyncio.sleep(0)
    await asyncio.gather(first, fan_out(call, range(30, 60), places))
    assert begun == list(range(60))
    assert together == (count > 1)
