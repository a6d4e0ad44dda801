"""The rules of `bdpl_async.caching.cache`."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from bdpl_async.caching.cache import Entry, MemoryCache, digest
from bdpl_async.records import Score


def entry(value: float = -1.0) -> Entry:
    return Entry(Score((value, -2.0)), prompt_tokens=12, completion_tokens=1)


def test_what_was_put_is_got() -> None:
    """A key gives back its entry; a key never put gives nothing. Any hashable thing is a key."""
    cache: MemoryCache[tuple[str, int]] = MemoryCache()
    cache.put(("a", 1), entry())
    assert cache.get_one(("a", 1)) == entry()
    assert cache.get_one(("a", 2)) is None
    assert cache.get([("a", 2), ("a", 1)]) == {("a", 1): entry()}


def test_the_least_recently_used_go_first() -> None:
    """The size stays bounded, and reading an entry keeps it."""
    cache: MemoryCache[str] = MemoryCache(capacity=2)
    for name in "ab":
        cache.put(name, entry())
    cache.get_one("a")
    cache.put("c", entry())
    assert len(cache) == 2
    assert [cache.get_one(name) is not None for name in "abc"] == [True, False, True]


def test_the_first_answer_stands() -> None:
    """The same key twice is one entry, the earlier one, and evicts nothing."""
    cache: MemoryCache[str] = MemoryCache(capacity=2)
    for name, value in [("a", -1.0), ("b", -1.0), ("b", -3.0)]:
        cache.put(name, entry(value))
    assert cache.get("ab") == {"a": entry(), "b": entry()}


def test_an_entry_never_changes() -> None:
    """Whoever gets an entry cannot spoil it for the next."""
    with pytest.raises(FrozenInstanceError):
        entry().prompt_tokens = 3  # type: ignore[misc]


async def test_memory_closes_without_ado() -> None:
    """A cache in memory has nothing to write and nothing to complain about."""
    cache: MemoryCache[bytes] = MemoryCache()
    await cache.close()
    assert cache.trouble is None
    assert cache.notes == ()


def test_a_digest_is_short_and_tells_contents_apart() -> None:
    """Sixteen bytes, the same for the same content in every process, another for another."""
    assert digest(b"a").hex() == "27c35e6e9373877f29e562464e46497e"
    assert digest(b"a") != digest(b"b")
    assert len(digest(b"x" * 10_000)) == 16
