"""One scorer's answers in the response cache: texts in, entries out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bdpl_async.caching.cache import Cache, Entry, SharedCache, digest
from bdpl_async.records import Text
from bdpl_async.scorer import Keyed, Scorer

__all__ = ["Shelf"]


class Shelf:
    """Where answers outlive a run; nowhere, for a scorer that does not say what they depend on.

    Args:
        scorer: makes the keys, if it is `Keyed`.
        labels: the label words.
        cache: None for none.
    """

    def __init__(self, scorer: Scorer, labels: tuple[str, ...], cache: Cache | None) -> None:
        self._keyed = scorer if isinstance(scorer, Keyed) else None  # a slow question: ask once
        self.cache = cache if self._keyed is not None else None
        self._shared = self.cache if isinstance(self.cache, SharedCache) else None
        self._labels = labels
        self._keys: dict[Text, bytes] = {}  # of what is being asked

    async def find(
        self, texts: Sequence[Text], *, claim: bool = True
    ) -> tuple[dict[Text, Entry], set[Text]]:
        """What was paid for, and which texts another process asks for at this moment.

        Args:
            texts: without those that were found before.
            claim: whether this process asks for what is neither; others then wait for that.
        """
        if self.cache is None:
            return {}, set()
        keys = {text: self._key(text) for text in texts}
        entries, others = await self._taken(list(dict.fromkeys(keys.values())), claim=claim)
        found = {text: entries[key] for text, key in keys.items() if key in entries}
        self._keys.update({text: key for text, key in keys.items() if text not in found})
        return found, {text for text, key in keys.items() if key in others} if others else set()

    async def recall(self, key: bytes) -> bytes | None:
        """The record kept under `key`."""
        if self.cache is None:
            return None
        return await self._shared.fetch(key) if self._shared else self.cache.recall(key)

    def put(self, entries: Mapping[Text, Entry]) -> None:
        """Keep paid answers."""
        if self.cache is not None:
            for text, entry in entries.items():
                self.cache.put(self._keys.get(text) or self._key(text), entry)

    def forget(self, texts: Sequence[Text]) -> None:
        """These texts are no longer being asked."""
        keys = [key for text in texts if (key := self._keys.pop(text, None)) is not None]
        if self._shared is not None:
            self._shared.give_up(keys)

    async def _taken(
        self, keys: list[bytes], *, claim: bool
    ) -> tuple[dict[bytes, Entry], set[bytes]]:
        if self._shared is not None:
            return await self._shared.take(keys, claim=claim)
        return self.cache.get(keys) if self.cache is not None else {}, set()

    def _key(self, text: Text) -> bytes:
        assert self._keyed is not None  # noqa: S101  or there is no cache
        return digest(self._keyed.key(text, self._labels))
