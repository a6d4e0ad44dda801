"""What it costs a request that its answer and its budget are shared by way of a Redis.

    redis-server --port 6390 --save '' --appendonly yes --dir /tmp &
    python benchmarks/sharing.py redis://127.0.0.1:6390/0

The whole engine with a scorer that answers at once, so that what is left is the engine: CPU of the
loop's thread and seconds of the clock for each request, with nothing shared, with a cache in a
file, with one in the Redis, with a budget group, and with both. All take turns; medians of rounds.
The database is filled with keys that nobody needs.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from uuid import uuid4

from bdpl_async.budget import Budget, Ledger
from bdpl_async.caching.cache import Cache
from bdpl_async.caching.file import CacheFile
from bdpl_async.channel import Channel
from bdpl_async.gate import Gate
from bdpl_async.records import Reply, Request, Score, Text, Usage
from bdpl_async.scorer import Capabilities
from bdpl_async.sharing.address import Address
from bdpl_async.sharing.grants import ask
from bdpl_async.sharing.link import Link
from bdpl_async.sharing.member import Member
from bdpl_async.sharing.rediscache import RedisCache
from bdpl_async.terms import Terms

LABELS = (" bad", " good")
ARMS = ("nothing shared", "cache in a file", "cache in Redis", "budget group", "cache and group")
UPDATE = 80  # texts that are asked for together


class Prompt:
    """A scorer that answers at once."""

    name = "bench/prompt"

    async def score(self, request: Request) -> Reply:
        """The same for every text."""
        await asyncio.sleep(0)
        return Reply([Score((-1.0, -2.0))] * len(request.texts), Usage(10 * len(request.texts)))

    def key(self, text: Text, labels: tuple[str, ...]) -> bytes:
        """The text."""
        return text.before.encode()


@asynccontextmanager
async def opened(arm: str, url: str, folder: Path, concurrency: int) -> AsyncIterator[Gate]:
    """The engine with what an arm shares."""
    cache: Cache | None = None
    if arm == "cache in a file":
        cache = CacheFile(folder / f"{uuid4().hex}.db")
    elif "cache" in arm:
        shared = RedisCache(Link("bench", Address.of("bench", f"{url}?expire=1m")))
        await shared.open()
        cache = shared
    group: Member | None = None
    if "group" in arm:
        link, name = Link("bench", Address.of("bench", url)), uuid4().hex
        grant = await ask(link, name, "set", {"requests": 10_000_000})
        assert grant is not None
        group = Member(link, name, grant.mark)
        await group.begin()
    channel = Channel("bench", Ledger(Budget(requests=10_000_000)), Terms(concurrency=concurrency))
    if group is not None:
        channel.join(group)
    try:
        yield Gate(Prompt(), LABELS, channel, Capabilities(), cache)
    finally:
        if cache is not None:
            await cache.close()
        if group is not None:
            await group.close()


async def round_of(arm: str, url: str, folder: Path, size: tuple[int, int]) -> tuple[float, float]:
    """Microseconds of CPU and of the clock for each request.

    Args:
        arm: what is shared.
        url: of the Redis.
        folder: for files.
        size: requests, and how many are in flight.
    """
    requests, concurrency = size
    mark = os.urandom(8).hex()
    async with opened(arm, url, folder, concurrency) as gate:
        cpu, wall = time.thread_time(), time.perf_counter()
        for start in range(0, requests, UPDATE):
            await gate.score([Text(f"{mark} {n}") for n in range(start, start + UPDATE)])
        return (
            (time.thread_time() - cpu) / requests * 1e6,
            (time.perf_counter() - wall) / requests * 1e6,
        )


async def main(given: argparse.Namespace) -> None:
    """Measure and print a table."""
    print("| in flight | what is shared | CPU, us | more | clock, us | more |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        for concurrency in given.concurrency:
            size = (given.requests, concurrency)
            found: dict[str, list[tuple[float, float]]] = {arm: [] for arm in ARMS}
            for _ in range(given.rounds):
                for arm in ARMS:
                    found[arm].append(await round_of(arm, given.redis, Path(name), size))
            medians = {a: [median(side) for side in zip(*r, strict=True)] for a, r in found.items()}
            base = medians[ARMS[0]]
            for arm, (cpu, wall) in medians.items():
                more = f"{cpu - base[0]:+.0f} | {wall:.0f} | {wall - base[1]:+.0f}"
                print(f"| {concurrency} | {arm} | {cpu:.0f} | {more} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("redis")
    parser.add_argument("--requests", type=int, default=4_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 32, 256])
    asyncio.run(main(parser.parse_args()))
