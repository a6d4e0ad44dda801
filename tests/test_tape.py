"""The rules of `bdpl_providers.tape`: a recorded probe plays back alike, and sends nothing."""

from __future__ import annotations

import orjson
import pytest

from bdpl_async.errors import ProviderRefused, ProviderUnavailable, RequestFailed
from bdpl_async.records import Usage
from bdpl_providers.tape import Tape, Unrecorded
from bdpl_providers.wire import Answer, Document


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
    with tape.recording() as record:
        first = await tape.post("/a", {"x": 1, "y": [2]})
        models = await tape.get("/models")
    kept = orjson.loads(orjson.dumps(record))
    with tape.playing(kept):
        assert await tape.get("/models") == models
        assert await tape.post("/a", {"y": [2], "x": 1}) == first
    assert echo.sent == 2


@pytest.mark.parametrize("error", [RequestFailed("too long"), ProviderRefused("403", hint="ask")])
async def test_an_error_plays_back_as_itself(error: Exception) -> None:
    """What was refused once leads the probe the same way again."""
    tape = Tape(Echo(error))
    with tape.recording() as record, pytest.raises(type(error)):
        await tape.post("/a", {})
    with tape.playing(orjson.loads(orjson.dumps(record))), pytest.raises(type(error)) as caught:
        await tape.post("/a", {})
    assert str(caught.value) == str(error)


async def test_what_may_pass_is_not_recorded() -> None:
    """A busy server is no finding: the tape does not say that it always is."""
    tape = Tape(Echo(ProviderUnavailable("busy")))
    with tape.recording() as record, pytest.raises(ProviderUnavailable):
        await tape.post("/a", {})
    assert record == {}


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
