"""Updates under way: the next ones are asked for before the last one's stragglers have answered.

    lag 0    ask 1 | tell 1 | ask 2 | tell 2 | ask 3 | tell 3
    lag 1    ask 1   ask 2 | tell 1 | ask 3 | tell 2 | ask 4 | tell 3

With a lag of L the prompts of update t are drawn by the policy that knows all updates before
t - L. That is fixed, whatever the time and the order in which answers come, and so are the asks'
order and the order in which they are told. It knows neither methods nor models.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bdpl_async.records import Prompt

__all__ = ["Asked", "Pipeline"]


@dataclass(frozen=True, slots=True)
class Asked:
    """One update, asked for.

    Attributes:
        prompts: I of them.
        losses: (I, B), once it is answered.
        idle: nothing of it was new to the run.
    """

    prompts: list[Prompt]
    losses: asyncio.Task[NDArray[np.float64]]
    idle: bool


class Pipeline:
    """Keeps up to `lag` updates under way beside the one that is told next.

    Args:
        begin: asks for one more update; None if there is to be none.
        lag: 0 or more.
    """

    def __init__(self, begin: Callable[[], Asked | None], lag: int) -> None:
        self._begin = begin
        self._lag = lag
        self._flying: deque[Asked] = deque()

    @property
    def resting(self) -> bool:
        """Whether nothing is under way."""
        return not self._flying

    async def answered(self, count: int) -> AsyncGenerator[Asked, None]:
        """At most `count` updates, each when it is answered, in the order of `begin`.

        What fails ends it; what is still under way then is paid for, and therefore awaited. To be
        closed by whoever leaves it early: then that is cancelled.

        Raises:
            BdplError, Stopped: as the oldest update did.
        """
        try:
            begun = 0
            while True:
                while begun < count and len(self._flying) <= self._lag:
                    await asyncio.sleep(0)  # answers without a request still let a signal in
                    if (asked := self._begin()) is None:
                        count = begun
                        break
                    self._flying.append(asked)
                    begun += 1
                if not self._flying:
                    return
                await self._flying[0].losses
                yield self._flying.popleft()
        except (asyncio.CancelledError, GeneratorExit):
            for asked in self._flying:
                asked.losses.cancel()
            raise
        finally:
            await asyncio.gather(*[one.losses for one in self._flying], return_exceptions=True)
            self._flying.clear()
