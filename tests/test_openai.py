"""OpenAI's models: each is asked in its own manner, by the best read-out that it really has."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

import pytest
from aiohttp import web

import bdpl_providers.tokens
from bdpl_async.errors import ConfigError, ProviderRefused, RequestFailed
from bdpl_async.records import Billed, Price, Request, Score, Text
from bdpl_async.scorer import Counting, Keyed, Probing, Scorer
from bdpl_providers import Connection
from bdpl_providers.adapter import Relearned
from bdpl_providers.manner import ROOM
from bdpl_providers.openai import HOME, OpenAI, from_connection
from bdpl_providers.replies import Peer, answer
from bdpl_providers.wire import Answer, Document
from tests.cutting import CutLine, Keeper, Opened, Sent, goes_on_everywhere

SECRET = "sk-test-0123456789-very-secret"  # noqa: S105
LABELS = (" terrible", " great")
TEXT = Text("a film review: fine work. It was ")
REQUEST = Request((TEXT, Text("a film review: a bore. It was ")), LABELS)
AUTUMN = datetime(2026, 11, 1, tzinfo=UTC)
B = TypeVar("B", bound=Billed)


@pytest.fixture(autouse=True)
def no_vocabulary(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests fetch nothing: every token count is a bound by bytes."""
    monkeypatch.setattr(bdpl_providers.tokens, "load_vocabulary", lambda model: None)


@dataclass
class Model:
    """A stand-in for one of OpenAI's models, as strict as they are."""

    limit_key: str = "max_tokens"
    least: int = 1
    efforts: tuple[str, ...] = ()
    logprobs: bool | str = True
    depth: int = 20
    chats: bool = True
    decides: bool = False
    temperature: bool = True
    seen: list[tuple[str, Document]] = field(default_factory=list)

    @property
    def paths(self) -> list[str]:
        return [path for path, _ in self.seen]

    def reply(self, path: str, body: Mapping[str, Any]) -> tuple[int, dict[str, object]]:
        self.seen.append((path, body))
        if path == "/decisions" and self.decides:
            return 200, self.decided(body)
        if path == "/chat/completions" and self.chats:
            refusal = self.refusal(body)
            return refusal or (200, self.said(body))
        return 404, {"error": {"message": "This model is not supported here.", "param": "model"}}

    def refusal(self, body: Mapping[str, Any]) -> tuple[int, dict[str, object]] | None:
        effort = body.get("reasoning_effort")
        (given,) = [key for key in ("max_tokens", "max_completion_tokens") if key in body]
        if given != self.limit_key:
            words = f"Unsupported parameter: '{given}' is not supported with this model."
        elif effort and not self.efforts:
            words = "Unrecognized request argument supplied: reasoning_effort"
        elif effort and effort not in self.efforts:
            offered = ", ".join(f"'{e}'" for e in self.efforts)
            words = (
                f"Unsupported value: 'reasoning_effort' does not support '{effort}' with this "
                f"model. Supported values are: {offered}."
            )
        elif "temperature" in body and not self.temperature:
            words = "Unsupported value: 'temperature' does not support 0 with this model."
        elif "logprobs" in body and self.logprobs == "forbidden":
            words = "You are not allowed to request logprobs from this model"
            return 403, {"error": {"message": words}}
        elif "logprobs" in body and not (self.logprobs and self.quiet(effort)):
            words = "Unsupported parameter: 'logprobs' is not supported with this model."
        elif body.get("top_logprobs", 0) > self.depth:
            words = f"Invalid 'top_logprobs': must be less than or equal to {self.depth}."
        elif body[given] < self.least:
            words = "Could not finish the message because max_tokens was reached."
        else:
            return None
        return 400, {"error": {"message": words, "type": "invalid_request_error"}}

    def quiet(self, effort: object) -> bool:
        return not self.efforts or effort == "none"

    def said(self, body: Mapping[str, Any]) -> dict[str, object]:
        share = 0.8 if "bore" not in body["messages"][-1]["content"] else 0.2
        tops = [("great", share), ("terrible", 0.95 - share), ("good", 0.04), ("a", 0.01)]
        listed = [{"token": token, "logprob": math.log(p)} for token, p in tops]
        choice = {"index": 0, "message": {"role": "assistant", "content": "great"}}
        if "logprobs" in body:
            choice["logprobs"] = {"content": [{"token": "great", "top_logprobs": listed}]}
        usage = {"prompt_tokens": 30, "completion_tokens": 1, "total_tokens": 31}
        return {"choices": [choice], "usage": usage}

    def decided(self, body: Mapping[str, Any]) -> dict[str, object]:
        answers = [
            {
                "type": "choice",
                "name": question["name"],
                "choice": "great",
                "confidence": 0.7,
                "probabilities": [
                    {"value": "great", "probability": 0.7},
                    {"value": "terrible", "probability": 0.3},
                ],
            }
            for question in body["questions"]
        ]
        usage = {"input_tokens": 20 * len(answers), "output_tokens": 0, "total_tokens": 20}
        return {"answers": answers, "model": body["model"], "usage": usage}


