"""The rules of `bdpl_async.cache`."""

from __future__ import annotations

import pytest

from bdpl_async.cache import Key, MemoryCache
from bdpl_async.records import Score, Text

LABELS = (" bad", " good")


def key(before: str, after: str = "", labels: tuple[str, ...] = LABELS) -> Key:
    return Text(before, after), labels


def test_what_was_put_is_got() -> None:
    """A key gives back its score; a key never put gives nothing."""
    cache = MemoryCache()
    score = Score((-1.0, -2.0))
    cache.put(key("a"), score)
    assert cache.get(key("a")) == score
    assert cache.get(key("b")) is None


@pytest.mark.parametrize(
    "other", [key("a", " ."), key("a ."), key("a", labels=(" good", " bad")), key("a", labels=())]
)
def test_a_key_is_the_whole_question(other: Key) -> None:
    """Text on either side of the mask, the labels and their order tell questions apart."""
    cache = MemoryCache()
    cache.put(key("a"), Score((-1.0, -2.0)))
    assert cache.get(other) is None


def test_the_least_recently_used_go_first() -> None:
    """The size stays bounded, and reading a score keeps it."""
    cache = MemoryCache(capacity=2)
    for name in "ab":
        cache.put(key(name), Score((-1.0,)))
    cache.get(key("a"))
    cache.put(key("c"), Score((-1.0,)))
    assert len(cache) == 2
    assert [cache.get(key(name)) is not None for name in "abc"] == [True, False, True]


def test_putting_again_takes_no_room() -> None:
    """The same key twice is one score, the later one, and evicts nothing."""
    cache = MemoryCache(capacity=2)
    cache.put(key("a"), Score((-1.0,)))
    cache.put(key("b"), Score((-1.0,)))
    cache.put(key("b"), Score((-2.0,)))
    assert cache.get(key("b")) == Score((-2.0,))
    assert cache.get(key("a")) is not None
