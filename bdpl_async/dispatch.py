"""From a request to what became of each of its texts, however many requests that takes.

What only together fails is parted, what has no usable numbers is asked again a few times, and a
provider that is down is given up. Every answer is kept as soon as it is there. It knows neither
batches nor asks; the channel is what sends.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from bdpl_async.blame import Blame, breaks
from bdpl_async.caching.cache import Entry
from bdpl_async.channel import never
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
from bdpl_async.records import Request, Score, Text
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

    def begin(self, known: int) -> None:
        """An ask begins, of which so many answers are known."""
        self.useful += known
        self._blame.begin(self.useful)

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
            if too_long(error):
                raise
            self._blame.weigh(error, self.useful)
            if len(request.texts) > 1:
                return await self._halves(request)
            outcomes = {request.texts[0]: error}
        for text, outcome in outcomes.items():
            if isinstance(outcome, ProviderError):
                self._failed(text, outcome)
        self._blame.weigh_all(list(outcomes.values()), self.useful)
        return outcomes

    def _checked(self, outcome: Outcome) -> Outcome:
        usable = checked(outcome, self._scorer.name, len(self._labels))
        if isinstance(usable, ProviderError):
            self._channel.traffic.failures += 1
            self.trouble = usable
            self.useful += self._forecast.capabilities.decides and off_the_labels(usable)
        return usable

    def _failed(self, text: Text, error: ProviderError) -> None:
        self.trouble = error
        self._memory.fail(text, error)

    async def _halves(self, request: Request) -> dict[Text, Outcome]:
        """Send a request in two parts, without what was answered meanwhile."""
        known = {text: self._memory.recall(text) for text in request.texts}
        outcomes = {text: outcome for text, outcome in known.items() if outcome is not None}
        rest = tuple(text for text in request.texts if text not in outcomes)
        middle = (len(rest) + 1) // 2
        for part in (rest[:middle], rest[middle:]):
            if part:
                outcomes |= await self.send(Request(part, request.labels))
        return outcomes

    async def _improve(self, request: Request, outcomes: dict[Text, Outcome]) -> None:
        """Ask again for texts whose answer had no usable numbers."""
        for _ in range(UNUSABLE_TRIES - 1):
            again = tuple(text for text in request.texts if may_improve(outcomes[text]))
            if not again:
                break
            self._channel.traffic.retries += 1
            outcomes |= await self._answer(Request(again, request.labels))

    async def _answer(self, request: Request) -> dict[Text, Outcome]:
        """One request and its answers, kept as soon as they are there."""
        texts, forecast = request.texts, self._forecast
        bound = forecast.rough_bound(texts) or await forecast.bound(texts)
        exchange = partial(self._scorer.score, request)
        soon = breaks if len(request.texts) > 1 else never
        reply, usage = await self._channel.send(exchange, bound, soon=soon)
        if len(reply.scores) != len(request.texts):
            name, count = self._scorer.name, len(request.texts)
            raise ProviderRefused(
                f"{name}: {len(reply.scores)} scores for {count} texts",
                hint="this is a mistake in the scorer",
            )
        self._forecast.learn(bound.tokens, usage.prompt_tokens + usage.completion_tokens)
        outcomes: dict[Text, Outcome] = {}
        entries: dict[Text, Entry] = {}
        shares = usage.shares(len(request.texts))
        for text, outcome, share in zip(request.texts, reply.scores, shares, strict=True):
            outcomes[text] = usable = self._checked(outcome)
            if isinstance(usable, Score):
                entries[text] = Entry(usable, *share)
        self.useful += len(entries)
        self._memory.keep(entries)
        self._shelf.put(entries)
        return outcomes
