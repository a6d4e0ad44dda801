"""The rules of `bdpl_providers.tape`: a recorded probe plays back alike, and sends nothing."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bdpl_async.errors import (
    ProviderError,
    ProviderRefused,
    ProviderUnavailable,
    RequestFailed,
    ServerFault,
)
from bdpl_async.records import Billed, Usage
from bdpl_async.scorer import Capabilities, Line
from bdpl_providers.tape import Recording, Tape, Unrecorded
from bdpl_providers.wire import Answer, Document
from tests.cutting import CutLine, Full, Keeper

B = TypeVar("B", bound=Billed)


class Echo:
    """Answers with what it was asked, or raises; counts."""

    def __init__(self, fails: Exception | None = None) -> None:
        self.fails = fails
        self.sent = 0

    async def post(self, path: str, body: Document, *, root: bool = False) -> Answer:
        self.sent += 1
        if self.fails is not None:
            raise self.fails
        return Answer({"asked": [path, body, root], "usage": {"prompt_tokens": 3}}, Usage(3))

    async def get(self, path: str) -> Answer:
        return await self.post(path, {})


async def test_a_recording_answers_what_was_asked_before() -> None:
    """Through JSON and back, in any order, without the server."""
    echo = Echo()
    tape = Tape(echo)
    with tape.recording(recording := Recording()):
        first = await tape.post("/a", {"x": 1, "y": [2]})
        models = await tape.get("/models")
    kept = orjson.loads(orjson.dumps(recording.exchanges))
    with tape.playing(kept):
        assert await tape.get("/models") == models
        assert await tape.post("/a", {"y": [2], "x": 1}) == first
    assert echo.sent == 2


@pytest.mark.parametrize("error", [RequestFailed("too long"), ProviderRefused("403", hint="ask")])
async def test_an_error_plays_back_as_itself(error: Exception) -> None:
    """What was refused once leads the probe the same way again."""
    tape = Tape(Echo(error))
    with tape.recording(recording := Recording()), pytest.raises(type(error)):
        await tape.post("/a", {})
    record = orjson.loads(orjson.dumps(recording.exchanges))
    with tape.playing(record), pytest.raises(type(error)) as caught:
        await tape.post("/a", {})
    assert str(caught.value) == str(error)


async def test_what_may_pass_is_not_recorded() -> None:
    """A busy server is no finding: the tape does not say that it always is."""
    tape = Tape(Echo(ProviderUnavailable("busy")))
    with tape.recording(recording := Recording()), pytest.raises(ProviderUnavailable):
        await tape.post("/a", {})
    assert recording.exchanges == {}


@pytest.mark.parametrize("record", [{}, {"/models": 3}, {"/models": {"error": "KeyError"}}])
async def test_what_is_not_on_the_tape_is_said(record: Document) -> None:
    """A record of another question, or a damaged one, is never taken for an answer."""
    tape = Tape(Echo())
    with tape.playing(record), pytest.raises(Unrecorded):
        await tape.get("/models")


async def test_outside_of_both_everything_passes_through() -> None:
    """The hot path is the inner transport's."""
    echo = Echo()
    tape = Tape(echo)
    assert (await tape.post("/a", {"x": 1}, root=True)).document["asked"] == ["/a", {"x": 1}, True]
    assert echo.sent == 1


class Script:
    """Answers as told, one entry a request: an error, or a document."""

    def __init__(self, *script: ProviderError | dict[str, Any]) -> None:
        self.script = list(script)

    async def post(self, path: str, body: Document, *, root: bool = False) -> Answer:
        told = self.script.pop(0)
        if isinstance(told, ProviderError):
            raise told
        return Answer(told)

    async def get(self, path: str) -> Answer:
        return await self.post(path, {})


class Stubborn(CutLine):
    """A line that tries three times where that may help, and books what it hears."""

    def __init__(self) -> None:
        super().__init__()
        self.booked: list[str] = []

    async def __call__(self, exchange: Callable[[], Awaitable[B]], texts: Sequence[str]) -> B:
        for last in (False, False, True):
            try:
                answer = await super().__call__(exchange, texts)
            except ProviderError as error:
                self.booked.append(type(error).__name__)
                if last or not error.retryable:
                    raise
            else:
                self.booked.append("answer")
                return answer
        raise AssertionError


async def twice(exchange: Callable[[], Awaitable[B]], texts: Sequence[str]) -> B:
    """A line that tries once more after a fault."""
    try:
        return await exchange()
    except ServerFault:
        return await exchange()