@dataclass
class Wire:
    """A transport that asks a `Model` in this process; errors are read as from HTTP."""

    model: Model

    async def post(self, path: str, body: Document, *, root: bool = False) -> Answer:
        assert not root
        status, document = self.model.reply(path, json.loads(json.dumps(body)))
        raw = json.dumps(document).encode()
        peer = Peer("openai/x", (SECRET,))
        return answer(status, {}, raw, peer=peer, asked=f"POST {path}", clock=lambda: 0.0)

    async def get(self, path: str) -> Answer:
        raise AssertionError(path)


class Tally:
    """A line that counts what is sent through it."""

    def __init__(self) -> None:
        self.sent = 0

    async def __call__(self, exchange: Callable[[], Awaitable[B]], texts: Sequence[str]) -> B:
        self.sent += 1
        return await exchange()


def scorer_of(model: Model, name: str, **told: Any) -> OpenAI:
    scorer = connected(name, **told)
    return OpenAI(scorer.dialect, Wire(model), AUTUMN)


def connected(name: str, **told: Any) -> OpenAI:
    environ = {"OPENAI_API_KEY": SECRET}
    return from_connection(Connection(name, **told), environ=environ, now=lambda: AUTUMN)


async def test_a_model_of_the_plain_kind_is_read_by_chat() -> None:
    """gpt-4o gives its top 20 to the common body: one request for a sample, one for temperature."""
    model, line = Model(), Tally()
    scorer = scorer_of(model, "gpt-4o")
    found = await scorer.probe(REQUEST, line)
    assert (found.readout, found.batch, found.completion) == ("chat", 1, 1)
    assert found.price == Price(2.5, 10.0)
    assert line.sent == len(model.seen) == 2
    body = model.seen[0][1]
    assert (body["max_tokens"], body["temperature"], body["top_logprobs"]) == (1, 0, 20)
    assert "reasoning_effort" not in body
    assert not [note for note in found.notes if "falling back" in note]
    (score,) = (await scorer.score(Request((TEXT,), LABELS))).scores
    assert isinstance(score, Score)
    assert score.logprobs == pytest.approx((math.log(0.15), math.log(0.8)))


async def test_a_newer_model_is_asked_not_to_think() -> None:
    """gpt-5.1 and later get reasoning_effort none and a limit of 4 by their name, at once."""
    model = Model("max_completion_tokens", 4, ("none", "low", "medium"))
    line = Tally()
    found = await scorer_of(model, "gpt-5.1").probe(REQUEST, line)
    assert (found.readout, found.completion, line.sent) == ("chat", 4, 2)
    body = model.seen[0][1]
    assert (body["reasoning_effort"], body["max_completion_tokens"]) == ("none", 4)
    assert "max_tokens" not in body


async def test_a_refusal_teaches_not_to_think() -> None:
    """A model whose name says nothing is asked anew with reasoning_effort none, and it is said."""
    model = Model("max_completion_tokens", 4, ("none", "low"))
    line = Tally()
    found = await scorer_of(model, "gpt-4.9-new").probe(REQUEST, line)
    assert found.readout == "chat"
    assert line.sent == len(model.seen) == 5  # limit, effort, least, then sample and temperature
    assert found.completion == 16
    said = " ".join(found.notes)
    assert 'openai/gpt-4.9-new: gives log-probabilities only with reasoning_effort "none"' in said
    assert "wants max_completion_tokens instead of max_tokens" in said


