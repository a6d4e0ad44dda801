"""How near clients come to the ideal while replies take their time.

The ideal is computed from the very latencies that the server drew: as many requests as may be in
flight always are, and nothing else takes time. Latencies are fixed, or log-normal with sigma 0.5.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import islice

from engine import Engine, Texts
from figures import Figures, Round, Setting
from loopback import Server, delays, ideal, served
from peers import Ask, bare, openai

from bdpl_async.caching.file import CacheFile
from bdpl_async.records import Text

SIGMA = 0.5
MEAN = 0.05  # seconds, of what is not told otherwise
FLYING, SIZE = 1_024, 16  # prompts in flight, and in a request
WAVES = 20  # of these, in a round
STEPS = 40  # asks of a search, before its evaluation
MOST = 1_024  # requests a second: the client's CPU is to be no part of it
SETTLED = 4  # requests for each in flight, before anything is timed
Once = Callable[[], Awaitable[Figures]]


async def latency(setting: Setting) -> Round:
    """One ask of many requests: the engine and bare aiohttp."""
    sizes, ways = setting.sizes, []
    for sigma in (0.0, SIGMA):
        for concurrency in sizes.crowds:
            mean = max(sizes.latency, concurrency / MOST)
            server = setting.stack.enter_context(served(mean, sigma))
            enter = setting.stack.enter_async_context
            asks = {
                "engine": await enter(Engine(server.url, concurrency).open()),
                "bare aiohttp": await enter(bare(server.url, concurrency)),
            }
            count = math.ceil(sizes.waves * sizes.latency / mean) * concurrency
            ways.append(partial(_asked, server, asks, (mean, sigma), concurrency, count))
            for ask in asks.values():
                await ask(Texts().fresh(SETTLED * concurrency))  # begins with few in flight

    async def once() -> Figures:
        figures: Figures = {}
        for way in ways:
            figures |= await way()
        return figures

    return once


async def _asked(
    server: Server,
    asks: dict[str, Ask],
    law: tuple[float, float],
    concurrency: int,
    count: int,
) -> Figures:
    """What part of the time that the latencies alone would take, client by client."""
    figures: Figures = {}
    kind = "log-normal" if law[1] else "fixed"
    for name, ask in asks.items():
        await ask(Texts().fresh(concurrency))  # connections that were idle may be closed
        drawn = server.books().requests
        texts = Texts().fresh(count)
        began = time.perf_counter()
        await ask(texts)
        seconds = time.perf_counter() - began
        best = ideal(islice(delays(*law), drawn, None), [count], concurrency)
        row = f"{name}, {concurrency} in flight, {kind} {law[0] * 1000:.0f} ms"
        figures[f"{row} | of the ideal"] = best / seconds
    return figures


async def lists(setting: Setting) -> Round:
    """Prompts a second with 1,024 of them in flight at 50 ms."""
    flying, waves = (64, 4) if setting.sizes.waves <= 4 else (FLYING, WAVES)
    server, requests = setting.stack.enter_context(served(MEAN)), flying // SIZE
    enter, source, url = setting.stack.enter_async_context, Texts(), server.url
    ways = {
        f"engine, {requests} lists of {SIZE}": (
            await enter(Engine(url, requests, SIZE).open()),
            waves,
        ),
        f"bare aiohttp, {requests} lists of {SIZE}": (
            await enter(bare(url, requests, SIZE)),
            waves,
        ),
        "openai SDK, aiohttp, one by one": (
            await enter(openai(url, flying, backend="aiohttp")),
            2,
        ),
    }
    for ask, _ in ways.values():
        await ask(source.fresh(SETTLED * flying))

    async def once() -> Figures:
        figures: Figures = {}
        for name, (ask, times) in ways.items():
            rate = await _rate(ask, source, flying, times)
            row = f"{name}, {flying:,} in flight at 50 ms"
            figures[f"{row} | prompts/s"] = rate
            figures[f"{row} | of the ideal"] = rate / (flying / MEAN)
        return figures

    return once


async def _rate(ask: Ask, source: Texts, flying: int, times: int) -> float:
    """Prompts a second, once the connections are warm."""
    await ask(source.fresh(flying))
    texts = source.fresh(times * flying)
    began = time.perf_counter()
    await ask(texts)
    return len(texts) / (time.perf_counter() - began)


async def steps(setting: Setting) -> Round:
    """Asks one after the other, as a search makes them: 40 of 80 requests and one of 300."""
    concurrency, small = 32, setting.sizes.waves <= 4
    asks = [8] * 4 if small else [80] * STEPS + [300]
    numbers = iter(range(10**6))

    async def once() -> Figures:
        figures: Figures = {}
        for name in ("bare aiohttp", "engine, cache"):
            folder = setting.made(f"steps-{next(numbers)}")
            with served(MEAN, SIGMA) as server:
                if name == "engine, cache":
                    engine = Engine(server.url, concurrency)
                    cache = CacheFile(folder / "answers.db")
                    async with engine.open():
                        seconds, drawn = await _one_by_one(_by(engine, cache), asks, server)
                    await cache.close()
                else:
                    async with bare(server.url, concurrency) as ask:
                        seconds, drawn = await _one_by_one(ask, asks, server)
            best = ideal(islice(delays(MEAN, SIGMA), drawn, None), asks, concurrency)
            row = f"{name}, asks one after the other, {concurrency} in flight, log-normal 50 ms"
            figures[f"{row} | of the ideal"] = best / seconds
        return figures

    return once


async def _one_by_one(ask: Ask, asks: list[int], server: Server) -> tuple[float, int]:
    """Seconds, and how many requests there were before."""
    source = Texts()
    batches, drawn = [source.fresh(count) for count in asks], server.books().requests
    await asyncio.sleep(0)
    began = time.perf_counter()
    for texts in batches:
        await ask(texts)
    return time.perf_counter() - began, drawn


def _by(engine: Engine, cache: CacheFile) -> Ask:
    """How a run asks: with one gate and one cache throughout."""
    gate = engine.gate(cache)

    async def ask(texts: object) -> None:
        assert isinstance(texts, list)
        await gate.score([Text(text) for text in texts])

    return ask
