"""Label words as token ids: pure resolution, and the ways to fetch encodings from a server."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bdpl_async.errors import LabelError, ProviderUnavailable
from bdpl_providers.labels import (
    LabelTokens,
    fetch_encodings,
    fetch_pieces,
    readable,
    resolve,
    tail_of,
)
from bdpl_providers.wire import Answer, Document
from tests.standin import Ledger, StandIn

STRINGS = ("Answer:", "Answer: Yes", "Answer: No")


def test_single_tokens() -> None:
    """A word that adds one token behind the tail is that token."""
    found = resolve("vllm/m", (" Yes", " No"), [1, 2], [[1, 2, 7], [1, 2, 8]])
    assert found.ids == (7, 8)
    assert found.warnings("vllm/m") == ()


def test_several_tokens() -> None:
    """A word of several tokens is read by its first one, with a warning that names them all."""
    found = resolve("vllm/m", (" hyponym", " No"), [1], [[1, 7, 9], [1, 8]])
    assert found.ids == (7, 8)
    (warning,) = found.warnings("vllm/m")
    assert "label word ' hyponym' is 2 tokens (ids 7, 9); only the first is read" in warning
    shown = LabelTokens(found.words, found.tokens, ((" hypo", "nym"), (" No",)))
    assert "(' hypo', 'nym')" in shown.warnings("vllm/m")[0]


def test_shared_first_token() -> None:
    """Two words with one first token cannot be told apart: both are named, with the fix."""
    with pytest.raises(
        LabelError, match=r"' greater' and ' great' share their first token \(7\) in vllm/m"
    ) as caught:
        resolve("vllm/m", (" greater", " great"), [1], [[1, 7, 9], [1, 7]])
    assert "' A', ' B'" in str(caught.value)
    assert "with a space" not in str(caught.value)
    with pytest.raises(LabelError, match="begin them with a space, as in ' great', or else choose"):
        resolve("vllm/m", ("great", "grim"), [1], [[1, 7, 9], [1, 7, 8]])


@pytest.mark.parametrize("whole", [[1, 9], [1, 2], [3, 2, 7], []])
def test_melting(whole: list[int]) -> None:
    """A word that changes the tokens before it, or adds none, is refused with the fix."""
    with pytest.raises(LabelError, match="'s' melts into the words before the mask"):
        resolve("vllm/m", ("s",), [1, 2], [whole])


@given(
    st.lists(st.integers(0, 50), max_size=5),
    st.lists(st.lists(st.integers(0, 50), min_size=1, max_size=3), min_size=1, max_size=5),
)
def test_resolution_is_the_first_added_token(tail: list[int], added: list[list[int]]) -> None:
    """Whatever the encodings: distinct first tokens are found, equal ones refused."""
    words = tuple(f" {index}" for index in range(len(added)))
    firsts = [ids[0] for ids in added]
    wholes = [tail + ids for ids in added]
    if len(set(firsts)) < len(firsts):
        with pytest.raises(LabelError):
            resolve("m", words, tail, wholes)
    else:
        assert list(resolve("m", words, tail, wholes).ids) == firsts


def test_tail() -> None:
    """The tail is of the shortest text, short, and begins at a word."""
    assert tail_of(["a long prompt It was", "It was"]) == "It was"
    tail = tail_of(["word " * 99 + "It was"])
    assert tail.startswith("word ")
    assert tail.endswith("It was")
    assert len(tail) <= 120
    assert len(tail_of(["x" * 500])) == 120


def test_readable() -> None:
    """A vocabulary's signs for a space become a space."""
    assert (readable("ĠYes"), readable("▁Yes")) == (" Yes", " Yes")


async def test_one_request() -> None:
    """A server that returns prompt ids tells all strings at once."""
    standin, ledger = StandIn(reverse=True), Ledger()
    assert await fetch_encodings(standin, "m", STRINGS, ledger) == [
        standin.encode(string) for string in STRINGS
    ]
    assert ledger.sent == [(3, "ok")]


@pytest.mark.parametrize("lists", ["ok", "500", "400", "first"])
async def test_one_by_one(lists: str) -> None:
    """Otherwise /tokenize tells them one by one, requests that hold no text for the model."""
    standin, ledger = StandIn(ids=False, lists=lists), Ledger()
    assert await fetch_encodings(standin, "m", STRINGS, ledger) == [
        standin.encode(string) for string in STRINGS
    ]
    assert ledger.sent[1:] == [(0, "ok")] * 3


@pytest.mark.parametrize("tokenizes", ["no", "forbidden"])
async def test_unknown(tokenizes: str) -> None:
    """Where neither works the reason is told; a path kept from this key ends nothing."""
    told = await fetch_encodings(StandIn(ids=False, tokenizes=tokenizes), "m", STRINGS, Ledger())
    assert isinstance(told, str)
    assert told.startswith("the server does not tell its token ids: 40")


@pytest.mark.parametrize("tokens", [None, [], "12", [1, "2"], [1, 2.0], [True], [-1]], ids=repr)
async def test_nonsense(tokens: object) -> None:
    """What is no list of ids is not taken for one."""

    class Odd(StandIn):
        async def post(self, path: str, body: Document, *, root: bool = False) -> Answer:
            choice = {"index": 0, "prompt_token_ids": tokens}
            return Answer({"choices": [choice, choice, None, 3], "tokens": tokens})

    assert isinstance(await fetch_encodings(Odd(), "m", STRINGS[:1], Ledger()), str)


async def test_a_server_that_is_down() -> None:
    """An error of the server itself passes."""
    standin = StandIn(fails={"/completions": ProviderUnavailable("down")})
    with pytest.raises(ProviderUnavailable):
        await fetch_encodings(standin, "m", STRINGS, Ledger())


async def test_pieces() -> None:
    """The tokens of split words are shown as text, by one request, if it agrees with the ids."""
    standin = StandIn(split={" hyponym": [" hypo", "nym"]})
    words = (" hyponym", " No")
    strings = ["A:", *("A:" + word for word in words)]
    tail, *wholes = map(standin.encode, strings)
    found = resolve("m", words, tail, wholes)
    ledger = Ledger()
    pieces = await fetch_pieces(standin, "m", found, "A:", ledger)
    assert pieces == ((" hypo", "nym"), (" No",))
    assert ledger.sent == [(0, "ok")]
    other = LabelTokens(words, ((98, 99), (5,)))
    assert await fetch_pieces(standin, "m", other, "A:", ledger) == ()
    assert await fetch_pieces(StandIn(tokenizes="no"), "m", found, "A:", ledger) == ()
