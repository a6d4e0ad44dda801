"""A thin proxy between us and a server that passes everything on and writes it down."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson
from aiohttp import web

LARGEST = 2**26  # bytes of a request
OURS = ("content-length", "transfer-encoding", "connection")  # headers that each hop makes itself


@dataclass(frozen=True)
class Passage:
    """One exchange; times are of a monotonic clock."""

    path: str
    status: int
    began: float
    ended: float
    asked: Any
    answered: Any


@dataclass
class Counting:
    """What went through.

    Attributes:
        url: where it listens, as a base URL.
        passages: in the order in which they ended.
    """

    url: str = ""
    passages: list[Passage] = field(default_factory=list)

    def paths(self, ending: str) -> list[Passage]:
        return [passage for passage in self.passages if passage.path.endswith(ending)]

    @property
    def statuses(self) -> Counter[int]:
        return Counter(passage.status for passage in self.passages)

    @property
    def prompts(self) -> int:
        """Texts in all requests to /completions that were answered; none of a chat."""
        asked = [p.asked["prompt"] for p in self.paths("/completions") if p.status == 200]
        return sum(len(prompt) if isinstance(prompt, list) else 1 for prompt in asked)


@asynccontextmanager
async def counting(upstream: str) -> AsyncIterator[Counting]:
    """A proxy on a port of its own before the server at the base URL `upstream`."""
    root, seen = upstream.removesuffix("/v1"), Counting()
    async with aiohttp.ClientSession(auto_decompress=False) as session:

        async def handle(request: web.Request) -> web.Response:
            return await pass_on(request, session, root, seen)

        app = web.Application(client_max_size=LARGEST)
        app.router.add_route("*", "/{path:.*}", handle)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        seen.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        try:
            yield seen
        finally:
            await runner.cleanup()


async def pass_on(
    request: web.Request, session: aiohttp.ClientSession, root: str, seen: Counting
) -> web.Response:
    """One request to the server, and its answer back."""
    body, began = await request.read(), time.monotonic()
    headers = {k: v for k, v in request.headers.items() if k.lower() != "host"}
    url = root + str(request.rel_url)
    async with session.request(request.method, url, data=body, headers=headers) as response:
        answer = await response.read()
    ended = time.monotonic()
    asked, answered = parsed(body), parsed(answer)
    seen.passages.append(Passage(request.path, response.status, began, ended, asked, answered))
    back = {k: v for k, v in response.headers.items() if k.lower() not in OURS}
    return web.Response(status=response.status, body=answer, headers=back)


def parsed(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