class Asking:
    """A probe that asks for these paths in turn, hears what came, and gives up if all failed."""

    def __init__(self, tape: Tape, *paths: str) -> None:
        self.tape = tape
        self.paths = paths
        self.heard: list[object] = []

    async def __call__(self, line: Line) -> Capabilities:
        self.heard.clear()
        for path in self.paths:
            try:
                answer = await line(lambda path=path: self.tape.get(path), ["a text"])  # type: ignore[misc]
                self.heard.append(answer.document)
            except (RequestFailed, ServerFault) as error:
                self.heard.append(str(error))
        if all(isinstance(heard, str) for heard in self.heard):
            raise ProviderRefused("no usable read-out")
        return Capabilities(notes=tuple(map(str, self.heard)))


def piece(asked: str, **brought: object) -> bytes:
    return orjson.dumps({"asked": asked, "brought": brought})


KEPT = piece("/b", document={"b": 1})


async def test_a_fault_is_kept_when_the_line_tries_no_more() -> None:
    """A fault that was gone the next time is no finding; one that stayed plays as one error."""
    passing, lasting = ServerFault("500: once"), ServerFault("500: always")
    tape = Tape(Script(passing, {"a": 1}, lasting, lasting, lasting))
    line, pieces = Stubborn(), Keeper()
    asking = Asking(tape, "/a", "/b")
    found, record = await tape.recorded(asking, line, (), pieces)
    assert asking.heard == [{"a": 1}, "500: always"]
    assert line.booked == ["ServerFault", "answer", *["ServerFault"] * 3]
    assert [orjson.loads(one)["asked"] for one in pieces] == ["/a", "/b"]
    again = Tape(Script())
    asking, line = Asking(again, "/a", "/b"), Stubborn()
    assert await again.recorded(asking, line, pieces) == (found, record)
    assert line.booked == []


async def test_a_cut_between_two_tries_leaves_no_fault_behind() -> None:
    """Whoever goes on tries from the first: the fault may be gone by now."""
    tape, pieces = Tape(Script(ServerFault("500"), ProviderUnavailable("down"))), Keeper()
    with pytest.raises(ProviderUnavailable):
        await tape.recorded(Asking(tape, "/a"), twice, (), pieces)
    assert pieces == []


async def test_what_keeping_raises_ends_the_probe_after_the_answer_is_counted() -> None:
    """A full disk is no answer that was lost: the line books it, asks no more, and all ends."""
    for told, booked in (({"a": 1}, "answer"), (RequestFailed("no"), "RequestFailed")):
        tape, line, pieces = Tape(Script(told, {"b": 1})), Stubborn(), Keeper(1)
        with pytest.raises(Full):
            await tape.recorded(Asking(tape, "/a", "/b"), line, (), pieces)
        assert line.booked == [booked]


async def test_a_disk_that_takes_too_long_is_no_server_that_does() -> None:
    """Keeping may time out; nothing is sent again for that."""

    def slow(piece: bytes) -> None:
        raise TimeoutError

    tape, line = Tape(Script({"a": 1}, {"a": 2})), Stubborn()
    with pytest.raises(TimeoutError):
        await tape.recorded(Asking(tape, "/a"), line, (), slow)
    assert line.booked == ["answer"]


async def test_the_same_asked_twice_is_two_exchanges() -> None:
    """Each answer plays once, in its order; what was not asked a second time is sent."""
    tape, pieces = Tape(Script({"n": 1}, {"n": 2})), Keeper()
    found, record = await tape.recorded(Asking(tape, "/a", "/a"), Stubborn(), (), pieces)
    for done in range(3):
        rest = Tape(Script(*[{"n": 1}, {"n": 2}][done:]))
        asking, line = Asking(rest, "/a", "/a"), Stubborn()
        assert await rest.recorded(asking, line, pieces[:done]) == (found, record)
        assert asking.heard == [{"n": 1}, {"n": 2}]
        assert line.sent == 2 - done


async def test_a_refusal_that_was_the_end_is_asked_anew() -> None:
    """A probe that came to its end was not cut off: who mended the server is not held to it."""
    broken = Tape(Script(RequestFailed("400"), ServerFault("500")))
    pieces = Keeper()
    with pytest.raises(ProviderRefused):
        await broken.recorded(Asking(broken, "/a", "/b"), CutLine(), (), pieces)
    mended = Tape(Script({"a": 1}, {"b": 1}))
    line = CutLine(1)
    with pytest.raises(asyncio.CancelledError):  # cut again, after one exchange
        await mended.recorded(Asking(mended, "/a", "/b"), line, [*pieces], pieces)
    asking, line = Asking(mended, "/a", "/b"), CutLine()
    await mended.recorded(asking, line, [*pieces], pieces)
    assert asking.heard == [{"a": 1}, {"b": 1}]
    assert line.sent == 1


