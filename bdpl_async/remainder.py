"""What is left to be sent of one ask: all but what diary and cache answer, as requests.

Where a cache is shared, texts that another process asks for are left to it, and looked for again
once the rest was sent: nobody waits while others wait for him. If that process dies, its texts come
back as requests. How texts fall into batches is a function of the ask alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

from bdpl_async.budget import Amount
from bdpl_async.caching.cache import Entry
from bdpl_async.forecast import Forecast
from bdpl_async.memory import Memory, Outcome
from bdpl_async.records import Request, Text
from bdpl_async.shelf import Shelf

__all__ = ["Remainder", "Sources"]


@dataclass(frozen=True, slots=True)
class Sources:
    """Who knows answers, and who has to hear of it.

    Attributes:
        memory: of this run.
        shelf: the cache.
        forecast: with the channel, whose books count what the cache answers.
        prepared: does what is due before the first text is sent; whether there was anything.
        due: whether there is.
    """

    memory: Memory
    shelf: Shelf
    forecast: Forecast
    prepared: Callable[[], Awaitable[bool]]
    due: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class _Batch:
    """Texts of one request; whether that was counted already."""

    texts: list[Text]
    counted: bool = False


class Remainder:
    """One ask's, round by round.

    Args:
        sources: of answers.
        labels: the label words.
        texts: all of the ask.
        outcomes: of some of them, by the diary; what the cache answers is put there.
    """

    def __init__(
        self,
        sources: Sources,
        labels: tuple[str, ...],
        texts: list[Text],
        outcomes: dict[Text, Outcome],
    ) -> None:
        self._sources = sources
        self._labels = labels
        self._texts = texts
        self._outcomes = outcomes
        self._batches: list[_Batch] | None = None  # not yet: a probe may say how large they are

    @property
    def done(self) -> bool:
        """Whether nothing is left to look for."""
        return self._batches == []

    async def requests(self) -> list[Request]:
        """What is to be sent now; waits where all that is left is being asked for elsewhere."""
        unknown = [text for text in self._texts if text not in self._outcomes]
        stored, others = await self._found(unknown)
        batches = self._batched() if self._batches is None else self._batches
        self._batches = []
        if stored or others or len(unknown) < len(self._texts):
            told = self._outcomes.keys() & set(self._texts)
            self._outcomes.update({text: entry.score for text, entry in stored.items()})
            ours = [await self._sifted(batch, stored, told | others) for batch in batches]
            self._batches = [
                _Batch(left, batch.counted or bool(mine))
                for batch, mine in zip(batches, ours, strict=True)
                if (left := [text for text in batch.texts if text in others])
            ]
        else:
            ours = [batch.texts for batch in batches]
        self._texts = [text for batch in self._batches for text in batch.texts]
        parts = [part for batch in ours for part in self._sources.memory.parted(batch)]
        return [Request(part, self._labels) for part in parts]

    async def _found(self, texts: list[Text]) -> tuple[dict[Text, Entry], set[Text]]:
        """What the cache knows, and what others ask for; by what a probe that is due found out."""
        sources, due = self._sources, self._sources.due()
        stored, others = await sources.shelf.find(texts, claim=not due)
        if len(stored) < len(texts) and (await sources.prepared() or due):
            return await sources.shelf.find(texts)
        return stored, others

    def _batched(self) -> list[_Batch]:
        """Those of one request together; the sort is stable, so texts of one prompt stay so."""
        texts, capabilities = self._texts, self._sources.forecast.capabilities
        if capabilities.order == "length":
            texts = sorted(texts, key=lambda text: len(text.before) + len(text.after))
        size = capabilities.batch
        return [_Batch(texts[i : i + size]) for i in range(0, len(texts), size)]

    async def _sifted(
        self, batch: _Batch, stored: dict[Text, Entry], known: Collection[Text]
    ) -> list[Text]:
        """What of a batch is to be sent; the ledger hears what the stored rest had cost."""
        rest = [text for text in batch.texts if text not in stored and text not in known]
        found = {text: stored[text] for text in batch.texts if text in stored}
        if found:
            forecast, texts = self._sources.forecast, batch.texts
            prompt = sum(entry.prompt_tokens for entry in found.values())
            completion = sum(entry.completion_tokens for entry in found.values())
            price = forecast.channel.terms.price
            usd = price.usd(prompt, completion) if price is not None else 0.0
            tokens = prompt + completion
            bound = await forecast.bound(list(found))
            later = batch.counted or any(t not in found and t not in self._outcomes for t in texts)
            forecast.channel.books.replay(Amount(int(not later), len(found), tokens, usd))
            forecast.learn(bound.tokens, tokens)
            self._sources.memory.keep(found)
        return rest
