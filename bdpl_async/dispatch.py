"""From a request to what became of each of its texts, however many requests that takes.

What only together fails is parted, what has no usable numbers is asked again a few times, and a
provider that is down is given up. Every answer is kept as soon as it is there. It knows neither
batches nor asks; the channel is what sends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import partial
from typing import Final

from bdpl_async.again import always, never
from bdpl_async.blame import Blame, breaks
from bdpl_async.caching.cache import Entry
from bdpl_async.errors import (
    BudgetExhausted,
    ProviderError,
    ProviderRefused,
    ProviderUnavailable,
    RequestFailed,
    StorageError,
)
from bdpl_async.forecast import Forecast
from bdpl_async.limits.backoff import too_long
from bdpl_async.memory import Memory, Outcome
from bdpl_async.records import Request, Score, Text, Usage
from bdpl_async.saving.rows import LASTING, Found
from bdpl_async.scorer import Scorer
from bdpl_async.shelf import Shelf
from bdpl_async.usable import checked, may_improve, off_the_labels

__all__ = ["Dispatch"]

UNUSABLE_TRIES: Final = 4  # answers to one text without usable numbers, before it fails


class Dispatch:
    """Sends a gate's requests.

    Args:
        scorer: the model.
        labels: the label words.
        forecast: bounds each request, and hears what it took.
        memory: of this run.
        shelf: where answers outlive it.

    Attributes:
        trouble: the last text that got no usable answer.
        useful: answers that say something about their text.
    """

    def __init__(
        self,
        scorer: Scorer,
        labels: tuple[str, ...],
        forecast: Forecast,
        memory: Memory,
        shelf: Shelf,
    ) -> None:
        self.trouble: ProviderError | None = None
        self.useful = 0
        self._scorer = scorer
        self._labels = labels
        self._forecast = forecast
        self._channel = forecast.channel
        self._memory = memory
        self._shelf = shelf
        self._blame = Blame()
        self._good: Text | None = None  # the last that was answered
        self._looking = asyncio.Lock()

    def begin(self, told: Iterable[Outcome]) -> None:
        """An ask begins, or goes on after an earlier process was told so much."""
        self._blame.begin(self.useful)
        self.useful += sum([isinstance(outcome, Score) or self._says(outcome) for outcome in told])

    async def send(self, request: Request) -> dict[Text, Outcome]:
        """One outcome per text; what only together fails is parted."""
        try:
            outcomes = await self._answer(request)
            if all([type(outcome) is Score for outcome in outcomes.values()]):
                return outcomes
            await self._improve(request, outcomes)
        except (ProviderRefused, StorageError) as error:
            await self._channel.refused(error)
            raise
        except BudgetExhausted:
            one = await self._forecast.bound(request.texts[:1])
            if len(request.texts) == 1 or not self._channel.ledger.fits(one):
                raise
            return await self._halves(request)  # bounds are loose: a smaller one may still fit
        except (RequestFailed, ProviderUnavailable) as error:
            self._weigh(error)
            if len(request.texts) > 1:
                return await self._halves(request)
            await self._see_it_answers(error)
            outcomes = {request.texts[0]: error}
        for text, outcome in outcomes.items():
            if isinstance(outcome, ProviderError):
                self._failed(text, outcome)
        self._blame.weigh_all(list(outcomes.values()), self.useful)
        return outcomes

    def _weigh(self, error: ProviderError) -> None:
        """Raise `error` where it is the provider's own, and would be that of any text."""
        away = isinstance(error, ProviderUnavailable) and error.alone and not breaks(error)
        if too_long(error) or away:
            raise error
        self._blame.weigh(error, self.useful)

    async def _see_it_answers(self, error: ProviderError) -> None:
        """Ask once more for what was answered before: else an outage passes for a bad text.

        Raises:
            ProviderUnavailable: `error`, since that is not answered any more either.
        """
        if self._good is None or not (isinstance(error, ProviderUnavailable) and error.alone):
            return
        traffic = self._channel.traffic
        answers, request = traffic.answers, Request((self._good,), self._labels)
        async with self._looking:
            bound = await self._forecast.bound(request.texts)
            if traffic.answers != answers or not self._channel.ledger.fits(bound):
                return
            try:
                await self._channel.send(partial(self._scorer.score, request), bound, soon=always)
            except ProviderUnavailable:
                raise error from None
            except RequestFailed:
                return

    def _checked(self, outcome: Outcome) -> Outcome:
        usable = checked(outcome, self._scorer.name, len(self._labels))
        if isinstance(usable, ProviderError):
            self._channel.traffic.failures += 1
            self.useful += self._says(usable)
        return usable

    def _says(self, outcome: Outcome) -> bool:
        """Whether an answer that names no label word says something of its text."""
        return self._forecast.capabilities.decides and off_the_labels(outcome)

    def _failed(self, text: Text, error: ProviderError) -> None:
        self.trouble = error
        self._memory.fail(text, error)

    async def _halves(self, request: Request) -> dict[Text, Outcome]:
        """Send a request in two parts, without what was answered meanwhile."""
        known = {text: self._memory.recall(text) for text in request.texts}
        outcomes = {text: outcome for text, outcome in known.items() if outcome is not None}
        rest = tuple(text for text in request.texts if text not in outcomes)
        middle = (len(rest) + 1) // 2
        if len(rest) > 1:
            self._memory.part(rest)
        for part in (rest[:middle], rest[middle:]):
            if part:
                outcomes |= await self.send(Request(part, request.labels))
        return outcomes

    async def _improve(self, request: Request, outcomes: dict[Text, Outcome]) -> None:
        """Ask again for texts whose answer had no usable numbers."""
        while again := tuple(text for text in request.texts if self._worth(text, outcomes[text])):
            self._channel.traffic.retries += 1
            outcomes |= await self._answer(Request(again, request.labels))

    def _worth(self, text: Text, outcome: Outcome) -> bool:
        return may_improve(outcome) and self._memory.tries(text) < UNUSABLE_TRIES

    async def _answer(self, request: Request) -> dict[Text, Outcome]:
        """One request and its answers, kept as soon as they are there."""
        texts, forecast = request.texts, self._forecast
        bound = forecast.rough_bound(texts) or await forecast.bound(texts)
        exchange = partial(self._scorer.score, request)
        soon = breaks if len(texts) > 1 else never
        reply, usage = await self._channel.send(exchange, bound, soon=soon)
        if len(reply.scores) != len(texts):
            raise ProviderRefused(
                f"{self._scorer.name}: {len(reply.scores)} scores for {len(texts)} texts",
                hint="this is a mistake in the scorer",
            )
        forecast.learn(bound.tokens, usage.prompt_tokens + usage.completion_tokens)
        outcomes = dict(zip(texts, map(self._checked, reply.scores), strict=True))
        self._keep(outcomes, usage)
        return outcomes

    def _keep(self, outcomes: dict[Text, Outcome], usage: Usage) -> None:
        """Remember what one request brought, and what no other will."""
        entries = {
            text: Entry(outcome, *share)
            for (text, outcome), share in zip(
                outcomes.items(), usage.shares(len(outcomes)), strict=True
            )
            if isinstance(outcome, Score)
        }
        ends: dict[Text, Found] = {}
        if len(entries) < len(outcomes):
            self._memory.vain([text for text, what in outcomes.items() if may_improve(what)])
            ends = {
                text: what
                for text, what in outcomes.items()
                if isinstance(what, LASTING) and not may_improve(what)
            }
        if entries:
            self._good = next(iter(entries))
        self.useful += len(entries)
        self._memory.keep({**entries, **ends})
        self._shelf.put(entries)