async def test_a_refusal_teaches_the_name_of_the_limit() -> None:
    """Whichever of the two fields a model wants, it gets it after one refusal."""
    newer = Model("max_completion_tokens")
    found = await scorer_of(newer, "gpt-4x").probe(REQUEST, Tally())
    assert found.readout == "chat"
    assert [set(body) & {"max_tokens", "max_completion_tokens"} for _, body in newer.seen] == [
        {"max_tokens"},
        {"max_completion_tokens"},
        {"max_completion_tokens"},
    ]
    older = Model("max_tokens", efforts=("none",))
    found = await scorer_of(older, "gpt-7").probe(REQUEST, Tally())
    assert found.readout == "chat"
    assert "openai/gpt-7: wants max_tokens instead of max_completion_tokens" in found.notes


async def test_a_model_that_knows_no_reasoning_is_not_told_about_it() -> None:
    """A model of a new name that refuses reasoning_effort is asked without it."""
    model = Model("max_completion_tokens")
    found = await scorer_of(model, "gpt-5-chat-latest").probe(REQUEST, Tally())
    assert found.readout == "chat"
    assert "reasoning_effort" not in model.seen[-1][1]
    assert "openai/gpt-5-chat-latest: knows no reasoning_effort" in found.notes


async def test_a_shorter_list_is_taken() -> None:
    """A model that lists five tokens at most is asked for five, and it is said."""
    model = Model("max_completion_tokens", 4, ("none",), depth=5)
    found = await scorer_of(model, "gpt-5.4-mini").probe(REQUEST, Tally())
    assert found.readout == "chat"
    assert [body["top_logprobs"] for _, body in model.seen] == [20, 5, 5]
    assert any("lists the top 5 at most" in note for note in found.notes)


@pytest.mark.parametrize("logprobs", [False, "forbidden"])
async def test_a_model_without_log_probabilities_says_its_label(logprobs: bool | str) -> None:
    """No log-probabilities and no decisions: the text is read, and each fall-back is said."""
    model = Model(logprobs=logprobs)
    found = await scorer_of(model, "gpt-4o").probe(REQUEST, Tally())
    assert found.readout == "text"
    (note,) = [note for note in found.notes if "falling back" in note]
    assert "chat: " in note
    assert "logprobs" in note
    assert "decisions: " in note
    assert Counter(model.paths)["/decisions"] == 1


async def test_an_old_reasoner_has_room_to_think() -> None:
    """A model that cannot but think writes its label after it, within a limit that is reserved."""
    efforts = ("low", "medium", "high")
    model = Model("max_completion_tokens", 1, efforts, "forbidden", temperature=False)
    scorer = scorer_of(model, "o3")
    found = await scorer.probe(REQUEST, Tally())
    assert found.readout == "text"
    body = model.seen[-1][1]
    assert body["reasoning_effort"] == "low"
    assert "temperature" not in body
    assert body["max_completion_tokens"] == found.completion == ROOM + 8


async def test_a_model_that_only_decides_is_read_by_decisions() -> None:
    """Where chat is refused, /decisions weighs the label words, many texts a request."""
    model, line = Model(chats=False, decides=True), Tally()
    scorer = scorer_of(model, "gpt-6-luna")
    found = await scorer.probe(REQUEST, line)
    assert (found.readout, found.batch) == ("decisions", 16)
    assert model.paths == ["/chat/completions", "/decisions"]
    assert line.sent == 2
    reply = await scorer.score(REQUEST)
    assert [score.logprobs for score in reply.scores if isinstance(score, Score)] == [
        pytest.approx((math.log(0.3), math.log(0.7)))
    ] * 2
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (40, 0)


async def test_a_read_out_that_is_named_is_the_only_one() -> None:
    """--readout decisions sends no chat; one that does not work is a refusal, not a fall-back."""
    model = Model(decides=True)
    found = await scorer_of(model, "gpt-6-luna", readout="decisions").probe(REQUEST, Tally())
    assert found.readout == "decisions"
    assert model.paths == ["/decisions"]
    with pytest.raises(ProviderRefused, match="no usable read-out"):
        await scorer_of(Model(), "gpt-4o", readout="decisions").probe(REQUEST, Tally())
    with pytest.raises(ConfigError, match="token-ids"):
        connected("gpt-4o", readout="token-ids")


