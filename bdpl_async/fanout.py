"""Many calls in flight, results in the order asked for.

Workers pull from one iterator; arrival order never shows. Several fan-outs may share their places:
then each begins where the one before it has nothing left to begin. Knows nothing of requests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

__all__ = ["Places", "fan_out"]

Item = TypeVar("Item")
Result = TypeVar("Result")


class Places:
    """How many calls may be in flight, of all that share them."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.free = asyncio.Semaphore(count)


async def fan_out(
    call: Callable[[Item], Awaitable[Result]], items: Sequence[Item], places: Places
) -> list[Result]:
    """``[await call(item) for item in items]``, as many at a time as there are places.

    The first exception cancels what is under way and is raised itself, not in a group.
    """
    if places.count == 1 or len(items) <= 1:
        async with places.free:
            return [await call(item) for item in items]
    results: dict[int, Result] = {}
    queue = iter(enumerate(items))

    async def work() -> None:
        async with places.free:  # kept until nothing is left to begin, so that none overtakes
            for index, item in queue:
                results[index] = await call(item)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(places.count, len(items))):
                group.create_task(work())
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [results[index] for index in range(len(items))]
