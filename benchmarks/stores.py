"""The cache: a warm replay through the engine, and the file alone."""

from __future__ import annotations

import time

from engine import Engine, Texts
from figures import Figures, Round, Setting
from loopback import served

from bdpl_async.caching.cache import Entry, digest
from bdpl_async.caching.file import CacheFile
from bdpl_async.records import Score, Text

ASK = 80  # texts of an update


async def replay(setting: Setting) -> Round:
    """Scores a second from a warm cache, and what was sent for them."""
    count, path = setting.sizes.replayed, setting.made("replay") / "warm.db"
    server = setting.stack.enter_context(served())
    engine = Engine(server.url, 64)
    await setting.stack.enter_async_context(engine.open())
    texts = [Text(text) for text in Texts().fresh(count)]

    async def once() -> Figures:
        cache = CacheFile(path)
        gate, before = engine.gate(cache), server.books().requests
        began = time.perf_counter()
        for start in range(0, count, ASK):
            await gate.score(texts[start : start + ASK])
        rate = count / (time.perf_counter() - began)
        await cache.close()
        sent = float(server.books().requests - before)
        row = f"warm replay of {count:,} requests"
        return {f"{row} | requests": sent, f"{row} | scores/s": rate}

    await once()
    return once


async def files(setting: Setting) -> Round:
    """Entries a second: put until they are on the disk, got by as many as an update asks for."""
    count, folder, numbers = setting.sizes.entries, setting.made("files"), iter(range(10**6))
    keys = [digest(b"%d" % number) for number in range(count)]
    entry = Entry(Score((-0.7, -1.2), 0.9), 40, 1)

    async def once() -> Figures:
        path = folder / f"{next(numbers)}.db"
        cache = CacheFile(path)
        began = time.perf_counter()
        for key in keys:
            cache.put(key, entry)
        await cache.close()
        put = count / (time.perf_counter() - began)
        cache = CacheFile(path)
        began, found = time.perf_counter(), 0
        for start in range(0, count, ASK):
            found += len(cache.get(keys[start : start + ASK]))
        got = count / (time.perf_counter() - began)
        await cache.close()
        path.unlink()
        assert found == count
        return {
            "cache, entries written to the disk | writes/s": put,
            f"cache, entries read in lots of {ASK} | reads/s": got,
        }

    return once
