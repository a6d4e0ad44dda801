"""The probe of a server: few requests, and each thing that does not work found out."""

from __future__ import annotations

import json

import orjson
import pytest

from bdpl_async.errors import (
    LabelError,
    ProviderRefused,
    ProviderUnavailable,
    RequestFailed,
    ServerFault,
    UsageError,
)
from bdpl_async.records import Request, Score, Text
from bdpl_async.scorer import Capabilities
from bdpl_providers.candidates import Candidate, chat, text, token_ids, top_k
from bdpl_providers.dialect import Dialect
from bdpl_providers.server import Server
from tests.standin import LABELS, NO, REQUEST, YES, Ledger, StandIn, server, texts


async def probed(standin: StandIn, *candidates: Candidate) -> tuple[Capabilities, Ledger]:
    ledger = Ledger()
    return await server(standin, *candidates).probe(REQUEST, ledger), ledger


async def test_all_goes_well() -> None:
    """Three requests: label ids, both samples in one list, one text at another temperature."""
    found, ledger = await probed(StandIn())
    assert ledger.sent == [(3, "ok"), (2, "ok"), (1, "ok")]
    assert (found.readout, found.batch, found.notes) == ("token-ids", 4, ())
    assert (found.causal, found.local, found.completion) == (True, False, 1)


async def test_falls_back_aloud() -> None:
    """A server that overlooks token ids is read by its likeliest tokens, and that is said."""
    found, _ = await probed(StandIn(ids=False, tokenizes="no"))
    assert found.readout == "logprobs"
    (note,) = found.notes
    assert note.startswith("vllm/m: cannot be read by token-ids: the server does not tell")
    assert note.endswith(
        "falling back to the top 20 log-probabilities: labels outside them are censored"
    )


async def test_ids_overlooked() -> None:
    """Ids known from /tokenize do not help if answers come for other tokens."""
    standin = StandIn(ids=False, beliefs={" The": -0.1, " Yes": -3.0, " No": -4.0})
    found, ledger = await probed(standin)
    assert found.readout == "logprobs"
    assert "ids" not in json.dumps(standin.posts[-1][1])
    assert ledger.sent[:4] == [(3, "ok"), (0, "ok"), (0, "ok"), (0, "ok")]


async def test_no_log_probabilities() -> None:
    """Null log-probabilities with status 200 are found out, down to what the model says."""
    found, _ = await probed(StandIn(logprobs=False))
    assert (found.readout, found.completion) == ("text", 8)
    assert "chat: logprobs is null or missing" in found.notes[0]


async def test_nothing_works() -> None:
    """Without any read-out the refusal lists the reason of each."""
    standin = StandIn(logprobs=False, says=lambda text: "Perhaps.")
    with pytest.raises(ProviderRefused, match="no usable read-out") as caught:
        await probed(standin)
    for name in ("token-ids: ", "logprobs: ", "chat: ", "text: "):
        assert name in str(caught.value)


@pytest.mark.parametrize("error", [ProviderRefused("401"), ProviderUnavailable("503")])
async def test_errors_of_the_server_pass(error: ProviderRefused) -> None:
    """A refused key or a server that is down is no reason to fall back."""
    standin = StandIn(fails={"/completions": error})
    with pytest.raises(type(error)) as caught:
        await probed(standin)
    assert caught.value is error
    assert len(standin.posts) == 1


@pytest.mark.parametrize("error", [RequestFailed("405"), ServerFault("500")])
async def test_errors_of_a_feature_do_not(error: RequestFailed) -> None:
    """A path or feature that fails by itself leads to the next read-out."""
    found, _ = await probed(StandIn(fails={"/completions": error}))
    assert found.readout == "chat"


@pytest.mark.parametrize("lists", ["500", "400", "first"])
async def test_no_lists(lists: str) -> None:
    """A server that refuses, breaks on or mangles a list is asked text by text, aloud."""
    found, _ = await probed(StandIn(lists=lists, tokenizes="no"))
    assert found.batch == 1
    assert "vllm/m: takes no list of texts" in found.notes[-1]
    assert found.notes[-1].endswith("one text a request")


async def test_a_sample_too_long() -> None:
    """One text too long for the window costs the other its list, not the model its lists."""
    found, _ = await probed(StandIn(window=30), top_k("m", batch=4))
    assert found.batch == 4
    assert found.notes == (
        "vllm/m: refuses a sample text (400: maximum context length is exceeded), so others"
        " may fail, too",
    )


@pytest.mark.parametrize(
    ("depth", "tells", "asked"),
    [(7, True, [20, 7]), (7, False, [20, 5]), (1, False, [20, 5, 1])],
)
async def test_depth(depth: int, tells: bool, asked: list[int]) -> None:
    """A list too long is shortened to what the refusal names, else to 5, else to 1."""
    standin = StandIn(depth=depth, tells=tells)
    found, _ = await probed(standin, top_k("m", batch=4))
    assert [body["logprobs"] for _, body in standin.posts][:-1] == asked
    assert f"lists the top {asked[-1]} at most" in found.notes[0]


