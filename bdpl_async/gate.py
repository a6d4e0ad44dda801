"""The one way to the model: cache, single flight, and requests over the channel.

Every text of every phase goes through here, so that everything is counted alike. The gate groups
the texts of one ask into requests as the scorer likes them; the grouping is a function of the ask
alone, never of time, so that a local model's floats repeat bit for bit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from bdpl_async.blame import at_fault
from bdpl_async.budget import Ledger
from bdpl_async.caching.cache import Cache
from bdpl_async.channel import Channel
from bdpl_async.dispatch import Dispatch
from bdpl_async.errors import ProviderError
from bdpl_async.fanout import Places, fan_out
from bdpl_async.forecast import Forecast
from bdpl_async.halt import Stopped
from bdpl_async.memory import Memory, Outcome
from bdpl_async.records import Billed, Text
from bdpl_async.remainder import Remainder, Sources
from bdpl_async.result import Totals
from bdpl_async.saving.journal import Record
from bdpl_async.scorer import Capabilities, Scorer
from bdpl_async.shelf import Shelf

__all__ = ["Gate"]

Answer = TypeVar("Answer", bound=Billed)
Outcomes = dict[Text, Outcome]
_Missing = tuple[Coroutine[Any, Any, int] | None, dict[Text, asyncio.Future[Outcomes]]]


class Gate:
    """Texts in, scores out, counted.

    Args:
        scorer: the model.
        labels: the label words; they stand in every request.
        channel: sends requests within budget and limits.
        capabilities: how the scorer is asked; a probe may bring others, see `adopt`.
        cache: answers of earlier runs, for scorers that say what an answer depends on.

    Attributes:
        before_sending: done once, before the first text is sent.
        in_flight: requests at a time at most; None: as the channel's terms say.
    """

    def __init__(
        self,
        scorer: Scorer,
        labels: tuple[str, ...],
        channel: Channel,
        capabilities: Capabilities,
        cache: Cache | None = None,
    ) -> None:
        self.channel = channel
        self.forecast = Forecast(channel, scorer, labels, capabilities)
        self.before_sending: Callable[[], Awaitable[None]] | None = None
        self._shelf = Shelf(scorer, labels, cache)
        self._labels = labels
        self._memory = Memory(channel.books.diary)
        self.in_flight: int | None = None
        self._preparing = asyncio.Lock()
        self._asked: dict[Text, asyncio.Future[Outcomes]] = {}  # by asks that are under way
        self._places = Places(1)
        self._cache_hits = 0
        self._sources = Sources(
            self._memory, self._shelf, self.forecast, self._prepared, self._is_due
        )
        self._dispatch = Dispatch(scorer, labels, self.forecast, self._memory, self._shelf)

    @property
    def cache(self) -> Cache | None:
        """Where answers outlive the run, if anywhere."""
        return self._shelf.cache

    @property
    def capabilities(self) -> Capabilities:
        """How the scorer is asked."""
        return self.forecast.capabilities

    def adopt(self, capabilities: Capabilities) -> None:
        """Ask from now on as a probe found best."""
        self.forecast.capabilities = capabilities

    @property
    def ledger(self) -> Ledger:
        """What was spent, and against which budget."""
        return self.channel.ledger

    @property
    def elapsed(self) -> float:
        """Seconds since the gate was opened."""
        return self.channel.elapsed

    @property
    def mass(self) -> float | None:
        """Mean label mass of the answers so far; None where the model tells none."""
        return self._memory.mass

    @property
    def answers(self) -> int:
        """Answers with usable numbers so far, those of the cache included."""
        return self._memory.answers

    @property
    def asked(self) -> int:
        """Texts so far that were new to the run."""
        return self._memory.asked

    @property
    def trouble(self) -> ProviderError | None:
        """The last text that got no usable answer."""
        return self._dispatch.trouble

    def totals(self) -> Totals:
        """Everything consumed so far."""
        return self.channel.traffic.totals(self.ledger, self._cache_hits, self.elapsed)

    async def recall(self, key: bytes) -> bytes | None:
        """The record that the cache keeps under `key`."""
        return await self._shelf.recall(key)

    def halt(self) -> None:
        """Send nothing more: the ask under way raises `Stopped` within a few seconds."""
        self.channel.halt.ask()

    async def line(self, exchange: Callable[[], Awaitable[Answer]], texts: Sequence[str]) -> Answer:
        """A probe's way to the model, see `bdpl_async.scorer.Line`."""
        bound = await self.forecast.bound([Text(text) for text in texts])
        sending = self.channel.send(exchange, bound, soon=at_fault)
        answer, usage = await self.channel.halt.until(sending)
        if texts:
            self.forecast.learn(bound.tokens, usage.prompt_tokens + usage.completion_tokens)
        return answer

    def snapshot(self) -> dict[str, Any]:
        """What must survive a restart, as JSON; the texts are in the diary."""
        return {
            "books": self.channel.books.snapshot(),
            "forecast": self.forecast.snapshot(),
            "memory": self._memory.snapshot(),
            "cache_hits": self._cache_hits,
            "useful": self._dispatch.useful,
        }

    def restore(self, snapshot: Mapping[str, Any], records: Iterable[Record]) -> None:
        """Be as at `snapshot`, and know what was written down until then.

        Raises:
            IndexError, KeyError, TypeError, ValueError: something is not as it is written.
        """
        self._memory.reread(records)
        self._memory.restore(snapshot["memory"])
        self.channel.books.restore(snapshot["books"])
        self.forecast.restore(snapshot["forecast"])
        self._cache_hits = int(snapshot["cache_hits"])
        self._dispatch.useful = int(snapshot["useful"])

    def known(self) -> Iterator[Record]:
        """What it knows of texts, for another journal."""
        return self._memory.records()

    def again(self, records: Sequence[Record]) -> None:
        """Do to the books what an earlier process of this run did."""
        for record in records:
            if record[0] == "tell":
                self.forecast.hear(int(record[1]), int(record[2]))
            else:
                self.channel.books.applied(record)

    async def score(self, texts: Sequence[Text]) -> list[Outcome]:
        """One outcome per text, in order; a text that stands twice is sent once.

        Raises:
            BudgetExhausted: the rest did not fit into the budget; what was paid is kept.
            ProviderError: the provider cannot be used.
            Stopped: the run was asked to stop.
        """
        await asyncio.sleep(0)  # an ask that is answered without a request still lets a signal in
        return await self.ask(texts)

    def ask(self, texts: Sequence[Text]) -> Coroutine[Any, Any, list[Outcome]]:
        """`score`, begun at once: what others ask for from now on knows of this ask.

        So the order of asks is the order of these calls, however long each then takes. What is
        given back must be awaited, each in a task of its own if there are several.
        """
        if self.channel.halt.asked:
            raise Stopped
        if self.capabilities.causal:  # nothing else of a text reaches the model
            texts = [Text(text.causal) for text in texts]
        outcomes: Outcomes = {}
        return self._answered(texts, outcomes, self._divided(texts, outcomes))

    def _divided(self, texts: Sequence[Text], outcomes: Outcomes) -> _Missing | None:
        """What asks for the texts that the run does not know, and what others ask for already."""
        missing = self._remembered(dict.fromkeys(texts), outcomes)
        others = {text: self._asked[text] for text in missing if text in self._asked}
        ours = [text for text in missing if text not in others]
        return (self._begun(ours, outcomes) if ours else None, others) if missing else None

    def _begun(self, texts: list[Text], outcomes: Outcomes) -> Coroutine[Any, Any, int]:
        """Begin to ask for texts new to this run; gives what asks."""
        told, records = self._memory.ask(texts, self.elapsed)
        self.again(records)
        outcomes.update(told)
        done: asyncio.Future[Outcomes] = asyncio.get_running_loop().create_future()
        self._asked.update(dict.fromkeys(texts, done))
        return self._ask(texts, told, outcomes, done)

    async def _answered(
        self,
        texts: Sequence[Text],
        outcomes: Outcomes,
        missing: _Missing | None,
    ) -> list[Outcome]:
        """Outcomes of all texts, whoever asks for each."""
        sent = 0
        try:
            while missing is not None:
                asking, others = missing
                sent += 0 if asking is None else await asking
                if others:
                    await asyncio.wait(set(others.values()))
                told = {text: other.result().get(text) for text, other in others.items()}
                outcomes |= {text: outcome for text, outcome in told.items() if outcome}
                missing = self._divided(texts, outcomes)  # those whose ask was given up
        finally:
            self._memory.done(texts)
        self._cache_hits += len(texts) - sent
        return [outcomes[text] for text in texts]

    def _remembered(self, texts: Iterable[Text], outcomes: Outcomes) -> dict[Text, None]:
        """Put what this run knows into `outcomes`; the texts of which it holds nothing then."""
        missing: dict[Text, None] = {}
        for text in texts:
            known = outcomes.get(text) or self._memory.recall(text)
            if known is None:
                missing[text] = None
            else:
                outcomes[text] = known
        return missing

    async def _ask(
        self,
        texts: list[Text],
        told: Outcomes,
        outcomes: Outcomes,
        done: asyncio.Future[Outcomes],
    ) -> int:
        """Outcomes of texts new to this run, from the cache or the model; how many were sent."""
        rest, sent = Remainder(self._sources, self._labels, texts, outcomes), 0
        until = self.channel.halt.until
        try:
            requests = await until(rest.requests())
            self._dispatch.begin(told.values())
            while True:
                sent += sum([len(request.texts) for request in requests])
                for batch in await until(fan_out(self._dispatch.send, requests, self._shared)):
                    outcomes.update(batch)
                if rest.done:
                    break
                requests = await until(rest.requests())
        finally:
            for text in texts:
                del self._asked[text]
            self._shelf.forget(texts)
            done.set_result(outcomes)
        return sent + len(told)

    @property
    def _shared(self) -> Places:
        """The places of all asks under way."""
        most = self.channel.terms.concurrency
        count = min(most, self.capabilities.concurrency or most, self.in_flight or most)
        if count != self._places.count:
            self._places = Places(count)
        return self._places

    def _is_due(self) -> bool:
        return self.before_sending is not None

    async def _prepared(self) -> bool:
        """Do what is due before the first text is sent; whether there was anything."""
        async with self._preparing:
            due, self.before_sending = self.before_sending, None
            if due is not None:
                await due()
        return due is not None
