"""`Server`: one request a score, a probe that finds what works, and a survey of everything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bdpl_async.errors import (
    ProviderUnavailable,
    RequestFailed,
    UsageError,
)
from bdpl_async.records import Request, Score, Text
from bdpl_async.scorer import Counting, Keyed, Probing, Recalling, Scorer
from bdpl_providers import Connection
from bdpl_providers.candidates import chat
from bdpl_providers.chat import ChatTopK
from bdpl_providers.completions import TokenIds, TopK
from bdpl_providers.decisions import Decisions
from bdpl_providers.fit import Bound
from bdpl_providers.said import Said
from bdpl_providers.vllm import from_connection
from bdpl_providers.wire import Readout
from tests.cutting import CutLine, Keeper, Opened, Sent, goes_on_everywhere
from tests.faults import Faults
from tests.faultserver import FaultServer, Manners
from tests.standin import LABELS, NO, REQUEST, YES, Ledger, StandIn, server, texts


class TestScore:
    async def test_one_request_and_its_numbers(self) -> None:
        """A score is one request for all texts; the numbers come back in the texts' order."""
        standin = StandIn(reverse=True)
        async with server(standin) as scorer:
            await scorer.probe(REQUEST, Ledger())
            standin.posts.clear()
            reply = await scorer.score(Request(texts("a", "b", "c"), LABELS))
        assert [score.logprobs for score in reply.scores if isinstance(score, Score)] == [
            (YES, NO)
        ] * 3
        assert [body["prompt"] for _, body in standin.posts] == [["a", "b", "c"]]
        assert reply.usage.completion_tokens == 3
        assert reply.quotas[0].remaining == 59

    async def test_never_again(self) -> None:
        """What fails is raised as it came, after one request."""
        standin = StandIn()
        scorer = server(standin)
        await scorer.probe(REQUEST, Ledger())
        standin.posts.clear()
        standin.fails["/completions"] = ProviderUnavailable("busy")
        with pytest.raises(ProviderUnavailable, match="busy"):
            await scorer.score(REQUEST)
        assert len(standin.posts) == 1

    async def test_empty_text(self) -> None:
        """A text with nothing before the mask fails alone, in its place, and is not sent."""
        standin = StandIn()
        scorer = server(standin)
        await scorer.probe(REQUEST, Ledger())
        standin.posts.clear()
        reply = await scorer.score(Request(texts("a", "  ", "c"), LABELS))
        assert [type(score) for score in reply.scores] == [Score, RequestFailed, Score]
        assert isinstance(failed := reply.scores[1], RequestFailed)
        assert failed.fate == "unsent"
        assert standin.posts[0][1]["prompt"] == ["a", "c"]
        assert reply.answered == 2
        only = await scorer.score(Request(texts(" "), LABELS))
        assert isinstance(only.scores[0], RequestFailed)
        assert len(standin.posts) == 1

    async def test_half_a_character(self) -> None:
        """A lone surrogate, which no UTF-8 holds, is replaced; the text is sent and has a key."""
        standin = StandIn()
        scorer = server(standin)
        await scorer.score(REQUEST)
        await scorer.score(Request(texts("caf\udce9 é"), LABELS))
        assert standin.posts[-1][1]["prompt"] == ["caf? é"]
        assert "caf? é".encode() in scorer.key(Text("caf\udce9 é"), LABELS)

    async def test_probes_by_itself_once(self) -> None:
        """Label words that nobody probed are probed by the first of many scores alone."""
        standin = StandIn()
        scorer = server(standin)
        await asyncio.gather(*(scorer.score(REQUEST) for _ in range(5)))
        assert len(standin.posts) == 3 + 5

    async def test_each_labels_their_own(self) -> None:
        """Two sets of label words are bound side by side."""
        scorer = server(StandIn())
        await scorer.score(REQUEST)
        other = await scorer.score(Request(REQUEST.texts, (" No", " Yes")))
        again = await scorer.score(REQUEST)
        assert [reply.scores[0].logprobs for reply in (other, again)] == [(NO, YES), (YES, NO)]  # type: ignore[union-attr]

    async def test_several_texts_for_a_chat(self) -> None:
        """A read-out of one text a request says so before anything is sent."""
        scorer = server(StandIn(), chat("m"))
        await scorer.probe(REQUEST, Ledger())
        with pytest.raises(UsageError, match="'chat' takes one text a request, not 2"):
            await scorer.score(REQUEST)

    async def test_opens_its_transport(self) -> None:
        """The transport is open as long as the scorer, also if the work in it fails."""
        standin = StandIn()
        scorer = server(standin)
        await scorer.__aenter__()
        assert (standin.opened, standin.closed) == (1, 0)
        await scorer.__aexit__(ZeroDivisionError, ZeroDivisionError(), None)
        assert standin.closed == 1

    def test_is_all_it_should_be(self) -> None:
        """It can be probed, counted and cached."""
        scorer: Scorer = server(StandIn())
        assert isinstance(scorer, Probing)
        assert isinstance(scorer, Counting)
        assert isinstance(scorer, Keyed)
        assert isinstance(scorer, Recalling)


