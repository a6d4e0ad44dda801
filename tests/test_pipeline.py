"""The rules of `bdpl_async.pipeline`."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import aclosing
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bdpl_async.errors import BudgetExhausted
from bdpl_async.pipeline import Asked, Pipeline


class Updates:
    """Updates whose answers take a number of turns of the loop each.

    Attributes:
        log: what happened, in order.
        most: under way at a time.
    """

    def __init__(self, delays: list[int], lag: int, failing: int = -1) -> None:
        self.log: list[tuple[str, int]] = []
        self.most = self._flying = self._begun = 0
        self.pipeline = Pipeline(self._begin, lag)
        self._delays = delays
        self._failing = failing

    def _begin(self) -> Asked | None:
        if self._begun == len(self._delays):
            return None
        number, self._begun = self._begun, self._begun + 1
        self.log.append(("ask", number))
        return Asked([], asyncio.create_task(self._answer(number)), idle=False)

    def _answer(self, number: int) -> Coroutine[Any, Any, np.ndarray[Any, Any]]:
        self._flying += 1
        self.most = max(self.most, self._flying)

        async def later() -> np.ndarray[Any, Any]:
            try:
                for _ in range(self._delays[number]):
                    await asyncio.sleep(0)
                if number == self._failing:
                    raise BudgetExhausted("no more")
                self.log.append(("answer", number))
                return np.full((1, 1), float(number))
            finally:
                self._flying -= 1

        return later()

    async def tell(self, count: int) -> None:
        async with aclosing(self.pipeline.answered(count)) as answered:
            async for asked in answered:
                self.log.append(("tell", int(asked.losses.result()[0, 0])))


@given(st.lists(st.integers(0, 9), max_size=12), st.integers(0, 4), st.integers(0, 14))
def test_asks_and_tells_come_in_an_order_that_only_the_lag_decides(
    delays: list[int], lag: int, count: int
) -> None:
    """Update t is asked for as soon as update t - lag - 1 is told, whoever answers first."""
    updates = Updates(delays, lag)
    asyncio.run(updates.tell(count))
    number = min(count, len(delays))
    expected = [("ask", n) for n in range(min(lag + 1, number))]
    for n in range(number):
        expected.append(("tell", n))
        expected += [("ask", n + lag + 1)] * (n + lag + 1 < number)
    assert [one for one in updates.log if one[0] != "answer"] == expected
    assert updates.most <= lag + 1
    assert updates.pipeline.resting


async def test_what_is_under_way_when_one_fails_is_awaited() -> None:
    """It is paid for, so its answers are to be kept; then the failure is told."""
    updates = Updates([1, 2, 30, 20], lag=3, failing=1)
    with pytest.raises(BudgetExhausted):
        await updates.tell(4)
    assert [n for kind, n in updates.log if kind == "tell"] == [0]
    assert sorted(n for kind, n in updates.log if kind == "answer") == [0, 2, 3]
    assert updates.pipeline.resting


async def test_who_leaves_early_leaves_nothing_behind() -> None:
    """Closed or cancelled, all that is under way is cancelled, and has ended."""
    updates = Updates([0, 500, 500], lag=2)
    async with aclosing(updates.pipeline.answered(3)) as answered:
        assert (await anext(answered)).losses.done()
        assert not updates.pipeline.resting
    assert len(asyncio.all_tasks()) == 1
    assert ("answer", 1) not in updates.log
    cancelled = Updates([500, 500], lag=1)
    task = asyncio.create_task(cancelled.tell(2))
    await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(asyncio.all_tasks()) == 1
