"""Who of several workers answers next: the one with the least to do, and never too much for one.

Pure asyncio; it knows neither Ray nor models.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

__all__ = ["Slots"]


class Slots:
    """Places at workers, given in the order asked.

    Args:
        workers: how many there are.
        depth: requests at one worker: one that is answered, and others that wait beside it.
    """

    def __init__(self, workers: int, depth: int) -> None:
        self._load = [0] * workers
        self._gone: set[int] = set()
        self._depth = depth
        self._free = asyncio.Semaphore(workers * depth)

    @property
    def alive(self) -> int:
        """Workers that are not gone."""
        return len(self._load) - len(self._gone)

    @property
    def load(self) -> tuple[int, ...]:
        """Requests at each worker."""
        return tuple(self._load)

    @asynccontextmanager
    async def place(self) -> AsyncIterator[int]:
        """A worker's number, for as long as the context is open.

        Raises:
            LookupError: all are gone.
        """
        async with self._free:
            there = [n for n in range(len(self._load)) if n not in self._gone]
            if not there:
                raise LookupError("no worker is left")
            worker = min(there, key=lambda number: self._load[number])
            self._load[worker] += 1
            try:
                yield worker
            finally:
                self._load[worker] -= 1

    async def lose(self, worker: int) -> None:
        """A worker is gone for good, and its places with it."""
        if worker not in self._gone:
            self._gone.add(worker)
            if self.alive:
                for _ in range(self._depth):
                    await self._free.acquire()