class TestKeyAndCount:
    async def test_key(self) -> None:
        """The key is canonical JSON of all that the answer depends on, whatever the batch."""
        scorer = server(StandIn())
        with pytest.raises(UsageError, match="were not probed"):
            scorer.key(Text("a"), LABELS)
        await scorer.probe(REQUEST, Ledger())
        key = scorer.key(Text("a "), LABELS)
        spelled = orjson.loads(key)
        assert key == orjson.dumps(spelled, option=orjson.OPT_SORT_KEYS)
        assert spelled["base_url"] == "http://here/v1"
        assert spelled["labels"] == list(LABELS)
        assert spelled["body"]["prompt"] == ["a"]
        assert (spelled["dialect"], spelled["model"]) == ("vllm", "m")
        assert spelled["readout"] == "TokenIds(model='m', ids=(7, 8))"

    @pytest.mark.parametrize(
        "readout",
        [
            TokenIds("m", (7, 8)),
            TopK("m", LABELS, 5),
            ChatTopK("m", LABELS, system="Be brief."),
            Said("m", LABELS),
            Said("m", LABELS, chat=False),
            Decisions("m", LABELS),
        ],
        ids=lambda readout: f"{type(readout).__name__} {readout.path}",
    )
    @given(words=st.text(st.characters(exclude_categories=["Cs"])).map(lambda word: f"{word}."))
    def test_key_holds_the_body(self, readout: Readout, words: str) -> None:
        """A key is the same bytes as if its body were made for its text, whatever the read-out."""
        scorer = server(StandIn())
        scorer._bound[LABELS] = Bound(readout)
        scorer.key(Text("another"), LABELS)
        key = scorer.key(Text(words), LABELS)
        spelled = {**orjson.loads(key), "body": readout.body([words])}
        assert key == orjson.dumps(spelled, option=orjson.OPT_SORT_KEYS)

    async def test_bytes_bound_tokens(self) -> None:
        """Without a tokenizer, bytes and a margin bound the tokens; a chat's frame is added."""
        plain = server(StandIn())
        assert await plain.count(texts("abc ", "é")) == [3 + 8, 2 + 8]
        talk = server(StandIn(), chat("m", "Be brief.", "Yes or No?"))
        before = (await talk.count(texts("abc")))[0]
        await talk.probe(REQUEST, Ledger())
        after = (await talk.count(texts("abc")))[0]
        assert len("Be brief.abc\nYes or No?") < after <= before
        assert not talk.capabilities.exact

    async def test_counter(self) -> None:
        """A counter that the dialect brings counts instead."""

        class Words:
            async def count(self, strings: Sequence[str]) -> list[int]:
                return [len(string.split()) for string in strings]

        assert await server(StandIn(), counter=Words()).count(texts("a b c")) == [3]


ASKED = Request(
    texts("a longer prompt: fine work. It was", "a bore. It was"), (" terrible", " great")
)
KEY = "sk-0123456789-very-secret"


@dataclass
class Place:
    """A world for `goes_on_everywhere`: the fault server, spoken to over HTTP.

    Attributes:
        first: faults of the first scoring requests; `shuffled` is none.
        manners: of the server.
    """

    readout: str = "auto"
    first: tuple[str, ...] = ()
    manners: dict[str, Any] = field(default_factory=dict)

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[tuple[Opened, Sent]]:
        manners = Manners(faults=Faults(first=self.first), key=KEY, echo=True, **self.manners)
        async with FaultServer(manners) as served:
            told = Connection("fake", base_url=served.url, readout=self.readout, api_key_env="MINE")
            yield lambda: from_connection(told), lambda: served.books.requests


class TestGoingOn:
    @pytest.fixture(autouse=True)
    def keyring(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MINE", KEY)

    @pytest.mark.parametrize(
        ("place", "readout", "least"),
        [
            (Place(), "token-ids", 3),
            (Place(manners={"lists": False}), "token-ids", 5),
            (Place(manners={"ids": False}), "logprobs", 6),
            (Place(manners={"ids": False, "max_logprobs": 5}), "logprobs", 7),
            (Place("chat"), "chat", 2),
            (Place("chat", manners={"max_logprobs": 5}), "chat", 3),
            (Place(manners={"logprobs": False}), "text", 4),
            (Place(first=("shuffled", "400", "400", "400")), "logprobs", 6),
            (Place(first=("shuffled", "500", "500")), "logprobs", 5),
            (Place(first=("400",), manners={"tokenizes": False}), "logprobs", 4),
        ],
        ids=str,
    )
    async def test_nothing_is_paid_twice(self, place: Place, readout: str, least: int) -> None:
        """Cut anywhere, a probe goes on with what is missing, and finds what it would have."""
        probed = await goes_on_everywhere(place, ASKED)
        assert probed.found.readout == readout
        assert len(probed.pieces) >= least
        assert KEY.encode() not in b"".join([*probed.pieces, probed.record])

    async def test_cut_again_and_again(self) -> None:
        """Pieces of all that were cut add up: one exchange a life is enough."""
        pieces = Keeper()
        async with Place(first=("shuffled", "500", "500"))() as (opened, sent):
            for life in range(1, 5):
                async with opened() as scorer:
                    with pytest.raises(asyncio.CancelledError):
                        await scorer.recorded(ASKED, CutLine(1), earlier=[*pieces], keep=pieces)
                assert sent() == life == len(pieces)
            async with opened() as scorer:
                found, _ = await scorer.recorded(ASKED, CutLine(), earlier=pieces)
            assert (sent(), found.readout) == (5, "logprobs")
