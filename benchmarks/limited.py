"""What the engine makes of a limit of requests or tokens a minute that it is told.

Each limit is enforced by a server of its own, which counts what it refuses. What is measured is the
rate that is held: so many minutes' worth, from the first request to the one that begins the next
minute's worth. One server counts by the second what others count by the minute, as some do. The
clocks of limit and engine may run faster than ours, but then so does the time on the way.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from engine import Engine, Rules, Texts
from figures import Figures, Round, Setting
from limits import KINDS, MINUTE
from loopback import served
from replies import TOKENS

from bdpl_async.errors import RateLimited

DELAY = 0.005  # seconds of a reply
CONCURRENCY = 64
PATIENCE = 1.6  # times what the limit takes
SLACK = 0.25  # seconds more
MORE = 8  # requests after the last whole minute's worth
EACH = TOKENS + 1  # tokens of a request


async def limited(setting: Setting) -> Round:
    """All kinds of a limit side by side, since they mostly wait."""

    async def once() -> Figures:
        figures: Figures = {}
        ways = [held(kind, unit, setting) for unit in ("requests", "tokens") for kind in KINDS]
        for found in await asyncio.gather(*ways):
            figures |= found
        return figures

    return once


async def held(kind: str, unit: str, setting: Setting) -> Figures:
    """The rate of so many minutes, of the limit, and what was refused."""
    sizes, tokens = setting.sizes, unit == "tokens"
    speed, amount = MINUTE / sizes.minute, sizes.rpm * (EACH if tokens else 1)
    options = ("--kind", kind, "--unit", unit, "--amount", amount, "--speed", speed)
    rules = Rules(tpm=amount, speed=speed) if tokens else Rules(rpm=amount, speed=speed)
    with served(DELAY, options=options) as server:
        async with Engine(server.url, CONCURRENCY, rules=rules).open() as ask:
            texts = Texts().fresh(sizes.minutes * sizes.rpm + MORE)
            with suppress(TimeoutError, RateLimited):  # what it held until then counts
                await asyncio.wait_for(ask(texts), PATIENCE * sizes.minute * sizes.minutes + SLACK)
        books = server.books()
    whole = len(books.marks) - 1
    if whole >= 1:
        rate = whole * MINUTE / (books.marks[-1] - books.marks[0])
    else:  # not one minute's worth in all that time
        rate = books.admitted / amount / ((books.last - books.first) * speed / MINUTE)
    row = f"{amount:,} {unit} a minute, counted {_counted(kind)}"
    return {f"{row} | of the limit": rate, f"{row} | refused": float(books.refused)}


def _counted(kind: str) -> str:
    return {
        "fixed": "in fixed minutes",
        "sliding": "in any minute",
        "bucket": "by a bucket",
        "by the second": "by the second",
    }[kind]
