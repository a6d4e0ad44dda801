"""The one way to the model: cache, single flight, and requests over the channel.

Every text of every phase goes through here, so that everything is counted alike. The gate groups
the texts of one ask into requests as the scorer likes them; the grouping is a function of the ask
alone, never of time, so that a local model's floats repeat bit for bit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from bdpl_async.blame import Blame, at_fault, breaks
from bdpl_async.budget import Amount, Ledger
from bdpl_async.caching.cache import Cache, Entry
from bdpl_async.channel import Channel, never
from bdpl_async.errors import (
    BudgetExhausted,
    ProviderError,
    ProviderRefused,
    ProviderUnavailable,
    RequestFailed,
    ServerFault,
)
from bdpl_async.fanout import fan_out
from bdpl_async.forecast import Forecast
from bdpl_async.halt import Stopped
from bdpl_async.limits.backoff import too_long
from bdpl_async.memory import Memory, Outcome
from bdpl_async.records import Billed, Request, Score, Text
from bdpl_async.result import Totals
from bdpl_async.scorer import Capabilities, Scorer
from bdpl_async.shelf import Shelf
from bdpl_async.usable import checked, may_improve, off_the_labels

__all__ = ["Gate"]

Answer = TypeVar("Answer", bound=Billed)
UNUSABLE_TRIES = 4  # answers to one text without usable numbers, before it fails


class Gate:
    """Texts in, scores out, counted.

    Args:
        scorer: the model.
        labels: the label words; they stand in every request.
        channel: sends requests within budget and limits.
        capabilities: how the scorer is asked; a probe may bring others, see `adopt`.
        cache: answers of earlier runs, for scorers that say what an answer depends on.

    Attributes:
        trouble: the last text that got no usable answer.
        before_sending: done once, before the first text is sent.
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
        self.trouble: ProviderError | None = None
        self.before_sending: Callable[[], Awaitable[None]] | None = None
        self._shelf = Shelf(scorer, labels, cache)
        self._scorer = scorer
        self._labels = labels
        self._memory = Memory()
        self._preparing = asyncio.Lock()
        self._asked: dict[Text, asyncio.Future[None]] = {}  # by asks that are under way
        self._cache_hits = 0
        self._blame = Blame()
        self._useful = 0  # answers that say something about their text

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

    def totals(self) -> Totals:
        """Everything consumed so far."""
        return self.channel.traffic.totals(self.ledger.spent, self._cache_hits, self.elapsed)

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

    async def score(self, texts: Sequence[Text]) -> list[Outcome]:
        """One outcome per text, in order; a text that stands twice is sent once.

        Raises:
            BudgetExhausted: the rest did not fit into the budget; what was paid is kept.
            ProviderError: the provider cannot be used.
            Stopped: the run was asked to stop.
        """
        await asyncio.sleep(0)  # an ask that the cache answers whole must still let a signal in
        if self.channel.halt.asked:
            raise Stopped
        if self.capabilities.causal:  # nothing else of a text reaches the model
            texts = [Text(text.causal) for text in texts]
        outcomes: dict[Text, Outcome] = {}
        missing = self._remembered(dict.fromkeys(texts), outcomes)
        sent = 0
        while missing:
            if others := [self._asked[text] for text in missing if text in self._asked]:
                await asyncio.wait(set(others))
                missing = self._remembered(missing, outcomes)
                continue
            sent += await self._ask(list(missing), outcomes)
            break
        self._cache_hits += len(texts) - sent
        return [outcomes[text] for text in texts]

    def _remembered(
        self, texts: dict[Text, None], outcomes: dict[Text, Outcome]
    ) -> dict[Text, None]:
        """Put what this run knows into `outcomes`; the texts that it does not know."""
        missing: dict[Text, None] = {}
        for text in texts:
            known = self._memory.recall(text)
            if known is None:
                missing[text] = None
            else:
                outcomes[text] = known
        return missing

    async def _ask(self, texts: list[Text], outcomes: dict[Text, Outcome]) -> int:
        """Outcomes of texts new to this run, from the cache or the model; how many were sent."""
        ours = asyncio.get_running_loop().create_future()
        self._asked.update(dict.fromkeys(texts, ours))
        try:
            left = await self._left(texts, outcomes)
            self._blame.begin(self._useful)
            most = self.channel.terms.concurrency
            workers = min(most, self.capabilities.concurrency or most)
            work = fan_out(self._send, left, workers)
            for batch in await self.channel.halt.until(work):
                outcomes.update(batch)
        finally:
            for text in texts:
                del self._asked[text]
            self._shelf.forget(texts)
            ours.set_result(None)
        return sum([len(request.texts) for request in left])

    async def _left(self, texts: list[Text], outcomes: dict[Text, Outcome]) -> list[Request]:
        """What the cache does not answer, as requests."""
        stored = self._shelf.find(texts)
        if len(stored) < len(texts) and await self._prepared():
            stored = self._shelf.find(texts)  # by what is known now
        requests = self._requests(texts)
        if not stored:
            return requests
        outcomes.update({text: entry.score for text, entry in stored.items()})
        rests = [await self._unstored(request, stored) for request in requests]
        return [rest for rest in rests if rest.texts]

    async def _prepared(self) -> bool:
        """Do what is due before the first text is sent; whether there was anything."""
        async with self._preparing:
            due, self.before_sending = self.before_sending, None
            if due is not None:
                await due()
        return due is not None

    def _requests(self, texts: list[Text]) -> list[Request]:
        """Whole batches; the sort is stable, so texts of one prompt stay together."""
        if self.capabilities.order == "length":
            texts = sorted(texts, key=lambda text: len(text.before) + len(text.after))
        size = self.capabilities.batch
        batches = (tuple(texts[i : i + size]) for i in range(0, len(texts), size))
        return [Request(batch, self._labels) for batch in batches]

    async def _unstored(self, request: Request, stored: dict[Text, Entry]) -> Request:
        """What is left of a request; the ledger hears what the rest had cost."""
        found = [(text, stored[text]) for text in request.texts if text in stored]
        if not found:
            return request
        rest = tuple(text for text in request.texts if text not in stored)
        prompt = sum(entry.prompt_tokens for _, entry in found)
        completion = sum(entry.completion_tokens for _, entry in found)
        price = self.channel.terms.price
        usd = price.usd(prompt, completion) if price is not None else 0.0
        tokens = prompt + completion
        self.ledger.replay(Amount(0 if rest else 1, len(found), tokens, usd))
        bound = await self.forecast.bound([text for text, _ in found])
        self.forecast.learn(bound.tokens, tokens)
        for text, entry in found:
            self._memory.keep(text, entry)
        return Request(rest, request.labels)

    async def _send(self, request: Request) -> dict[Text, Outcome]:
        """One outcome per text; what only together fails is parted."""
        try:
            outcomes = await self._answer(request)
            if all([type(outcome) is Score for outcome in outcomes.values()]):
                return outcomes
            await self._improve(request, outcomes)
        except ProviderRefused as error:
            await self.channel.refused(error)
            raise
        except BudgetExhausted:
            one = await self.forecast.bound(request.texts[:1])
            if len(request.texts) == 1 or not self.ledger.fits(one):
                raise
            return await self._halves(request)  # bounds are loose: a smaller one may still fit
        except (RequestFailed, ProviderUnavailable) as error:
            if too_long(error):
                raise
            self._blame.weigh(error, self._useful)
            if len(request.texts) > 1:
                return await self._halves(request)
            outcomes = {request.texts[0]: error}
        for text, outcome in outcomes.items():
            if isinstance(outcome, ProviderError):
                self._failed(text, outcome)
        self._blame.weigh_all(list(outcomes.values()), self._useful)
        return outcomes

    def _checked(self, outcome: Outcome) -> Outcome:
        usable = checked(outcome, self._scorer.name, len(self._labels))
        if isinstance(usable, ProviderError):
            self.channel.traffic.failures += 1
            self.trouble = usable
            self._useful += self.capabilities.decides and off_the_labels(usable)
        return usable

    def _failed(self, text: Text, error: ProviderError) -> None:
        self.trouble = error
        if isinstance(error, RequestFailed | ServerFault):  # it would fail again
            self._memory.fail(text, error)

    async def _halves(self, request: Request) -> dict[Text, Outcome]:
        """Send a request in two parts, without what was answered meanwhile."""
        known = {text: self._memory.recall(text) for text in request.texts}
        outcomes = {text: outcome for text, outcome in known.items() if outcome is not None}
        rest = tuple(text for text in request.texts if text not in outcomes)
        middle = (len(rest) + 1) // 2
        for part in (rest[:middle], rest[middle:]):
            if part:
                outcomes |= await self._send(Request(part, request.labels))
        return outcomes

    async def _improve(self, request: Request, outcomes: dict[Text, Outcome]) -> None:
        """Ask again for texts whose answer had no usable numbers."""
        for _ in range(UNUSABLE_TRIES - 1):
            again = tuple(text for text in request.texts if may_improve(outcomes[text]))
            if not again:
                break
            self.channel.traffic.retries += 1
            outcomes |= await self._answer(Request(again, request.labels))

    async def _answer(self, request: Request) -> dict[Text, Outcome]:
        """One request and its answers, kept as soon as they are there."""
        texts, forecast = request.texts, self.forecast
        bound = forecast.rough_bound(texts) or await forecast.bound(texts)
        exchange = partial(self._scorer.score, request)
        soon = breaks if len(request.texts) > 1 else never
        reply, usage = await self.channel.send(exchange, bound, soon=soon)
        if len(reply.scores) != len(request.texts):
            name, count = self._scorer.name, len(request.texts)
            raise ProviderRefused(
                f"{name}: {len(reply.scores)} scores for {count} texts",
                hint="this is a mistake in the scorer",
            )
        forecast.learn(bound.tokens, usage.prompt_tokens + usage.completion_tokens)
        outcomes: dict[Text, Outcome] = {}
        shares = usage.shares(len(request.texts))
        for text, outcome, share in zip(request.texts, reply.scores, shares, strict=True):
            outcomes[text] = usable = self._checked(outcome)
            if isinstance(usable, Score):
                self._useful += 1
                entry = Entry(usable, *share)
                self._memory.keep(text, entry)
                self._shelf.put(text, entry)
        return outcomes
