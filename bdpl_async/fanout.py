"""Many calls in flight, results in the order asked for.

`concurrency` workers pull from one iterator; arrival order never shows. Knows nothing of requests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

__all__ = ["fan_out"]

Item = TypeVar("Item")
Result = TypeVar("Result")


async def fan_out(
    call: Callable[[Item], Awaitable[Result]], items: Sequence[Item], concurrency: int
) -> list[Result]:
    """``[await call(item) for item in items]``, with up to `concurrency` of them at a time.

    The first exception cancels what is under way and is raised itself, not in a group.
    """
    if concurrency == 1 or len(items) <= 1:
        return [await call(item) for item in items]
    results: dict[int, Result] = {}
    queue = iter(enumerate(items))

    async def work() -> None:
        for index, item in queue:
            results[index] = await call(item)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(concurrency, len(items))):
                group.create_task(work())
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [results[index] for index in range(len(items))]
