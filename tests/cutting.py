"""A probe that is cut off after each of its exchanges, and goes on with the pieces that were kept.

async with world() as (scorer, sent): ...     # `sent` counts by the server's own books
await goes_on_everywhere(world, request)
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TypeVar

import pytest

from bdpl_async.records import Billed, Request
from bdpl_async.scorer import Capabilities
from bdpl_providers.server import Server

__all__ = ["CutLine", "Full", "Keeper", "Probed", "World", "goes_on_everywhere"]

B = TypeVar("B", bound=Billed)
Sent = Callable[[], int]
Opened = Callable[[], AbstractAsyncContextManager[Server]]
World = Callable[[], AbstractAsyncContextManager[tuple[Opened, Sent]]]
"""A fresh server with a way to connect to it, again and again."""


@dataclass
class CutLine:
    """A line that breaks off before an exchange.

    Attributes:
        most: exchanges that go over it; None sets no end.
        sent: exchanges so far.
    """

    most: int | None = None
    sent: int = 0

    async def __call__(self, exchange: Callable[[], Awaitable[B]], texts: Sequence[str]) -> B:
        if self.sent == self.most:
            raise asyncio.CancelledError
        self.sent += 1
        return await exchange()


class Full(Exception):
    """Raised instead of keeping more."""


class Keeper(list[bytes]):
    """Keeps so many pieces, and raises with the last one."""

    def __init__(self, most: int | None = None) -> None:
        super().__init__()
        self.most = most

    def __call__(self, piece: bytes) -> None:
        self.append(piece)
        if len(self) == self.most:
            raise Full


@dataclass(frozen=True)
class Probed:
    """A probe that nobody cut: what it found, its record and pieces."""

    found: Capabilities
    record: bytes
    pieces: list[bytes]


async def goes_on_everywhere(world: World, request: Request) -> Probed:
    """Cut after each exchange, by the line and by whoever keeps, and go on; what it must be."""
    whole = Keeper()
    async with world() as (opened, sent), opened() as scorer:
        found, record = await scorer.recorded(request, CutLine(), keep=whole)
        count = sent()
    assert count == len(whole) > 0
    for done in range(count + 1):
        await _once(world, request, CutLine(done), Keeper(), done, Probed(found, record, whole))
        if done:
            full = Keeper(done)
            await _once(world, request, CutLine(), full, done, Probed(found, record, whole))
    return Probed(found, record, whole)


async def _once(
    world: World, request: Request, line: CutLine, keeper: Keeper, done: int, whole: Probed
) -> None:
    count = len(whole.pieces)
    async with world() as (opened, sent):
        async with opened() as first:
            if done < count or keeper.most:
                with pytest.raises((asyncio.CancelledError, Full)):
                    await first.recorded(request, line, keep=keeper)
            else:
                await first.recorded(request, line, keep=keeper)
        assert (sent(), keeper) == (done, whole.pieces[:done])
        rest, more = CutLine(), Keeper()
        async with opened() as second:
            found, record = await second.recorded(request, rest, earlier=keeper, keep=more)
            assert sent() == count
            assert (rest.sent, more) == (count - done, whole.pieces[done:])
            assert (found, record) == (whole.found, whole.record)
            key = second.key(request.texts[0], request.labels)
        async with opened() as third:
            assert await third.recall(request, record) == found
            assert third.key(request.texts[0], request.labels) == key
        assert sent() == count
