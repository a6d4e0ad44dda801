"""The rules of `bdpl_async.shelf`: one scorer's answers, found again by what they depend on."""

from __future__ import annotations

from bdpl_async.caching.cache import Cache, Entry, MemoryCache, digest
from bdpl_async.records import Reply, Request, Score, Text
from bdpl_async.scorer import Keyed, Scorer
from bdpl_async.shelf import Shelf

LABELS = (" bad", " good")
ENTRY = Entry(Score((-1.0, -2.0)), 7, 1)


class Secretive:
    """A scorer that does not say what its answers depend on."""

    name = "mine/secretive"

    async def score(self, request: Request) -> Reply:
        return Reply([ENTRY.score for _ in request.texts])


class Open(Secretive):
    """One that does: on the text in small letters, and on the label words."""

    def __init__(self) -> None:
        self.asked = 0

    def key(self, text: Text, labels: tuple[str, ...]) -> bytes:
        self.asked += 1
        return f"{text.before.lower()} {labels}".encode()


def shelf(
    cache: Cache | None, scorer: Scorer | None = None, labels: tuple[str, ...] = LABELS
) -> Shelf:
    return Shelf(scorer or Open(), labels, cache)


def texts(*words: str) -> list[Text]:
    return [Text(word) for word in words]


async def test_what_was_put_is_found() -> None:
    """By a later run with the same scorer, and only that."""
    cache: Cache = MemoryCache()
    shelf(cache).put({Text("one"): ENTRY})
    assert (await shelf(cache).find(texts("none", "one", "two")))[0] == {Text("one"): ENTRY}


def test_the_cache_sees_digests_only() -> None:
    """What an answer depends on is not readable there."""
    cache: MemoryCache[bytes] = MemoryCache()
    shelf(cache).put({Text("one"): ENTRY})
    assert cache.get_one(digest(f"one {LABELS}".encode())) == ENTRY
    assert len(cache) == 1


async def test_other_label_words_are_another_question() -> None:
    """The label words stand in every key."""
    cache: Cache = MemoryCache()
    shelf(cache).put({Text("one"): ENTRY})
    assert (await shelf(cache, labels=(" no", " yes")).find(texts("one")))[0] == {}


async def test_texts_with_one_key_have_one_answer() -> None:
    """Where the scorer says that two texts are the same to it, an entry answers either."""
    cache: Cache = MemoryCache()
    shelf(cache).put({Text("one"): ENTRY})
    assert (await shelf(cache).find(texts("ONE")))[0] == {Text("ONE"): ENTRY}
    assert (await shelf(cache).find(texts("one", "ONE")))[0] == dict.fromkeys(
        texts("one", "ONE"), ENTRY
    )


async def test_a_scorer_that_says_nothing_has_no_shelf() -> None:
    """Its answers are kept nowhere, whatever cache there is."""
    cache: MemoryCache[bytes] = MemoryCache()
    bare = shelf(cache, Secretive())
    assert not isinstance(Secretive(), Keyed)
    bare.put({Text("one"): ENTRY})
    bare.forget(texts("one"))
    assert bare.cache is None
    assert (len(cache), (await bare.find(texts("one")))[0]) == (0, {})


async def test_without_a_cache_nobody_asks_for_keys() -> None:
    """A key costs time."""
    scorer = Open()
    bare = shelf(None, scorer)
    bare.put({Text("one"): ENTRY})
    assert (await bare.find(texts("one")))[0] == {}
    assert scorer.asked == 0


async def test_a_key_is_made_once_while_a_text_is_asked() -> None:
    """Finding and putting share it; once the text is forgotten it is made anew, and the same."""
    scorer, cache = Open(), MemoryCache[bytes]()
    held = shelf(cache, scorer)
    await held.find(texts("one", "two"))
    held.put({Text("one"): ENTRY})
    assert scorer.asked == 2
    held.forget(texts("one", "two", "never asked"))
    held.put({Text("one"): ENTRY})
    assert scorer.asked == 3
    assert len(cache) == 1
