"""What one run knows of its texts: answers, texts that fail whenever they are sent, label mass."""

from __future__ import annotations

from bdpl_async.caching.cache import Entry, MemoryCache
from bdpl_async.errors import ProviderError
from bdpl_async.records import Score, Text

__all__ = ["Memory", "Outcome"]

MOST_FAILED = 50_000  # texts
Outcome = Score | ProviderError


class Memory:
    """Bounded, so that a run of a million prompts stays flat.

    Attributes:
        answers: that were kept so far.
    """

    def __init__(self) -> None:
        self.answers = 0
        self._answered: MemoryCache[Text] = MemoryCache()
        self._failed: dict[Text, ProviderError] = {}
        self._mass, self._masses = 0.0, 0

    @property
    def mass(self) -> float | None:
        """Mean label mass of the answers so far; None where the model tells none."""
        return self._mass / self._masses if self._masses else None

    def recall(self, text: Text) -> Outcome | None:
        """The answer to `text`, or why there will be none."""
        entry = self._answered.get_one(text)
        return entry.score if entry is not None else self._failed.get(text)

    def keep(self, text: Text, entry: Entry) -> None:
        """Remember an answer."""
        self.answers += 1
        self._answered.put(text, entry)
        if entry.score.mass is not None:
            self._mass += entry.score.mass
            self._masses += 1

    def fail(self, text: Text, error: ProviderError) -> None:
        """Remember that asking for `text` again would not help."""
        if len(self._failed) >= MOST_FAILED:
            self._failed.clear()
        self._failed[text] = error