async def test_a_refusal_by_something_new_is_one() -> None:
    """What was sent just now is no old news; the same goes for a probe that asks nothing."""
    tape, line = Tape(Script(ServerFault("500"))), CutLine()
    with pytest.raises(ProviderRefused):
        await tape.recorded(
            Asking(tape, "/a", "/b"),
            line,
            [piece("/a", error="RequestFailed", message="", hint="")],
        )
    assert line.sent == 1
    with pytest.raises(ProviderRefused):
        await tape.recorded(Asking(tape), line, [KEPT])


DAMAGED = [
    b"",
    b"\xff\x00",
    KEPT[:-9],
    b"[" * 5000,
    b"null",
    b"[]",
    b"{}",
    b'{"over":1}',
    b'{"asked":"/a"}',
    b'{"asked":7,"brought":{"document":{}}}',
    b'{"asked":["/a"],"brought":{"document":{}}}',
    b'{"asked":"/a","brought":[]}',
    piece("/a"),
    piece("/a", document=[1]),
    piece("/a", spelled="{"),
    piece("/a", spelled="[" * 100_000),
    piece("/a", spelled="3"),
    piece("/a", error="SystemExit", message="", hint=None),
    piece("/a", error="RequestFailed", message=3, hint=None),
    piece("/a", error="RequestFailed"),
]


@pytest.mark.parametrize("damaged", DAMAGED)
async def test_a_damaged_piece_is_left_out(damaged: bytes) -> None:
    """Its exchange is sent again; the pieces beside it count."""
    tape, line = Tape(Script({"a": 1})), CutLine()
    asking = Asking(tape, "/a", "/b")
    _, record = await tape.recorded(asking, line, [damaged, KEPT, damaged])
    assert asking.heard == [{"a": 1}, {"b": 1}]
    assert line.sent == 1
    assert list(orjson.loads(record)) == ["/a", "/b"]
    whole, line = piece("/a", document={"a": 1}), CutLine()
    await tape.recorded(asking, line, [damaged, whole, KEPT])
    assert line.sent == 0


@given(st.binary(max_size=80), st.integers(0, len(KEPT)))
async def test_no_bytes_raise_anything(noise: bytes, place: int) -> None:
    """Whatever a disk makes of a piece, the probe goes on."""
    Recording([noise, KEPT[:place] + noise + KEPT[place:], KEPT[:place]])


@pytest.mark.parametrize(
    "document",
    [
        {"n": math.nan},
        {"n": [math.inf, 10**30]},
        {"half": "\ud83d"},
        {"text": "e\u0301 \u2028 \x00"},
        {"n": [0.1, 1, 1.0, True, None, 2**63]},
    ],
)
async def test_an_answer_is_kept_as_it_is(document: dict[str, Any]) -> None:
    """Also what JSON has no words for and Python servers send: the answer was paid for."""
    tape, pieces = Tape(Script(document)), Keeper()
    asking = Asking(tape, "/a")
    found, record = await tape.recorded(asking, CutLine(), (), pieces)
    again = Asking(Tape(Script()), "/a")
    assert await again.tape.recorded(again, CutLine(0), pieces) == (found, record)
    assert repr(again.heard) == repr(asking.heard) == repr([document])
    with again.tape.playing(orjson.loads(record)):
        assert repr((await again.tape.get("/a")).document) == repr(document)
    assert pieces[0].decode()


@pytest.mark.parametrize("depth", [*range(240, 260), 900])
async def test_an_answer_too_deep_to_keep_ends_no_probe(depth: int) -> None:
    """A hostile answer is used, and sent for again where it cannot be kept."""
    nested: dict[str, Any] = {}
    for _ in range(depth):
        nested = {"": nested}
    tape, pieces = Tape(Script(nested)), Keeper()
    asking = Asking(tape, "/a")
    _, record = await tape.recorded(asking, CutLine(), (), pieces)
    assert len(asking.heard) == 1
    assert list(orjson.loads(record)) == ["/a"]
    again = Asking(Tape(Script(nested)), "/a")
    await again.tape.recorded(again, CutLine(1 - len(pieces)), pieces)
