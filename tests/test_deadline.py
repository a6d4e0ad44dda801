"""The rules of `bdpl_async.limits.deadline`: what takes too long is cancelled, and nothing else."""

from __future__ import annotations

import asyncio

import pytest

from bdpl_async.limits.deadline import Deadlines


async def limited(deadlines: Deadlines, seconds: float) -> str:
    mark = deadlines.begin()
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        if not deadlines.passed(mark):
            raise
        return "late"
    finally:
        deadlines.end(mark)
    return "done"


async def test_each_task_has_its_own_deadline() -> None:
    """Many tasks, one timer: who is late is cancelled, each at its own time, the others go on."""
    deadlines = Deadlines(0.05)
    loop = asyncio.get_running_loop()
    began = loop.time()
    ends: dict[int, float] = {}

    async def one(number: int) -> str:
        await asyncio.sleep(0.01 * number)
        end = await limited(deadlines, 60.0 if number % 2 else 0.001)
        ends[number] = loop.time() - began
        return end

    found = await asyncio.gather(*(one(number) for number in range(8)))
    assert found == ["late" if number % 2 else "done" for number in range(8)]
    for number in (1, 3, 5, 7):
        assert 0.049 <= ends[number] - 0.01 * number < 0.12


async def test_a_cancellation_from_outside_is_not_a_deadline() -> None:
    """Who is cancelled is cancelled, whether or not time is short."""
    deadlines = Deadlines(60.0)
    task = asyncio.create_task(limited(deadlines, 60.0))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_both_at_once_is_a_cancellation() -> None:
    """A task that is late and cancelled in the same moment is cancelled."""
    deadlines = Deadlines(0.01)
    task = asyncio.create_task(limited(deadlines, 60.0))
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_later(0.01, task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_after_the_end_nothing_is_cancelled() -> None:
    """A deadline that was met does not come back for its task."""
    deadlines = Deadlines(0.01)
    assert await limited(deadlines, 0.0) == "done"
    await asyncio.sleep(0.03)
    assert await limited(deadlines, 0.001) == "done"
    assert await limited(deadlines, 60.0) == "late"
    await asyncio.sleep(0.02)
