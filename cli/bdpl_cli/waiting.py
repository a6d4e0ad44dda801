"""What a person waits for while a model is loaded and probed: said on stderr, never on stdout."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from bdpl_cli.stderr import say

if TYPE_CHECKING:
    from bdpl_async.channel import Channel

__all__ = ["loading", "telling"]

SILENCE = 3.0  # seconds without any answer, until a person is told what we wait for
LONG_LOAD = 1.0  # seconds until a person is told that a model is loaded
LONG_WAIT = 1.0  # seconds until the next try that a person is told of
TICK = 0.25
REASON = 160  # characters of a server's words, while more tries are to come


@asynccontextmanager
async def telling(channel: Channel) -> AsyncIterator[None]:
    """Say what a person waits for, as long as this lasts."""
    watch = asyncio.create_task(_tell(channel))
    try:
        yield
    finally:
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)


@asynccontextmanager
async def loading(name: str) -> AsyncIterator[None]:
    """Say that a model is loaded, if that takes long."""
    alarm = asyncio.get_running_loop().call_later(LONG_LOAD, say, f"bdpl-async: loading {name}")
    try:
        yield
    finally:
        alarm.cancel()


async def _tell(channel: Channel) -> None:
    told, patient = 0, True
    while True:
        await asyncio.sleep(TICK)
        for retry in channel.again.retries[told:]:
            told, patient = told + 1, False
            if retry.wait >= LONG_WAIT:
                say(f"bdpl-async: {_short(retry.reason)}; again in {retry.wait:.0f} s")
        traffic = channel.traffic
        if patient and channel.elapsed >= SILENCE and not traffic.answers + traffic.failures:
            patient = False
            waits = "waiting (--timeout says how long)"
            say(f"bdpl-async: no answer yet from {channel.name}, {waits}")


def _short(reason: str) -> str:
    return reason if len(reason) <= REASON else f"{reason[: REASON - 3]}..."
