"""Answers already paid for: content -> Score.

`MemoryCache` lives as long as one run. It holds a bounded number of scores, the least recently used
go first, so that a run of a million prompts stays flat.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

from bdpl_async.records import Score, Text

__all__ = ["Cache", "MemoryCache"]

Key = tuple[Text, tuple[str, ...]]


class Cache(Protocol):
    """What the gate asks before it spends."""

    def get(self, key: Key) -> Score | None:
        """The score of this text for these label words, if it was paid for before."""
        ...

    def put(self, key: Key, score: Score) -> None:
        """Remember a paid score."""
        ...


class MemoryCache:
    """A dictionary with the manners of a cache.

    Args:
        capacity: scores kept.
    """

    def __init__(self, capacity: int = 50_000) -> None:
        self._capacity = capacity
        self._scores: OrderedDict[Key, Score] = OrderedDict()

    def __len__(self) -> int:
        return len(self._scores)

    def get(self, key: Key) -> Score | None:
        """The score of this text for these label words, if it was paid for before."""
        score = self._scores.get(key)
        if score is not None:
            self._scores.move_to_end(key)
        return score

    def put(self, key: Key, score: Score) -> None:
        """Remember a paid score."""
        self._scores[key] = score
        if len(self._scores) > self._capacity:
            self._scores.popitem(last=False)