async def test_temperature_scales() -> None:
    """A server whose numbers follow the temperature is asked at 1, where they are true."""
    scorer = server(StandIn(scales=True))
    found = await scorer.probe(REQUEST, Ledger())
    assert found.notes == (
        "vllm/m: scales log-probabilities by temperature; asked at temperature 1",
    )
    reply = await scorer.score(REQUEST)
    assert isinstance(score := reply.scores[0], Score)
    assert score.logprobs == pytest.approx((YES, NO))
    assert orjson.loads(scorer.key(Text("a"), LABELS))["body"]["temperature"] == 1


async def test_low_mass() -> None:
    """Label words that the model hardly expects are warned of, with what to change."""
    found, _ = await probed(StandIn(beliefs={" The": -0.01, " Yes": -6.0, " No": -7.0}))
    assert "get a probability of 0.0034; let the template's last words" in found.notes[0]
    chatted, _ = await probed(StandIn(beliefs={"The": -0.01}), chat("m"))
    assert "the label words are not listed; let [chat] ask" in chatted.notes[0]


async def test_a_missing_space_is_found() -> None:
    """A word in pieces that one leading space makes one token is asked about, with that word."""
    standin = StandIn(split={"great": ["gr", "eat"], "bad": ["b", "ad"], " bad": [" b", "ad"]})
    standin.beliefs = {"gr": -0.5, "b": -1.2}
    request = Request(texts("Is it: good?", "Is it?"), ("great", "bad"))
    found = await server(standin).probe(request, Ledger())
    first, second = (note for note in found.notes if "label word" in note)
    assert first.endswith("only the first is read; did you mean ' great'? It is one token")
    assert second.endswith("only the first is read")


async def test_a_missing_space_is_blamed_before_the_template() -> None:
    """Where the model hardly expects words that lack their spaces, these come first."""
    standin = StandIn(beliefs={" great": -0.1, "great": -6.0, "bad": -7.0})
    request = Request(texts("Is it: good?", "Is it?"), ("great", "bad"))
    found = await server(standin).probe(request, Ledger())
    (note,) = found.notes
    assert "; begin them with a space, as in ' great', or else let the template's" in note
    lines = Request(texts("Is it: good?\n", "Is it?\n"), ("great", "bad"))
    (note,) = (await server(standin).probe(lines, Ledger())).notes
    assert "begin them with a space" not in note


async def test_impossible_numbers() -> None:
    """Probabilities that sum to more than one are no read-out."""
    found, _ = await probed(StandIn(beliefs={" Yes": -0.1, " No": -0.1}, says=lambda _: "Yes"))
    assert found.readout == "text"
    assert "sum to more than 1" in found.notes[0]


async def test_several_tokens() -> None:
    """A label word of several tokens is read by its first, aloud, whatever the read-out."""
    beliefs = {" hypo": YES, " No": NO}
    labels = (" hyponym", " No")
    standin = StandIn(beliefs=beliefs, split={" hyponym": [" hypo", "nym"]})
    asked = Request(REQUEST.texts, labels)
    scorer = server(standin)
    found = await scorer.probe(asked, Ledger())
    assert "' hyponym' is 2 tokens (' hypo', 'nym'); only the first is read" in found.notes[0]
    assert (await scorer.score(asked)).scores[0].logprobs == (YES, NO)  # type: ignore[union-attr]
    by_text = await server(standin, top_k("m")).probe(asked, Ledger())
    assert "' hyponym' is several tokens; only ' hypo' is read" in by_text.notes[0]


async def test_labels_that_share_a_token() -> None:
    """Two label words with one first token end the probe; no fall-back hides it."""
    split = {" great": [" gr", "eat"], " greater": [" gr", "eater"]}
    standin = StandIn(split=split)
    with pytest.raises(LabelError, match="share their first token"):
        await server(standin).probe(Request(REQUEST.texts, tuple(split)), Ledger())


async def test_one_sample_says_nothing() -> None:
    """A chat that names a label word to one of two samples can be read by what it says."""
    standin = StandIn(says=lambda text: "Yes" if text.startswith("Is") else "Hm")
    found, _ = await probed(standin, text("m")[0])
    assert found.readout == "text"
    assert "gives no score to a sample text" in found.notes[0]


async def test_nothing_before_the_mask() -> None:
    """A template that gives a causal model nothing to read is refused unsent."""
    with pytest.raises(UsageError, match="nothing stands before the mask"):
        await server(StandIn()).probe(Request(texts("", " "), LABELS), Ledger())


async def test_an_explicit_readout() -> None:
    """A read-out that was asked for by name is the only one tried."""
    dialect = Dialect("vllm", "m", "http://here/v1", (token_ids("m"),), others=(chat("m"),))
    scorer = Server(dialect, StandIn(ids=False, tokenizes="no"))
    with pytest.raises(ProviderRefused, match="take --readout auto"):
        await scorer.probe(REQUEST, Ledger())


async def test_batch_as_the_user_wants() -> None:
    """The user's number of texts a request holds, where the read-out takes several."""
    wide = server(StandIn(), batch_prompts=9)
    assert wide.capabilities.batch == 9
    assert (await wide.probe(REQUEST, Ledger())).batch == 9
    single = await server(StandIn(), chat("m"), batch_prompts=9).probe(REQUEST, Ledger())
    assert single.batch == 1
    assert "vllm/m: chat takes one text a request" in single.notes
