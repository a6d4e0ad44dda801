"""Whether the loopback server is fast enough to measure clients by: asked by plain sockets.

The requests are one and the same, made beforehand; nothing of a reply is read but that it came.
Linux only: it waits by epoll.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import orjson
from engine import Texts
from figures import Figures, Round, Setting
from loopback import Server, served
from peers import EXTRA, Ask, bare
from replies import MODEL

LIST = 32  # prompts a request where they travel together
TIMES = 4  # requests of a round, for each that a client's round has


@dataclass
class Taken:
    """What requests took.

    Attributes:
        rate: requests a second.
        client: CPU microseconds of the client a request; `server`, of the server.
    """

    rate: float
    client: float
    server: float


class Clock:
    """Wall clock and CPU time of this process and of a server."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._cpu = server.books().cpu
        self._ours, self._wall = time.process_time(), time.perf_counter()

    def taken(self, requests: int) -> Taken:
        """Since it was made."""
        wall, ours = time.perf_counter() - self._wall, time.process_time() - self._ours
        cpu = self._server.books().cpu - self._cpu
        return Taken(requests / wall, ours / requests * 1e6, cpu / requests * 1e6)


class Plain:
    """So many sockets, each with one request under way."""

    def __init__(self, port: int, concurrency: int, prompts: int) -> None:
        self._sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(concurrency)]
        self._poll = select.epoll()
        for one in self._sockets:
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            one.setblocking(False)
            self._poll.register(one, select.EPOLLIN)
        self._by_number = {one.fileno(): one for one in self._sockets}
        self._request = request(prompts)
        self._length = self._first(self._sockets[0])

    def _first(self, one: socket.socket) -> int:
        """Bytes of a reply: they are all alike."""
        one.setblocking(True)
        one.sendall(self._request)
        head, _, body = one.recv(1 << 20).partition(b"\r\n\r\n")
        length = int(head.partition(b"content-length: ")[2].split(b"\r\n", 1)[0])
        while len(body) < length:
            body += one.recv(1 << 20)
        one.setblocking(False)
        return len(head) + 4 + length

    def send(self, count: int) -> None:
        """Send so many requests, and wait for the replies."""
        left, missing = count, count * self._length
        for one in self._sockets[:count]:
            one.send(self._request)
            left -= 1
        got = dict.fromkeys(self._by_number, 0)
        while missing:
            for number, _ in self._poll.poll():
                size = len(self._by_number[number].recv(1 << 18))
                assert size, "the server hung up"
                missing -= size
                got[number] += size
                if got[number] == self._length:
                    got[number] = 0
                    if left:
                        left -= 1
                        self._by_number[number].send(self._request)

    def close(self) -> None:
        """Hang up."""
        self._poll.close()
        for one in self._sockets:
            one.close()


def request(prompts: int) -> bytes:
    """A whole HTTP request, like those of the clients."""
    common = {"model": MODEL, "prompt": Texts().fresh(prompts), "max_tokens": 1, "temperature": 0}
    body = orjson.dumps({**common, "logprobs": 1, **EXTRA})
    lines = (
        "POST /v1/completions HTTP/1.1",
        "Host: 127.0.0.1:8000",
        "Content-Type: application/json",
        "Accept: application/json",
        "Accept-Encoding: identity",
        "User-Agent: Python/3.11 aiohttp/3.14",
        f"Content-Length: {len(body)}",
    )
    return "\r\n".join([*lines, "", ""]).encode() + body


@contextmanager
def plain(port: int, concurrency: int, prompts: int) -> Iterator[Plain]:
    """Sockets, as long as this lasts."""
    sockets = Plain(port, concurrency, prompts)
    try:
        yield sockets
    finally:
        sockets.close()


async def capacity(setting: Setting) -> Round:
    """What the server can, and what the fastest client asks of it."""
    server, sizes = setting.stack.enter_context(served()), setting.sizes
    shapes = [(concurrency, size) for concurrency in sizes.concurrency for size in (1, LIST)]
    asks = {
        (concurrency, size): await setting.stack.enter_async_context(
            bare(server.url, concurrency, size)
        )
        for concurrency, size in shapes
    }
    source = Texts()

    async def once() -> Figures:
        found: Figures = {}
        for (concurrency, size), ask in asks.items():
            name = f"{concurrency} in flight" + (f", lists of {size}" if size > 1 else "")
            part = sizes.requests if size == 1 else max(concurrency, sizes.requests // 8)
            found |= await _compared(name, (server, ask), source, (concurrency, size, part))
        return found

    return once


async def _compared(
    name: str, ends: tuple[Server, Ask], source: Texts, shape: tuple[int, int, int]
) -> Figures:
    """The sockets, then bare aiohttp."""
    (server, ask), (concurrency, size, count) = ends, shape
    with plain(server.port, concurrency, size) as sockets:
        sockets.send(count)
        clock = Clock(server)
        sockets.send(TIMES * count)
        most = clock.taken(TIMES * count)
    await ask(source.fresh(concurrency * size))
    texts = source.fresh(count * size)
    clock = Clock(server)
    await ask(texts)
    used = clock.taken(count)
    return {
        f"server, {name} | requests/s": most.rate,
        f"server, {name} | us CPU": most.server,
        f"server, {name}, by bare aiohttp | us CPU": used.server,
        f"server, {name} | times bare aiohttp's rate": most.rate / used.rate,
        f"server, {name} | CPU of bare aiohttp's": used.server / used.client,
    }
