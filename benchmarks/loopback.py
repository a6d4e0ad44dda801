"""A model server that costs its client as little as can be: `/v1/completions` on the loopback.

    python benchmarks/loopback.py --delay 0.05 --sigma 0.5

Replies are made once per number of prompts and sent after a delay. Prints its port, and serves
until its standard input ends. It knows no model: every text has the same probabilities.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import resource
import subprocess
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from heapq import heapify, heapreplace
from itertools import islice, repeat
from random import Random
from typing import Any

import orjson

MODEL = "loopback"
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


@contextmanager
def serving(delay: float = 0.0, sigma: float = 0.0) -> Iterator[str]:
    """The base URL of a server in a process of its own."""
    command = [sys.executable, __file__, "--delay", str(delay), "--sigma", str(sigma)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as server:  # noqa: S603
        assert server.stdout is not None
        yield f"http://127.0.0.1:{int(server.stdout.readline())}/v1"
        server.communicate()


@lru_cache(maxsize=1_000)
def scored(prompts: int, ids: tuple[int, ...]) -> bytes:
    """The reply to so many prompts, with log-probabilities of these tokens, as vLLM writes it."""
    top = {f"token_id:{token}": -0.7 - 0.513 * place for place, token in enumerate(ids)}
    logprobs = {
        "text_offset": [0],
        "token_logprobs": [-0.7],
        "tokens": [next(iter(top), "token_id:0")],
        "top_logprobs": [top],
    }
    choice = {"text": " x", "logprobs": logprobs, "finish_reason": "length", "stop_reason": None}
    return reply([{"index": index, **choice} for index in range(prompts)], 40 * prompts)


def encoded(prompts: list[str]) -> bytes:
    """The reply that tells the token ids of each prompt: one a word."""
    ids = [[zlib.crc32(word.encode()) % 50_000 for word in text.split(" ")] for text in prompts]
    choices = [
        {"index": index, "text": " x", "logprobs": None, "prompt_token_ids": one}
        for index, one in enumerate(ids)
    ]
    return reply(choices, sum(map(len, ids)))


def reply(choices: list[dict[str, Any]], tokens: int) -> bytes:
    """A whole HTTP reply."""
    usage = {"prompt_tokens": tokens, "completion_tokens": len(choices)}
    usage["total_tokens"] = sum(usage.values())
    head = {"id": "cmpl-7f3a", "object": "text_completion", "created": 1_790_000_000}
    body = orjson.dumps({**head, "model": MODEL, "choices": choices, "usage": usage})
    lines = (
        "HTTP/1.1 200 OK",
        "date: Mon, 23 Nov 2026 12:00:00 GMT",
        "server: uvicorn",
        f"content-length: {len(body)}",
        "content-type: application/json",
    )
    return "\r\n".join([*lines, "", ""]).encode() + body


class Loopback(asyncio.Protocol):
    """One connection; requests come one after the other."""

    def __init__(self, latencies: Iterator[float], loop: asyncio.AbstractEventLoop) -> None:
        self._latencies = latencies
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
        answer = self._answer(orjson.loads(body))
        if delay := next(self._latencies):
            self._loop.call_later(delay, self._transport.write, answer)
        else:
            self._transport.write(answer)

    def _answer(self, asked: dict[str, Any]) -> bytes:
        prompts = asked["prompt"]
        if isinstance(prompts, str):
            prompts = [prompts]
        if asked.get("return_token_ids"):
            return encoded(prompts)
        return scored(len(prompts), tuple(asked.get("logprob_token_ids") or (1, 2)))


async def serve(delay: float, sigma: float) -> None:
    """Serve until the standard input ends."""
    everything_open()
    loop, latencies = asyncio.get_running_loop(), delays(delay, sigma)
    server = await loop.create_server(
        lambda: Loopback(latencies, loop), "127.0.0.1", 0, backlog=LISTEN
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--sigma", type=float, default=0.0)
    asyncio.run(serve(**vars(parser.parse_args())))
