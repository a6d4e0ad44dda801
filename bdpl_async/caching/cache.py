"""Answers already paid for: what an entry is, what a cache promises, and the one in memory.

`MemoryCache` lives as long as one run. It holds a bounded number of entries, the least recently
used go first, so that a run of a million prompts stays flat. The file is `cachefile`.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar, runtime_checkable

from bdpl_async.records import Score

__all__ = ["Cache", "Entry", "Kept", "MemoryCache", "SharedCache", "digest"]

Key = TypeVar("Key", bound=Hashable)
DIGEST = 16  # bytes; two of 10^12 questions share one with a chance of 10^-15


@dataclass(frozen=True, slots=True)
class Entry:
    """One paid answer. It never changes: the first answer to a question stands.

    Attributes:
        score: the label log-probabilities.
        prompt_tokens: this text's share of its request's usage; shares add up exactly.
        completion_tokens: the same of what was generated.
    """

    score: Score
    prompt_tokens: int = 0
    completion_tokens: int = 0


Kept = Entry | bytes
"""What lies under a key: a paid answer, or a record of something else that was found out."""


class Cache(Protocol):
    """What the gate asks before it spends. A cache never stops a run."""

    @property
    def trouble(self) -> str | None:
        """Why answers are kept in memory only at present, in one sentence."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What happened to the cache and should be said once, one sentence each."""
        ...

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Entry]:
        """The entries there are, for as many keys at a time as one likes."""
        ...

    def put(self, key: bytes, entry: Entry) -> None:
        """Remember a paid answer; never waits, never raises."""
        ...

    def recall(self, key: bytes) -> bytes | None:
        """The record kept under `key`."""
        ...

    def remember(self, key: bytes, record: bytes) -> None:
        """Keep a record, such as what a probe found; never waits, never raises."""
        ...

    async def close(self) -> None:
        """Return when everything is written."""
        ...


@runtime_checkable
class SharedCache(Cache, Protocol):
    """A cache of processes that ask at the same time, and do not pay twice for one answer."""

    async def open(self) -> None:
        """To be called once, before all else.

        Raises:
            ConfigError: it can never be used.
        """
        ...

    async def take(
        self, keys: Sequence[bytes], *, claim: bool = True
    ) -> tuple[dict[bytes, Entry], set[bytes]]:
        """The entries there are, and the keys that another process asks for at this moment.

        With `claim`, what is neither is the caller's to ask for: others wait until it is `put` or
        given up. Waits as long as others ask for all of `keys`.
        """
        ...

    async def fetch(self, key: bytes) -> bytes | None:
        """`recall`, which may take a moment."""
        ...

    def give_up(self, keys: Iterable[bytes]) -> None:
        """These keys are no longer asked for; never waits, never raises."""
        ...


def digest(content: bytes) -> bytes:
    """The key under which the answer to `content` is kept; nobody can read `content` from it."""
    return hashlib.blake2b(content, digest_size=DIGEST).digest()


class MemoryCache(Generic[Key]):
    """A dictionary with the manners of a cache.

    Args:
        capacity: entries kept.
    """

    trouble: str | None = None
    notes: tuple[str, ...] = ()

    def __init__(self, capacity: int = 50_000) -> None:
        self._capacity = capacity
        self._entries: OrderedDict[Key, Entry] = OrderedDict()
        self._records: dict[bytes, bytes] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def get_one(self, key: Key) -> Entry | None:
        """The entry of this key; reading it keeps it."""
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
        return entry

    def get(self, keys: Sequence[Key]) -> dict[Key, Entry]:
        """The entries there are."""
        return {key: entry for key in keys if (entry := self.get_one(key)) is not None}

    def put(self, key: Key, entry: Entry) -> None:
        """Remember a paid answer; an earlier one under the same key stands."""
        self._entries.setdefault(key, entry)
        if len(self._entries) > self._capacity:
            self._entries.popitem(last=False)

    def recall(self, key: bytes) -> bytes | None:
        """The record kept under `key`."""
        return self._records.get(key)

    def remember(self, key: bytes, record: bytes) -> None:
        """Keep a record; there are few, and the newest counts."""
        self._records[key] = record

    async def close(self) -> None:
        """Nothing is left to do: it is gone when the run is."""
