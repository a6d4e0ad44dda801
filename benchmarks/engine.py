"""The whole engine in front of a loopback server, and the texts that all clients send."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random

from loopback import MODEL
from peers import LABELS, Ask

from bdpl_async.budget import Budget, Ledger
from bdpl_async.caching.file import CacheFile
from bdpl_async.channel import Channel
from bdpl_async.gate import Gate
from bdpl_async.records import Request, Score, Text
from bdpl_async.scorer import capabilities_of
from bdpl_async.terms import Terms
from bdpl_providers import Connection
from bdpl_providers.candidates import token_ids
from bdpl_providers.dialect import Dialect
from bdpl_providers.sdk import SdkTransport
from bdpl_providers.server import Server
from bdpl_providers.vllm import from_connection

TIMEOUT = 60.0  # seconds


class Texts:
    """Texts of a film review's length behind prompts of ten words; no two are the same."""

    def __init__(self) -> None:
        self._random = Random(0)
        self._words = ["".join(self._random.choices("aeioulnrst", k=n % 8 + 2)) for n in range(500)]
        self._count = 0

    def fresh(self, count: int) -> list[str]:
        """So many that were never given out."""
        self._count += count
        first = self._count - count
        return [self._text(number) for number in range(first, self._count)]

    def _text(self, number: int) -> str:
        words = " ".join(self._random.choices(self._words, k=30))
        return f"{words} {number}. It was"


class Engine:
    """All of it, in front of one server; each ask begins with an empty memory.

    Args:
        base_url: of the server.
        concurrency: requests in flight.
        batch: prompts a request.
        folder: of the cache's files, a new one for each ask; None has no cache.
        by_sdk: sends by the openai SDK.
    """

    def __init__(
        self,
        base_url: str,
        concurrency: int,
        batch: int = 1,
        folder: Path | None = None,
        *,
        by_sdk: bool = False,
    ) -> None:
        told = Connection(MODEL, base_url, timeout=TIMEOUT, concurrency=concurrency)
        self.scorer = from_connection(replace(told, batch_prompts=batch))
        if by_sdk:
            dialect = Dialect("vllm", MODEL, base_url, (token_ids(MODEL, batch=batch),))
            name = dialect.name
            transport = SdkTransport(
                name, base_url, "none", timeout=TIMEOUT, concurrency=concurrency
            )
            self.scorer = Server(dialect, transport)
        self._folder = folder
        self._files = 0
        ledger = Ledger(Budget(prompts=10**9))
        terms = Terms(concurrency=concurrency)  # as a session's: the transport keeps the time
        self.channel = Channel(self.scorer.name, ledger, terms)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Ask]:
        """Connect and probe; gives what asks."""
        async with self.scorer:
            samples = Request((Text("What the model says to this"), Text("and to this")), LABELS)
            await self.scorer.probe(samples, self.gate().line)
            yield self.ask

    def gate(self, cache: CacheFile | None = None) -> Gate:
        """One that remembers nothing, but sends by the same channel."""
        capabilities = capabilities_of(self.scorer)
        return Gate(self.scorer, LABELS, self.channel, capabilities, cache)

    async def ask(self, texts: Sequence[str]) -> None:
        """Score them; what goes to the cache is in its file afterwards."""
        cache = None
        if self._folder is not None:
            self._files += 1
            cache = CacheFile(self._folder / f"{self._files}.db")
        outcomes = await self.gate(cache).score([Text(text) for text in texts])
        if cache is not None:
            await cache.close()
        assert all(isinstance(outcome, Score) for outcome in outcomes)
