"""A LiteLLM gateway before vLLM: its dialect, its limits, and the ways in which it fails.

It serves ``tiny`` and ``tiny-text`` (vLLM behind it), ``mock`` (answers without log-probabilities),
``mock-429``, ``mock-500`` and ``mock-ctx`` (those errors, always), ``down`` (nobody behind it) and
``limited`` (30 requests a minute). Beside `gateway.key` it knows one key with 20 requests a minute
and one with 4 requests at the same time.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.servers.bench import (
    Keyed,
    bdpl,
    events_of,
    learned,
    result_of,
    same,
    write_questions,
)
from tests.servers.conftest import told
from tests.servers.proxy import Counting, Passage, counting

pytestmark = pytest.mark.servers
FRESH = ("--cache", "none")
KEY = ("--api-key-env", "GATEWAY_KEY")
NEWS = 0.1  # seconds from a refusal at the proxy until all of us have heard of it
FOURS = ("--batch-prompts", "4")


def on(url: str, model: str) -> tuple[str, ...]:
    return ("--model", model, "--base-url", url, *KEY, *FRESH)


def refusals(seen: Counting) -> tuple[list[Passage], list[Passage]]:
    """429s of the first wave, sent before the news of the first one was out, and all later ones."""
    found = sorted((p for p in seen.passages if p.status == 429), key=lambda p: p.ended)
    if not found:
        return [], []
    known = found[0].ended + NEWS
    return [p for p in found if p.began <= known], [p for p in found if p.began > known]


@pytest.mark.parametrize(
    ("model", "readout"),
    [
        ("vllm/tiny", "token-ids"),
        ("vllm/tiny-text", "token-ids"),
        ("compatible/tiny", "logprobs"),
        ("compatible/tiny-text", "logprobs"),
    ],
)
async def test_a_run_through_the_gateway_is_the_run_on_the_server(
    model: str, readout: str, gateway: Keyed, vllm: str, task: Path, tmp_path: Path
) -> None:
    """The same losses, prompt and scores as without the gateway between."""
    direct = await learned(task, tmp_path / "direct", *on(vllm, "vllm/tiny"), GATEWAY_KEY="none")
    out = tmp_path / "run"
    result = await learned(task, out, *on(gateway.url, model), GATEWAY_KEY=gateway.key)
    assert same(result) == same(direct)
    assert events_of(out, "probed")[0]["readout"] == readout
    assert result["usage"]["failures"] == 0


async def test_a_wrong_key_is_refused_at_once(gateway: Keyed, task: Path, tmp_path: Path) -> None:
    """Exit 3 after one request; the message repeats no key."""
    async with counting(gateway.url) as seen:
        where: tuple[str | Path, ...] = (*on(seen.url, "vllm/tiny"), "--out", tmp_path / "run")
        outcome = await bdpl("run", task, *where, GATEWAY_KEY="sk-wrong-0123456789")
    assert outcome.code == 3
    assert "check the key" in outcome.err
    assert "sk-wrong" not in outcome.err
    assert len(seen.passages) == 1


async def test_a_limit_a_minute_is_learned_from_one_refusal(
    gateway: Keyed, task: Path, tmp_path: Path
) -> None:
    """20 a minute: after the first wave of 429s none follows, and the budget holds."""
    key, out = told("BDPL_GATEWAY_RPM20_KEY"), tmp_path / "run"
    async with counting(gateway.url) as seen:
        shape = (*on(seen.url, "vllm/tiny"), *FOURS, "--concurrency", "4", "--max-requests", "36")
        result = await learned(task, out, *shape, GATEWAY_KEY=key)
    first, later = refusals(seen)
    assert first
    assert len(seen.passages) == result["usage"]["requests"] <= 36
    assert seen.prompts == result["usage"]["prompts"]
    assert result["usage"]["failures"] == len(first) + len(later)
    assert result["dev"] is not None
    assert later == []


async def test_a_limit_that_is_told_is_never_exceeded(gateway: Keyed, tmp_path: Path) -> None:
    """With ``--rpm 30`` a model of 30 requests a minute refuses nothing, and the limit is used."""
    task = write_questions(tmp_path, ("steps = 3", "steps = 40"))
    began = time.monotonic()
    async with counting(gateway.url) as seen:
        shape = (*on(seen.url, "vllm/limited"), *FOURS, "--rpm", "30", "--max-requests", "50")
        await learned(task, tmp_path / "run", *shape, GATEWAY_KEY=gateway.key)
    assert set(seen.statuses) == {200}
    assert 40 <= len(seen.passages) <= 50
    assert 60 < time.monotonic() - began < 75


async def test_a_limit_in_flight_is_found(gateway: Keyed, tmp_path: Path) -> None:
    """4 at the same time: few 429s after the first wave, no waiting for a minute, all scored.

    The gateway frees a place a moment after it has answered: of 4 bare workers a quarter of the
    requests are refused.
    """
    task, key = write_questions(tmp_path, ("steps = 3", "steps = 8")), told("BDPL_GATEWAY_PAR4_KEY")
    began = time.monotonic()
    async with counting(gateway.url) as seen:
        shape = (*on(seen.url, "vllm/tiny"), *FOURS, "--max-requests", "200")
        result = await learned(task, tmp_path / "run", *shape, GATEWAY_KEY=key)
    first, later = refusals(seen)
    assert first
    assert len(later) <= 0.1 * len(seen.passages)
    assert len(seen.passages) == result["usage"]["requests"] <= 200
    assert result["stop_reason"] == "steps"
    assert time.monotonic() - began < 30


async def test_answers_without_log_probabilities_fall_back_to_text(
    gateway: Keyed, task: Path, tmp_path: Path
) -> None:
    """A null in their place is seen by the probe; the run reads what is said, and says so."""
    out = tmp_path / "run"
    where = on(gateway.url, "compatible/mock")
    await learned(task, out, *where, GATEWAY_KEY=gateway.key)
    assert events_of(out, "probed")[0]["readout"] == "text"
    (note,) = [event["message"] for event in events_of(out, "note")]
    assert "logprobs is null" in note
    assert "no probabilities" in note


async def test_a_readout_that_must_be_is_refused_where_there_is_none(
    gateway: Keyed, task: Path, tmp_path: Path
) -> None:
    """Whoever asks for log-probabilities never gets words instead: exit 3."""
    where: tuple[str | Path, ...] = (*on(gateway.url, "compatible/mock"), "--out", tmp_path / "run")
    outcome = await bdpl("run", task, *where, "--readout", "logprobs", GATEWAY_KEY=gateway.key)
    assert outcome.code == 3
    assert "logprobs is null" in outcome.err


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("mock-429", "429"),
        ("mock-500", "500"),
        ("mock-ctx", "context window"),
        ("down", "Cannot connect|Connection error"),
    ],
)
@pytest.mark.parametrize("provider", ["vllm", "compatible"])
async def test_a_model_that_always_fails_ends_the_run(
    provider: str, model: str, said: str, gateway: Keyed, task: Path, tmp_path: Path
) -> None:
    """Exit 3 with the gateway's own words in a few lines, after few requests, within a minute."""
    out, began = tmp_path / "run", time.monotonic()
    async with counting(gateway.url) as seen:
        where: tuple[str | Path, ...] = (*on(seen.url, f"{provider}/{model}"), "--out", out)
        outcome = await bdpl("run", task, *where, GATEWAY_KEY=gateway.key)
    assert outcome.code == 3
    assert any(words in outcome.err for words in said.split("|"))
    ends = [line for line in outcome.err.splitlines() if "; again in " not in line]
    assert len(ends) <= 4  # beside what is waited for on the way
    assert "take --readout auto" not in outcome.err  # it was auto
    assert not out.exists() or result_of(out)["stop_reason"] == "provider"
    assert len(seen.passages) <= 20
    assert time.monotonic() - began < 60