async def test_luna_by_chat_hears_of_decisions() -> None:
    """The one model that decides is told so where it is read by chat."""
    model = Model("max_completion_tokens", 4, ("none",), decides=True)
    found = await scorer_of(model, "gpt-6-luna").probe(REQUEST, Tally())
    assert found.readout == "chat"
    assert any("--readout decisions" in note for note in found.notes)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (400, "Only gpt-6-luna is supported as a model."),
        (400, "The model `gpt-4o` does not exist"),
        (403, "You have no access to this endpoint."),
        (404, "Unknown request URL: POST /v1/decisions."),
    ],
)
async def test_decisions_that_are_not_offered_cost_one_request(status: int, words: str) -> None:
    """However /decisions is refused, it is tried once, and the next read-out takes over."""

    class Undecided(Model):
        def reply(self, path: str, body: Mapping[str, Any]) -> tuple[int, dict[str, object]]:
            if path != "/decisions":
                return super().reply(path, body)
            self.seen.append((path, body))
            return status, {"error": {"message": words}}

    model = Undecided(logprobs="forbidden")
    found = await scorer_of(model, "gpt-4o").probe(REQUEST, Tally())
    assert found.readout == "text"
    assert Counter(model.paths)["/decisions"] == 1


async def test_an_unknown_model_ends_the_probe() -> None:
    """A model that chat does not know is refused at once, not looked for elsewhere."""

    class Nobody(Model):
        def reply(self, path: str, body: Mapping[str, Any]) -> tuple[int, dict[str, object]]:
            self.seen.append((path, body))
            told = {"message": "The model `gpt-4oo` does not exist", "code": "model_not_found"}
            return 404, {"error": told}

    model = Nobody()
    with pytest.raises(ProviderRefused, match="does not exist"):
        await scorer_of(model, "gpt-4oo").probe(REQUEST, Tally())
    assert len(model.seen) == 1


async def test_a_refusal_of_the_account_ends_the_probe() -> None:
    """A quota that is used up is no reason to try another read-out."""

    class Broke(Model):
        def reply(self, path: str, body: Mapping[str, Any]) -> tuple[int, dict[str, object]]:
            self.seen.append((path, body))
            told = {"message": "You exceeded your quota", "code": "insufficient_quota"}
            return 403 if path == "/decisions" else 429, {"error": told}

    for readout in ("chat", "decisions"):
        model = Broke()
        with pytest.raises(ProviderRefused, match="quota"):
            await scorer_of(model, "gpt-6-luna", readout=readout).probe(REQUEST, Tally())
        assert len(model.seen) == 1


async def test_nothing_is_learned_after_the_probe() -> None:
    """A refusal during the run is that request's own: the manner of a run never changes."""
    model = Model()
    scorer = scorer_of(model, "gpt-4o")
    await scorer.probe(REQUEST, Tally())
    model.limit_key = "max_completion_tokens"
    one = Request((TEXT,), LABELS)
    for _ in range(2):
        with pytest.raises(RequestFailed, match="max_tokens") as failed:
            await scorer.score(one)
        assert not isinstance(failed.value, Relearned)
    assert "max_tokens" in model.seen[-1][1]


async def test_a_scorer_works_without_a_probe() -> None:
    """Label words that nobody probed are probed by the first score, lessons included."""
    model = Model("max_completion_tokens", 4, ("none",))
    reply = await scorer_of(model, "gpt-4x").score(Request((TEXT,), LABELS))
    assert isinstance(reply.scores[0], Score)


async def test_the_key_of_an_answer_holds_the_manner() -> None:
    """The same text asked in another manner is another question, so its answer is kept apart."""
    keys = []
    for efforts, name in (((), "gpt-4o"), (("none",), "gpt-4o")):
        scorer = scorer_of(Model(efforts=efforts), name)
        await scorer.probe(REQUEST, Tally())
        keys.append(json.loads(scorer.key(TEXT, LABELS)))
    assert keys[0]["manner"]["effort"] is None
    assert keys[1]["manner"]["effort"] == "none"
    assert {**keys[0], "manner": 0} == {**keys[1], "manner": 0}
    decided = scorer_of(Model(decides=True), "gpt-6-luna", readout="decisions")
    await decided.probe(REQUEST, Tally())
    assert "manner" not in json.loads(decided.key(TEXT, LABELS))


