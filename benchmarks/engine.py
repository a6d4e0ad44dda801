"""The whole engine in front of a loopback server, and the texts that all clients send."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from peers import LABELS, Ask
from replies import MODEL

from bdpl_async.budget import Budget, Ledger
from bdpl_async.caching.file import CacheFile
from bdpl_async.channel import Channel
from bdpl_async.config import builtin_tasks, load_config
from bdpl_async.gate import Gate
from bdpl_async.records import Request, Score, Text
from bdpl_async.rundir import RunDir
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


@dataclass(frozen=True, slots=True)
class Rules:
    """What a run may be told beside how many requests may fly.

    Attributes:
        rpm: requests a minute.
        tpm: tokens a minute.
        speed: of the clock by which limits and waits go; 10 has a minute pass in 6 s.
        journal: RUN_DIR, where what is sent and paid is written down.
    """

    rpm: float | None = None
    tpm: float | None = None
    speed: float = 1.0
    journal: Path | None = None


class Engine:
    """All of it, in front of one server; each ask begins with an empty memory.

    Args:
        base_url: of the server.
        concurrency: requests in flight.
        batch: prompts a request.
        folder: of the cache's files, a new one for each ask; None has no cache.
        by_sdk: sends by the openai SDK.
        rules: limits, and a journal.
    """

    def __init__(
        self,
        base_url: str,
        concurrency: int,
        batch: int = 1,
        folder: Path | None = None,
        *,
        by_sdk: bool = False,
        rules: Rules | None = None,
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
        self._rules = rules or Rules()
        self._run = _run_in(self._rules.journal)
        self.channel = self._channel(concurrency)

    def _channel(self, concurrency: int) -> Channel:
        """As a session's: the transport keeps the time."""
        rules, budget = self._rules, Budget(prompts=10**9)
        return Channel(
            self.scorer.name,
            Ledger(budget),
            Terms(concurrency=concurrency, rpm=rules.rpm, tpm=rules.tpm),
            diary=None if self._run is None else self._run.diary,
            clock=lambda: time.monotonic() * rules.speed,
            sleep=lambda seconds: asyncio.sleep(seconds / rules.speed),
        )

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Ask]:
        """Connect and probe; gives what asks."""
        async with self.scorer:
            if self._run is not None:
                self._run.begin({"program": "benchmark"})
            samples = Request((Text("What the model says to this"), Text("and to this")), LABELS)
            await self.scorer.probe(samples, self.gate().line)
            try:
                yield self.ask
            finally:
                if self._run is not None:
                    self._run.diary.flush()
                    self._run.__exit__(None, None, None)

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


def _run_in(folder: Path | None) -> RunDir | None:
    if folder is None:
        return None
    return RunDir(folder, load_config(builtin_tasks()["reviews"]))
