"""llama-cpp-python's server, which behaves badly: no token ids, no lists, no complaints."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest

from bdpl_async.records import Request, Score, Text
from bdpl_providers import connect
from tests.servers.bench import (
    LABELS,
    bdpl,
    events_of,
    learned,
    questions,
    same,
    write_questions,
)
from tests.servers.proxy import counting

pytestmark = pytest.mark.servers
FRESH = ("--cache", "none")
TEXTS = tuple(Text(f"Question: Is {a} greater than {b}? Answer:") for a, b in questions()[:12])


def notes(out: Path) -> list[str]:
    return [event["message"] for event in events_of(out, "note")]


async def test_a_run_ends_with_a_result(llamacpp: str, task: Path, tmp_path: Path) -> None:
    """By the likeliest tokens as text, one prompt a request; nothing has to be warned of."""
    out = tmp_path / "run"
    where = ("--model", "compatible/tiny", "--base-url", llamacpp)
    result = await learned(task, out, *where, *FRESH)
    assert result["test"]["n"] == 34
    assert events_of(out, "probed")[0]["readout"] == "logprobs"
    assert notes(out) == []
    assert result["usage"]["failures"] == 0
    assert result["usage"]["requests"] == result["usage"]["prompts"]


async def test_scores_are_the_servers_own_log_probabilities(llamacpp: str) -> None:
    """What the server lists for a label word's text is its score."""
    own, ours = [], []
    async with aiohttp.ClientSession() as session:
        for text in TEXTS:
            body = {"model": "tiny", "prompt": text.causal, "max_tokens": 1, "logprobs": 20}
            body["temperature"] = 0
            async with session.post(f"{llamacpp}/completions", json=body) as response:
                answer = await response.json()
            top = answer["choices"][0]["logprobs"]["top_logprobs"][0]
            own.append([top[label] for label in LABELS])
    async with connect("compatible/tiny", base_url=llamacpp) as scorer:
        for text in TEXTS:
            (score,) = (await scorer.score(Request((text,), LABELS))).scores
            assert isinstance(score, Score)
            ours.append(list(score.logprobs))
    assert ours == [pytest.approx(values, abs=1e-4) for values in own]


async def test_each_fall_back_is_said_aloud(llamacpp: str, task: Path, tmp_path: Path) -> None:
    """Taken for a vLLM server it ends with the same result, and says what it could not do."""
    where = ("--base-url", llamacpp, *FRESH)
    expected = await learned(task, tmp_path / "plain", "--model", "compatible/tiny", *where)
    out = tmp_path / "run"
    async with counting(llamacpp) as seen:
        there = ("--model", "vllm/tiny", "--base-url", seen.url, *FRESH)
        result = await learned(task, out, *there)
    assert same(result) == same(expected)
    first, second = notes(out)
    assert "cannot be read by token-ids" in first
    assert "top 20 log-probabilities" in first
    assert "takes no list of texts" in second
    assert seen.statuses[500] <= 6
    assert len(seen.passages) == result["usage"]["requests"]


async def test_lists_that_were_asked_for_are_given_up(
    llamacpp: str, task: Path, tmp_path: Path
) -> None:
    """``--batch-prompts`` on a server without lists: one text a request, said in a note."""
    out = tmp_path / "run"
    where = ("--model", "compatible/tiny", "--base-url", llamacpp, *FRESH)
    result = await learned(task, out, *where, "--batch-prompts", "8")
    (note,) = notes(out)
    assert "takes no list of texts" in note
    assert events_of(out, "probed")[0]["batch"] == 1
    assert result["usage"]["failures"] <= 3


async def test_a_readout_that_must_be_is_refused_where_there_is_none(
    llamacpp: str, task: Path, tmp_path: Path
) -> None:
    """Token ids that the server does not know of are never replaced in silence: exit 3."""
    where = ("--model", "vllm/tiny", "--base-url", llamacpp, *FRESH, "--out", tmp_path / "run")
    outcome = await bdpl("run", task, *where, "--readout", "token-ids")
    assert outcome.code == 3
    assert "token-ids" in outcome.err


@pytest.mark.parametrize("limit", ["requests", "prompts"])
async def test_a_budget_holds(limit: str, llamacpp: str, tmp_path: Path) -> None:
    """By the count of a proxy: no more than was granted, and at least 80 % of it."""
    task = write_questions(tmp_path, ("steps = 3\n", ""))
    async with counting(llamacpp) as seen:
        where = ("--model", "compatible/tiny", "--base-url", seen.url, *FRESH)
        result = await learned(task, tmp_path / "run", *where, f"--max-{limit}", "300")
    counted = {"requests": len(seen.passages), "prompts": seen.prompts}
    assert result["stop_reason"] == "budget"
    assert 240 <= counted[limit] <= 300
    assert result["usage"][limit] == counted[limit]
