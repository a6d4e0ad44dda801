"""The rules of `bdpl_async.halt`: after a stop only what is in flight may still arrive."""

from __future__ import annotations

import asyncio

import pytest

from bdpl_async.halt import Halt, Stopped


async def test_without_a_stop_work_ends_by_itself() -> None:
    """`until` gives back what the work gives back, and raises what it raises."""
    halt = Halt(lambda: None)
    assert await halt.until(asyncio.sleep(0, "done")) == "done"

    async def late() -> None:
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        await halt.until(late())


async def test_with_nothing_in_flight_a_stop_is_immediate() -> None:
    """Waits for a turn, a limit or another try are not worth a second."""
    halt = Halt(lambda: None)
    task = asyncio.create_task(halt.until(asyncio.sleep(60)))
    await asyncio.sleep(0)
    halt.ask()
    with pytest.raises(Stopped):
        await asyncio.wait_for(task, 1)


async def test_the_last_landing_ends_the_wait() -> None:
    """Once nothing is in flight any more, there is nothing to wait for."""
    halt = Halt(lambda: None)
    halt.flying = 2
    task = asyncio.create_task(halt.until(asyncio.sleep(60)))
    await asyncio.sleep(0)
    halt.ask()
    halt.landed()
    await asyncio.sleep(0.01)
    assert not task.done()
    halt.landed()
    with pytest.raises(Stopped):
        await asyncio.wait_for(task, 1)


async def test_what_does_not_land_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that never comes back holds a stopped run for the grace period only."""
    monkeypatch.setattr("bdpl_async.halt.GRACE", 0.02)
    halt = Halt(lambda: None)
    halt.flying = 1
    task = asyncio.create_task(halt.until(asyncio.sleep(60)))
    await asyncio.sleep(0)
    halt.ask()
    with pytest.raises(Stopped):
        await asyncio.wait_for(task, 1)


def test_a_stop_wakes_what_waits_to_send() -> None:
    """Whoever waits for room in the budget hears of it."""
    woken: list[bool] = []

    async def ask() -> None:
        Halt(lambda: woken.append(True)).ask()

    asyncio.run(ask())
    assert woken == [True]
