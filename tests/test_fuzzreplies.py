"""Servers that answer anything: a score or an error of ours, soon, and no absurd usage counted."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from multidict import CIMultiDict

from bdpl_async.errors import BdplError, ProviderError, RequestFailed
from bdpl_async.records import Request
from bdpl_providers.candidates import Candidate
from bdpl_providers.chat import ChatTopK
from bdpl_providers.completions import TokenIds, TopK
from bdpl_providers.decisions import Decisions
from bdpl_providers.replies import Peer, answer
from bdpl_providers.said import Said, label_said
from bdpl_providers.wire import Answer, Document, Readout
from tests.documents import broken, chat, completion, proper
from tests.hostile import SPELLS, TEXTS, examples, mutated, obeyed
from tests.standin import ALL, LABELS, REQUEST, Ledger, StandIn, server, texts

Json = dict[str, Any]
KEY: Final = "sk-verysecretkey0123456789"
PEER: Final = Peer("vllm/m", (KEY,))
SOON: Final = 20.0  # seconds for one reply, on a machine that is busy; what hangs takes hours
DEEP: Final = 900  # levels that a parser still takes
PIECES: Final = st.sampled_from(
    [
        *(b"NaN", b"-Infinity", b"1e400", b"-1e400", b"9" * 400, b"-0", b"0.1", b"null", b"true"),
        *(b'"', b"\\", b"\\ud800", b"\\u0000", b"{", b"}", b"[", b"]", b",", b":", b" "),
        *(b'"index":0,', b'"index":0,"index":1,', b'"choices":[],', b'"error":"x",'),
        *(b"[" * DEEP + b"]" * DEEP, b'{"a":' * DEEP + b"1" + b"}" * DEEP, b"[" * 100_000),
        *(b"\xff", b"\0", b"\xed\xa0\x80", b"\xef\xbb\xbf"),
        *(json.dumps(spell).encode() for spell in SPELLS),
        *(KEY.encode(), b"<html><title>", b"data: {"),
    ]
) | st.binary(max_size=4)
TOP: Final = {" Yes": -0.5, " No": -1.2, " The": -3.0, "token_id:1": -0.5, "token_id:2": -1.2}
USAGE: Final = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
DECIDED: Final[Json] = {
    "answers": [
        {
            "name": "text-0",
            "type": "choice",
            "probabilities": [
                {"value": "Yes", "probability": 0.7},
                {"value": "No", "probability": 0.3},
            ],
        }
    ],
    "usage": {"input_tokens": 9, "output_tokens": 1},
}
GOOD: Final[tuple[tuple[Readout, Json], ...]] = (
    (TokenIds("m", (1, 2)), {**completion(TOP), "usage": USAGE}),
    (TopK("m", LABELS, 20), {**completion(TOP), "usage": USAGE}),
    (TopK("m", LABELS, 20, ids=(1, 2)), {**completion(TOP), "usage": USAGE}),
    (ChatTopK("m", LABELS), {**chat(TOP), "usage": USAGE}),
    (Said("m", LABELS), {**chat(TOP, "Yes."), "usage": USAGE}),
    (Said("m", LABELS, chat=False), {**completion(TOP), "usage": USAGE}),
    (Decisions("m", LABELS), DECIDED),
)


def judged(status: int, raw: bytes, headers: dict[str, str]) -> Answer:
    """What the client makes of a reply."""
    named = CIMultiDict(headers)
    return answer(status, named, raw, peer=PEER, asked="POST /x", clock=lambda: 1.8e9)


def sound(error: BdplError) -> None:
    """The message is short, of one line or two, without control characters and without the key."""
    told = str(error)
    assert told
    assert error.retry_after is None or 0 <= error.retry_after < 1e9
    assert len(told) < 1500
    assert not obeyed(told)
    assert KEY not in told


def quiet(error: BdplError) -> None:
    """The message, perhaps of several findings, has no control characters and not the key."""
    assert not obeyed(str(error)), str(error)
    assert KEY not in str(error)


def read(readout: Readout, status: int, raw: bytes, headers: dict[str, str]) -> None:
    """One reply to one text is one outcome, and the usage that it reports is possible."""
    began = time.monotonic()
    try:
        reply = judged(status, PEER.cleared(raw), headers)
    except ProviderError as error:
        sound(error)
    else:
        assert 0 <= reply.usage.prompt_tokens <= 10**9
        assert 0 <= reply.usage.completion_tokens <= 10**9
        (outcome,) = readout.scores(reply.document, 1)
        assert proper(outcome)
        if isinstance(outcome, BdplError):
            sound(outcome)
    assert time.monotonic() - began < SOON


@examples(250)
@given(place=st.integers(0, len(GOOD) - 1), data=st.data())
def test_any_bytes(place: int, data: st.DataObject) -> None:
    """Bytes worked into a good reply of each kind bring a score or an error, of any status."""
    readout, document = GOOD[place]
    raw = data.draw(mutated(json.dumps(document).encode(), PIECES))
    status = data.draw(st.sampled_from([200, 200, 200, 206, 301, 400, 404, 429, 500, 503]))
    read(readout, status, raw, {})


@examples(200)
@given(place=st.integers(0, len(GOOD) - 1), data=st.data())
def test_any_type_anywhere(place: int, data: st.DataObject) -> None:
    """Any JSON in place of any part, NaN and numbers beyond JSON included, as it travels."""
    readout, document = GOOD[place]
    read(readout, 200, json.dumps(data.draw(broken(document))).encode(), {})


HERE: Final = "nested"
COMPLAINTS: Final[tuple[object, ...]] = (
    {"detail": [{"loc": ["body", HERE], "msg": "no"}]},
    {"detail": [{"loc": [HERE] * 8, "msg": "no"}]},
    {"error": {"message": HERE, "code": HERE}},
    {"error": {"message": "no", "code": "model " * 1_000_000}},
    {"error": {"message": "model " * 1_000_000, "type": "x" * 5_000_000}},
    {"error": "".join(SPELLS)},
    {"error": {"message": "a" * 300 + KEY}},
    {"error": {"status": 10**400, "code": "429"}},
    [{"error": HERE}],
)


@pytest.mark.parametrize("place", range(len(COMPLAINTS)))
@pytest.mark.parametrize("status", [200, 404, 429])
def test_long_and_deep_complaints(place: int, status: int) -> None:
    """A complaint of a million words or a thousand levels is told in a line, and soon."""
    raw = json.dumps(COMPLAINTS[place]).encode()
    for levels in (DEEP, 1000, 1020, 100_000) if HERE.encode() in raw else (0,):
        read(GOOD[0][0], status, raw.replace(b'"nested"', b"[" * levels + b"]" * levels), {})


@examples(100)
@given(
    name=st.sampled_from(
        ["retry-after", "retry-after-ms", "x-ratelimit-remaining-requests", "content-encoding"]
    ),
    value=TEXTS | st.sampled_from(["1e400", "nan", "-1", "9" * 400, "gzip", "deflate", "br"]),
    raw=st.binary(max_size=60),
)
def test_any_header(name: str, value: str, raw: bytes) -> None:
    """Headers of any kind bring an error with a possible wait."""
    try:
        judged(429, raw, {name: value})
    except ProviderError as error:
        sound(error)


MANY: Final = 100_000
LONG: Final = {f" {'w' * (n % 7)}{n}": -12.0 for n in range(MANY)}
MANY_LABELS: Final = tuple(f" label{n}" for n in range(20))
LISTS: Final[dict[str, tuple[Readout, Json]]] = {
    "ids": (TokenIds("m", (1, 2)), completion({**LONG, **TOP})),
    "tokens": (TopK("m", LABELS, 20), completion({**LONG, **TOP})),
    "pieces": (TopK("m", MANY_LABELS, 20), completion({f" la{n}": -9.0 for n in range(MANY)})),
    "begun": (TopK("m", MANY_LABELS, 20), completion({f" label{n}x": -9.0 for n in range(MANY)})),
    "chat": (ChatTopK("m", LABELS), chat({**LONG, **TOP})),
    "choices": (
        TopK("m", LABELS, 20),
        {"choices": [*completion(TOP)["choices"], *[{"index": n} for n in range(MANY)]]},  # type: ignore[misc]
    ),
    "answers": (Decisions("m", LABELS), {"answers": DECIDED["answers"] * MANY}),
    "shares": (
        Decisions("m", LABELS),
        {
            "answers": [
                {"probabilities": [{"value": f"{n}", "probability": 0} for n in range(MANY)]}
            ]
        },
    ),
    "said": (Said("m", LABELS), chat(TOP, "x Yes " + "Yes " * 4 * MANY)),
    "spaces": (Said("m", LABELS), chat(TOP, "x no" + " " * 4 * MANY + "Yes")),
    "signs": (Said("m", LABELS), chat(TOP, "x " + "not . " * MANY + "Yes")),
}


@pytest.mark.parametrize("kind", LISTS)
def test_endless_lists_and_texts(kind: str) -> None:
    """A hundred thousand entries, choices or words are read or refused within seconds."""
    readout, document = LISTS[kind]
    read(readout, 200, json.dumps(document).encode(), {})


@examples(150)
@given(answer_=TEXTS, labels=st.lists(TEXTS.filter(str.strip), min_size=2, max_size=4))
@example(answer_="Yes", labels=["Yes", "yes"])
@example(answer_="(.*", labels=["(.*", "[a-"])
def test_any_answer_in_words(answer_: str, labels: list[str]) -> None:
    """Whatever a model says, and whatever the label words are, it is one of them or none."""
    said = label_said(answer_, labels)
    assert said is None or 0 <= said < len(labels)


# A whole probe


@dataclass
class Liar(StandIn):
    """A server whose replies are spoilt on their way, by `spoil`, from the n-th on."""

    spoil: Callable[[int, Json], bytes] = lambda number, document: json.dumps(document).encode()
    said: int = 0
    told: list[BdplError] = field(default_factory=list)

    async def get(self, path: str) -> Answer:
        return self._spoilt(await super().get(path))

    async def post(self, path: str, body: Document, *, root: bool = False) -> Answer:
        return self._spoilt(await super().post(path, body, root=root))

    def _spoilt(self, found: Answer) -> Answer:
        self.said += 1
        assert self.said < 60, "it asks without end"
        usage = {"prompt_tokens": found.usage.prompt_tokens, "completion_tokens": 1}
        raw = self.spoil(self.said, {**found.document, "usage": usage})
        return judged(200, raw, {})


@examples(120)
@given(data=st.data(), heard=st.integers(0, 5), every=st.booleans())
def test_a_probe_of_a_liar(data: st.DataObject, heard: int, every: bool) -> None:
    """A probe, a survey and a score end in what was found or in an error of ours."""

    def spoil(number: int, document: Json) -> bytes:
        if number <= heard or not (every or number == heard + 1):
            return json.dumps(document).encode()
        if data.draw(st.booleans()):
            return data.draw(mutated(json.dumps(document).encode(), PIECES))
        return json.dumps(data.draw(broken(document))).encode()

    def asked(*candidates: Candidate) -> None:
        asyncio.run(_asked(Liar(spoil=spoil), candidates))

    asked(*data.draw(st.sampled_from([ALL, ALL[:1], ALL[1:2], ALL[2:3], ALL[3:4]])))


async def _asked(liar: Liar, candidates: tuple[Candidate, ...]) -> None:
    async with server(liar, *candidates) as scorer:
        try:
            found = await scorer.probe(REQUEST, Ledger())
            assert not any(obeyed(note) for note in found.notes), found.notes
            assert found.batch >= 1
            reply = await scorer.score(Request(texts("a b"), LABELS))
            assert all(map(proper, reply.scores)) or isinstance(reply.scores[0], RequestFailed)
            assert len(reply.scores) == 1
        except BdplError as error:
            quiet(error)
        try:
            survey = await scorer.survey(REQUEST, Ledger())
            assert len(survey.models) < 1000
        except BdplError as error:
            quiet(error)
