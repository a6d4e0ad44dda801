"""How a real vLLM server refuses: label words, model, key, and in the end everything."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from tests.servers.bench import Keyed, Launched, bdpl, events_of, result_of, write_questions
from tests.servers.proxy import counting
from tests.workbench import Outcome

pytestmark = pytest.mark.servers
MODEL = ("--model", "vllm/tiny", "--base-url")
FRESH = ("--cache", "none")
ENDLESS = ("steps = 3\n", "")


async def test_label_words_that_share_their_first_token_are_refused(
    vllm: str, tmp_path: Path
) -> None:
    """They cannot be told apart: exit 2, both named, by the probe's first request."""
    task = write_questions(tmp_path, ('" Yes"', '" Nope"'))
    async with counting(vllm) as seen:
        outcome = await bdpl("run", task, *MODEL, seen.url, *FRESH, "--out", tmp_path / "run")
    assert outcome.code == 2, outcome.err
    assert "' No'" in outcome.err
    assert "' Nope'" in outcome.err
    assert len(seen.passages) == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("provider", ["vllm", "compatible"])
async def test_an_unknown_model_is_refused(
    provider: str, vllm: str, task: Path, tmp_path: Path
) -> None:
    """Exit 3 at the first request, with the name that the server does not know."""
    async with counting(vllm) as seen:
        named = ("--model", f"{provider}/nothere", "--base-url", seen.url)
        outcome = await bdpl("run", task, *named, *FRESH, "--out", tmp_path / "run")
    assert outcome.code == 3
    assert "nothere" in outcome.err
    assert "model.name" in outcome.err
    assert len(seen.passages) <= 3


async def refused(task: Path, out: Path, url: str, **environment: str) -> Outcome:
    outcome = await bdpl("run", task, *MODEL, url, *FRESH, "--out", out, **environment)
    assert outcome.code == 3
    assert "401" in outcome.err
    assert "check the key" in outcome.err
    return outcome


async def test_a_wrong_key_or_none_is_refused(keyed: Keyed, task: Path, tmp_path: Path) -> None:
    """Exit 3 after the first request, and the message repeats no key."""
    for environment in ({}, {"VLLM_API_KEY": "sk-wrong-0123456789"}):
        async with counting(keyed.url) as seen:
            outcome = await refused(task, tmp_path / "run", seen.url, **environment)
        assert "sk-wrong" not in outcome.out + outcome.err
        assert len(seen.passages) == 1


async def test_the_right_key_opens_and_stays_secret(
    keyed: Keyed, task: Path, tmp_path: Path
) -> None:
    """The run ends well, and the key is in no file, no cache entry and no output."""
    folder = tmp_path / "all"
    cache = folder / "cache.db"
    for number, variable in enumerate(("VLLM_API_KEY", "SOME_NAME")):
        where = (*MODEL, keyed.url, "--cache", cache, "--out", folder / f"run{number}")
        outcome = await bdpl(
            *("run", task, *where, "--api-key-env", variable, "--ui", "json"),
            **{variable: keyed.key},
        )
        assert outcome.code == 0, outcome.err
        assert keyed.key not in outcome.out + outcome.err
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {"run.toml", "events.jsonl", "result.json", "cache.db"} <= {p.name for p in files}
    assert not [path for path in files if keyed.key.encode() in path.read_bytes()]


async def test_a_server_that_is_ended_ends_the_run(mortal: Launched, tmp_path: Path) -> None:
    """SIGTERM while requests are open: a clear message and exit 3, not long after the time-out."""
    task = write_questions(tmp_path, ENDLESS)
    out, timeout = tmp_path / "run", 3
    shape = ("--timeout", str(timeout), "--batch-prompts", "1", "--set", "model.attempts=2")
    grant = ("--max-prompts", "1000000")
    running = asyncio.create_task(
        bdpl("run", task, *MODEL, mortal.url, *FRESH, *shape, *grant, "--out", out)
    )
    while not (out / "events.jsonl").exists() or not events_of(out, "step"):
        await asyncio.sleep(0.1)
        assert not running.done(), running.result()
    began = time.monotonic()
    os.kill(mortal.process.pid, signal.SIGTERM)
    outcome = await running
    assert time.monotonic() - began < 8 * timeout
    assert outcome.code == 3, outcome.err
    assert "vllm/tiny: " in outcome.err
    result = result_of(out)
    assert result["stop_reason"] == "provider"
    assert result["steps_done"] >= 1