async def test_counts_bound_the_chat() -> None:
    """A text counts with the line that asks, the system message and the frame of both."""
    scorer = scorer_of(Model(), "gpt-4o", system="You are a critic.", ask="Which?")
    await scorer.count([TEXT], LABELS)  # as opening it would, this looks for the vocabulary
    await scorer.probe(REQUEST, Tally())
    (count,) = await scorer.count([TEXT], LABELS)
    words = len(TEXT.causal) + len("\nWhich?") + len("You are a critic.")
    assert count == words + 2 * 4 + 3
    decided = scorer_of(Model(decides=True), "gpt-6-luna", readout="decisions")
    await decided.probe(REQUEST, Tally())
    assert (await decided.count([TEXT], LABELS))[0] > len(TEXT.causal) + len("terriblegreat")
    assert any("bounded by the bytes" in note for note in scorer.capabilities.notes)


async def test_a_vocabulary_that_cannot_be_fetched_is_told_before_the_probe(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An estimate, which probes nothing, hears that tokens are a bound, and why."""

    def unreachable(model: str) -> None:
        raise ConnectionError(model)

    monkeypatch.setattr(bdpl_providers.tokens, "load_vocabulary", unreachable)
    async with connected("gpt-4o", sends=False) as scorer:
        (note,) = scorer.capabilities.notes
        assert "the tokenizer of gpt-4o could not be loaded (ConnectionError)" in note
        assert not scorer.capabilities.exact


def test_the_price_is_that_of_the_day() -> None:
    """A known model has the list price of the day it is opened, an unknown one none."""
    dialect = connected("o3").dialect
    before, after = (datetime(2025, 6, day, tzinfo=UTC) for day in (9, 10))
    assert OpenAI(dialect, Wire(Model()), before).capabilities.price == Price(10.0, 40.0)
    assert OpenAI(dialect, Wire(Model()), after).capabilities.price == Price(2.0, 8.0)
    assert connected("gpt-77").capabilities.price is None


def test_a_key_is_needed_and_comes_from_the_environment() -> None:
    """Without a key nothing is opened; --api-key-env names another variable."""
    with pytest.raises(ConfigError, match="OPENAI_API_KEY"):
        from_connection(Connection("gpt-4o"), environ={})
    mine = from_connection(Connection("gpt-4o", api_key_env="MINE"), environ={"MINE": SECRET})
    assert mine.dialect.base_url == HOME
    assert SECRET not in repr(mine)
    assert SECRET not in repr(vars(mine))


def test_it_is_what_the_engine_wants() -> None:
    """The scorer can be probed, counted and kept."""
    scorer = connected("gpt-4o")
    assert isinstance(scorer, Probing)
    assert isinstance(scorer, Counting)
    assert isinstance(scorer, Keyed)
    one: Scorer = scorer
    assert one.name == "openai/gpt-4o"


@asynccontextmanager
async def serving(model: Model) -> AsyncIterator[str]:
    """`model` behind HTTP on this machine."""

    async def handle(request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == f"Bearer {SECRET}"
        status, document = model.reply(request.path.removeprefix("/v1"), await request.json())
        return web.json_response(document, status=status)

    app = web.Application()
    app.router.add_post("/v1/{path:.*}", handle)
    runner = web.AppRunner(app)
    async with AsyncExitStack() as stack:
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}/v1"


@pytest.mark.parametrize(
    ("name", "model", "readout"),
    [
        ("gpt-4o", Model(), "chat"),
        ("gpt-5.1", Model("max_completion_tokens", 4, ("none", "low")), "chat"),
        ("gpt-4x", Model("max_completion_tokens"), "chat"),
        ("gpt-4o", Model(logprobs="forbidden"), "text"),
        ("gpt-6-luna", Model(chats=False, decides=True), "decisions"),
    ],
)
async def test_the_whole_way_through_the_sdk(name: str, model: Model, readout: str) -> None:
    """Probe and score over HTTP by the openai package; the key is shown nowhere."""
    pytest.importorskip("openai")
    async with serving(model) as url, connected(name, base_url=url) as scorer:
        found = await scorer.probe(REQUEST, Tally())
        assert found.readout == readout
        reply = await scorer.score(Request((TEXT,), LABELS))
        assert isinstance(reply.scores[0], Score)
        assert reply.usage.prompt_tokens > 0
        assert SECRET not in repr((scorer, vars(scorer), found, reply, scorer.key(TEXT, LABELS)))


async def test_a_server_that_repeats_the_key_does_not_make_us_repeat_it() -> None:
    """Whatever an error echoes of the key, the message shows none of it."""
    pytest.importorskip("openai")

    class Loud(Model):
        def reply(self, path: str, body: Mapping[str, Any]) -> tuple[int, dict[str, object]]:
            return 400, {"error": {"message": f"logprobs of {SECRET} are not allowed"}}

    async with serving(Loud()) as url, connected("gpt-4o", base_url=url) as scorer:
        with pytest.raises(ProviderRefused) as refused:
            await scorer.probe(REQUEST, Tally())
    assert "logprobs of *** are not allowed" in str(refused.value)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "told", "readout", "count"),
    [
        ("gpt-4o", {}, "chat", 2),
        ("gpt-4.9-new", {"efforts": ("none", "low"), "least": 4}, "chat", 5),
        ("gpt-5.4-mini", {"efforts": ("none",), "depth": 5}, "chat", 3),
        ("gpt-6-luna", {"chats": False, "decides": True}, "decisions", 2),
        ("o3", {"efforts": ("low",), "logprobs": "forbidden", "temperature": False}, "text", 4),
        ("gpt-77", {"efforts": ("none",), "logprobs": False}, "text", 3),
    ],
)
async def test_a_probe_that_was_cut_off_goes_on(
    name: str, told: dict[str, Any], readout: str, count: int
) -> None:
    """What was answered teaches the manner again, and only what is missing is sent."""
    limit = "max_tokens" if name == "gpt-4o" else "max_completion_tokens"

    @asynccontextmanager
    async def world() -> AsyncIterator[tuple[Opened, Sent]]:
        model = Model(limit, **told)
        yield lambda: scorer_of(model, name), lambda: len(model.seen)

    probed = await goes_on_everywhere(world, REQUEST)
    assert (probed.found.readout, len(probed.pieces)) == (readout, count)


async def test_a_record_teaches_whoever_was_never_taught() -> None:
    """A probe made anew asks in the manner that it knows; its record tells the lessons, too."""

    def scorer() -> OpenAI:
        return scorer_of(Model("max_completion_tokens", 4, ("none", "low")), "gpt-4.9-new")

    _, first = await scorer().recorded(REQUEST, CutLine())
    warm, line = scorer(), CutLine()
    assert await warm.recall(REQUEST, first) is not None
    found, second = await warm.recorded(REQUEST, line)
    assert line.sent == 2
    assert await scorer().recall(REQUEST, second) == found


async def test_no_piece_holds_the_key() -> None:
    """What a server repeats of the key, in an answer or a refusal, is not kept."""
    pytest.importorskip("openai")

    class Loud(Model):
        def reply(self, path: str, body: Mapping[str, Any]) -> tuple[int, dict[str, object]]:
            status, document = super().reply(path, body)
            if status == 200:
                return status, {**document, "key": SECRET}
            return status, {"error": {"message": f"{SECRET} {document['error']}"}}

    pieces = Keeper()
    model = Loud("max_completion_tokens", 4, ("none", "low"))
    async with serving(model) as url, connected("gpt-4x", base_url=url) as scorer:
        _, record = await scorer.recorded(REQUEST, CutLine(), keep=pieces)
    assert len(pieces) == len(model.seen) > 3
    assert b"***" in pieces[0]
    assert b"***" in pieces[-1]
    assert SECRET.encode() not in b"".join([*pieces, record])


def test_importing_the_module_imports_no_sdk() -> None:
    """openai, tiktoken and genai_prices are imported when they are used."""
    code = (
        "import bdpl_providers.openai; "
        "heavy = {'openai', 'httpx2', 'tiktoken', 'genai_prices', 'pydantic'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    path = [entry for entry in sys.path if entry]
    subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {path!r}; {code}"], check=True
    )
