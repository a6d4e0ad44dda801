"""A model server that costs its client as little as can be: an OpenAI dialect on the loopback.

    python benchmarks/loopback.py --delay 0.05 --sigma 0.5

Replies are made once per number of prompts and sent after a delay. Prints its port, and answers
each line on its standard input by one of JSON, its own books, until that ends. It knows no model:
every text has the same probabilities. `--kind`, `--unit` and `--amount` have it refuse what is
more than so much a minute (see `limits.py`), on a clock that runs `--speed` times as fast as ours.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from heapq import heapify, heapreplace
from itertools import islice, repeat
from random import Random

from limits import KINDS, Limit, made
from replies import Asked, answer, refusal

LISTEN = 2_048  # connections that may come at once


def delays(mean: float, sigma: float, seed: int = 0) -> Iterator[float]:
    """Seconds of each reply in the order of the requests: log-normal, or all `mean`."""
    if not sigma:
        return repeat(mean)
    random, mu = Random(seed), math.log(mean) - sigma * sigma / 2
    return (random.lognormvariate(mu, sigma) for _ in repeat(None))


def ideal(latencies: Iterator[float], asks: list[int], concurrency: int) -> float:
    """Seconds that asks of so many requests take, one ask after the other, if only replies do."""
    total = 0.0
    for count in asks:
        free = [0.0] * min(concurrency, count)
        heapify(free)
        for latency in islice(latencies, count):
            heapreplace(free, free[0] + latency)
        total += max(free)
    return total


def everything_open() -> None:
    """Allow this process as many connections as it may have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@dataclass
class Books:
    """What the server counted.

    Attributes:
        refused: of the requests.
        delays: seconds of all replies together.
        first: when the first request came; `last`, when the last reply was due.
        cpu: seconds of the server's process.
        admitted: requests or tokens that the limit let in.
        marks: when each further minute's worth of these was begun, by the limit's clock.
    """

    requests: int = 0
    refused: int = 0
    delays: float = 0.0
    first: float = 0.0
    last: float = 0.0
    cpu: float = 0.0
    admitted: int = 0
    marks: list[float] = field(default_factory=list)


class Server:
    """The server's process, from outside."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.port = int(self._line())
        self.url = f"http://127.0.0.1:{self.port}/v1"

    def books(self) -> Books:
        """What it counted so far."""
        assert self._process.stdin is not None
        self._process.stdin.write("books\n")
        self._process.stdin.flush()
        return Books(**json.loads(self._line()))

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


@contextmanager
def served(
    delay: float = 0.0, sigma: float = 0.0, options: tuple[object, ...] = ()
) -> Iterator[Server]:
    """A server in a process of its own; `options` are more of its command's."""
    words = ["--delay", delay, "--sigma", sigma, *options]
    command = [sys.executable, __file__, *map(str, words)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:  # noqa: S603
        try:
            yield Server(process)
        finally:
            process.communicate()


@contextmanager
def serving(delay: float = 0.0, sigma: float = 0.0) -> Iterator[str]:
    """The base URL of a server in a process of its own."""
    with served(delay, sigma) as server:
        yield server.url


@dataclass
class Manners:
    """How the server answers.

    Attributes:
        latencies: of the replies to come.
        books: what it counts.
        limit: refuses what is too much, at `amount` requests or tokens (`unit`) a minute.
        speed: of the limit's clock.
    """

    latencies: Iterator[float]
    books: Books = field(default_factory=Books)
    limit: Limit | None = None
    unit: str = "requests"
    amount: int = 0
    speed: float = 1.0

    def refused(self, asked: Asked, now: float) -> float:
        """Seconds after which the limit wants to be asked again; 0 if it lets the request in."""
        if self.limit is None:
            return 0.0
        books, at = self.books, now * self.speed
        cost = asked.tokens if self.unit == "tokens" else 1
        if wait := self.limit.wait(cost, at):
            books.refused += 1
            return wait
        if books.admitted // self.amount >= len(books.marks):
            books.marks.append(at)
        books.admitted += cost
        return 0.0


class Loopback(asyncio.Protocol):
    """One connection; requests come one after the other."""

    def __init__(self, manners: Manners, loop: asyncio.AbstractEventLoop) -> None:
        self._manners = manners
        self._loop = loop
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to answer."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer as soon as the request is whole and its delay over."""
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        length = head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0]
        if len(body) < int(length or 0):
            return
        self._received = b""
        manners, books, now = self._manners, self._manners.books, self._loop.time()
        books.requests += 1
        books.first = books.first or now
        asked = Asked(body)
        if wait := manners.refused(asked, now):
            self._transport.write(refusal(wait))
            return
        delay = next(manners.latencies)
        books.delays += delay
        books.last = max(books.last, now + delay)
        if delay:
            self._loop.call_later(delay, self._transport.write, answer(asked))
        else:
            self._transport.write(answer(asked))


def talk(books: Books) -> None:
    """Answer those who ask for the books until nobody can any more; in a thread."""
    for _ in sys.stdin:
        books.cpu = time.process_time()
        print(json.dumps(asdict(books)), flush=True)


async def serve(given: argparse.Namespace) -> None:
    """Serve until the standard input ends."""
    everything_open()
    limit = made(given.kind, given.amount) if given.kind else None
    latencies = delays(given.delay, given.sigma)
    manners = Manners(latencies, Books(), limit, given.unit, given.amount, given.speed)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Loopback(manners, loop), "127.0.0.1", 0, backlog=LISTEN
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(talk, manners.books)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--sigma", type=float, default=0.0)
    parser.add_argument("--kind", choices=KINDS)
    parser.add_argument("--unit", choices=("requests", "tokens"), default="requests")
    parser.add_argument("--amount", type=int, default=0, help="a minute")
    parser.add_argument("--speed", type=float, default=1.0, help="of the limit's clock")
    asyncio.run(serve(parser.parse_args()))
