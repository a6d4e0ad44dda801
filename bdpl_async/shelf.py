"""One scorer's answers in the response cache: texts in, entries out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bdpl_async.caching.cache import Cache, Entry, digest
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
        self._labels = labels
        self._keys: dict[Text, bytes] = {}  # of what is being asked

    def find(self, texts: Sequence[Text]) -> dict[Text, Entry]:
        """What earlier runs paid for."""
        if self.cache is None:
            return {}
        keys = {text: self._key(text) for text in texts}
        entries = self.cache.get(list(dict.fromkeys(keys.values())))
        found = {text: entries[key] for text, key in keys.items() if key in entries}
        self._keys.update({text: key for text, key in keys.items() if text not in found})
        return found

    def put(self, entries: Mapping[Text, Entry]) -> None:
        """Keep paid answers."""
        if self.cache is not None:
            for text, entry in entries.items():
                self.cache.put(self._keys.get(text) or self._key(text), entry)

    def forget(self, texts: Sequence[Text]) -> None:
        """These texts are no longer being asked."""
        for text in texts:
            self._keys.pop(text, None)

    def _key(self, text: Text) -> bytes:
        assert self._keyed is not None  # noqa: S101  or there is no cache
        return digest(self._keyed.key(text, self._labels))
