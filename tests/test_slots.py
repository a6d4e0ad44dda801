"""The rules of `bdpl_providers.slots`: the least loaded worker, and never too much for one."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bdpl_providers.slots import Slots


async def test_the_one_with_the_least_to_do_is_next() -> None:
    """So all have work before one has two."""
    slots = Slots(3, 2)
    async with slots.place() as a, slots.place() as b, slots.place() as c:
        assert {a, b, c} == {0, 1, 2}
        assert slots.load == (1, 1, 1)
    assert slots.load == (0, 0, 0)


async def test_what_is_too_much_waits_in_order() -> None:
    """Back-pressure: two at a worker, the rest here."""
    slots, order = Slots(1, 2), list[int]()
    go = asyncio.Event()

    async def work(number: int) -> None:
        async with slots.place():
            order.append(number)
            await go.wait()

    tasks = [asyncio.create_task(work(n)) for n in range(5)]
    await asyncio.sleep(0.01)
    assert order == [0, 1]
    assert slots.load == (2,)
    go.set()
    await asyncio.gather(*tasks)
    assert order == [0, 1, 2, 3, 4]


async def test_who_is_cancelled_gives_its_place_back() -> None:
    """Whether it waited or worked."""
    slots = Slots(1, 1)

    async def work() -> None:
        async with slots.place():
            await asyncio.sleep(60)

    tasks = [asyncio.create_task(work()) for _ in range(3)]
    await asyncio.sleep(0.01)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    async with asyncio.timeout(5), slots.place() as worker:
        assert worker == 0


async def test_the_lost_get_no_more_work() -> None:
    """And with the last one there is nobody."""
    slots = Slots(2, 2)
    await slots.lose(0)
    await slots.lose(0)
    assert slots.alive == 1
    async with slots.place() as a, slots.place() as b:
        assert (a, b) == (1, 1)
    await slots.lose(1)
    with pytest.raises(LookupError):
        async with slots.place():
            pass


@given(st.integers(1, 4), st.integers(1, 3), st.lists(st.integers(0, 3), max_size=20))
def test_never_more_than_its_depth_at_one(workers: int, depth: int, pauses: list[int]) -> None:
    """Whatever comes and goes."""

    async def all_of_it() -> None:
        slots = Slots(workers, depth)

        async def work(pause: int) -> None:
            async with slots.place():
                assert max(slots.load) <= depth
                for _ in range(pause):
                    await asyncio.sleep(0)

        await asyncio.gather(*map(work, pauses))
        assert set(slots.load) == {0}

    asyncio.run(all_of_it())
