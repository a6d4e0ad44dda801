"""A key given in the environment reaches the server and nothing else."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import traceback
from pathlib import Path

import pytest

from bdpl_async.errors import BdplError
from bdpl_async.records import Prompt, Reply, Request
from bdpl_async.run import Run
from bdpl_async.task import Task
from bdpl_cli.connecting import connected
from tests.faults import REFUSALS, SPOILT, Faults
from tests.faultserver import FaultServer, Manners
from tests.hasty import hasty
from tests.workbench import command, write_task

ROOT = Path(__file__).parents[1]
KEY = "Zq7w.Kobold~Marzipan-4711"  # of no known form, so that only its value can be searched for
PIECE = KEY[:9]  # a message that is cut off in the middle of the key must not show its half either
BAD_MIX = dict.fromkeys(("429", "500", "503", "502", "html", "truncated", "reset"), 0.04)


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The key in the environment, and a folder of one's own to run in."""
    monkeypatch.setenv("VLLM_API_KEY", KEY)
    monkeypatch.chdir(tmp_path)


def everything_in(folder: Path) -> dict[str, bytes]:
    """All bytes of all files, names included."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path): str(path).encode() + path.read_bytes() for path in files}


def arguments(server: FaultServer, *more: str) -> list[str]:
    told = ["run", "task.toml", "--model", "vllm/fake", "--base-url", server.url]
    return [*told, "--out", "out", "--cache", "cache.db", *more]


def leaks(text: str | bytes) -> bool:
    raw = text.encode() if isinstance(text, str) else text
    return PIECE.encode() in raw


@pytest.mark.parametrize("view", ["json", "plain"])
def test_a_run_through_trouble_keeps_the_key(
    view: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Events, results, cache, output and logs hold no key, though the server repeats it."""
    caplog.set_level(logging.DEBUG)
    write_task(tmp_path)
    manners = Manners(key=KEY, echo=True, faults=Faults(rates=BAD_MIX))
    with FaultServer.in_thread(manners) as server:
        outcome = command(capsys, *arguments(server, "--ui", view, "--timeout", "5"))
    assert outcome.code == 0, outcome.err
    assert server.books.keys == {f"Bearer {KEY}"}
    assert sum(server.books.struck.values()) > 0
    files = everything_in(tmp_path)
    assert any("cache.db" in name for name in files)
    assert any("events.jsonl" in name for name in files)
    assert [name for name, content in files.items() if leaks(content)] == []
    assert not leaks(outcome.out + outcome.err + caplog.text)


@pytest.mark.parametrize("status", ["401", "quota", "500"])
def test_a_run_that_is_refused_keeps_the_key(status: str, tmp_path: Path) -> None:
    """A process of its own, as talkative as Python can be, ends without a word of the key."""
    write_task(tmp_path)
    always = Faults(rates={status: 1.0}, at_most=10_000)
    wrong = Manners(key="another", echo=True)
    manners = wrong if status == "401" else Manners(echo=True, faults=always)
    folders = [ROOT, ROOT / "providers", ROOT / "cli"]
    loud = {"PYTHONDEVMODE": "1", "PYTHONASYNCIODEBUG": "1", "OPENAI_LOG": "debug"}
    with FaultServer.in_thread(manners) as server:
        done = subprocess.run(
            [sys.executable, "-m", "bdpl_cli", *arguments(server, "--set", "model.attempts=1")],
            cwd=tmp_path,
            env={**os.environ, **loud, "PYTHONPATH": os.pathsep.join(map(str, folders))},
            capture_output=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 3, done.stderr
    assert server.books.keys == {f"Bearer {KEY}"}
    assert not leaks(done.stdout + done.stderr)
    assert [name for name, content in everything_in(tmp_path).items() if leaks(content)] == []


@pytest.mark.parametrize("echo", [True, False])
@pytest.mark.parametrize("kind", [*REFUSALS, *SPOILT, "quota", "context", "redirect", "down"])
def test_no_error_shows_the_key(kind: str, echo: bool, tmp_path: Path) -> None:
    """Not its message, its causes, its traceback; nor its frames' variables, unless the server
    itself said the key a moment ago."""

    async def work() -> list[BaseException]:
        manners = Manners(key=KEY, echo=echo, elsewhere="http://127.0.0.1:9/v1/completions")
        async with FaultServer(manners) as server:
            told = {"model.name": "vllm/fake", "model.base_url": server.url, "run.cache": "none"}
            task = Task.from_toml(write_task(tmp_path), overrides={**told, "model.timeout": 1.0})
            async with connected(task.config) as scorer:
                await Run.open(task, scorer)
                texts = tuple(task.text(Prompt(), row) for row in task.dev.examples[:2])
                manners.faults = Faults(rates={kind: 1.0}, at_most=10_000)
                if kind == "down":
                    await server.__aexit__()
                try:
                    async with asyncio.timeout(2):
                        reply = await scorer.score(Request(texts, task.words))
                except (BdplError, TimeoutError) as error:
                    return [error]
                return troubles(reply, repr(scorer))

    found = hasty(work())
    assert found
    for error in found:
        if error.__traceback__ is not None:  # the first frame is ours, and it knows the key
            error.__traceback__ = error.__traceback__.tb_next
        told = traceback.TracebackException.from_exception(error, capture_locals=not echo)
        lines = "".join(told.format()) + repr(error) + str(error.__dict__)
        assert [line for line in lines.splitlines() if leaks(line)] == []


def troubles(reply: Reply, shown: str) -> list[BaseException]:
    """The errors that stand in a reply, and the scorer's own repr as one more."""
    errors = [score for score in reply.scores if isinstance(score, BdplError)]
    return [*errors, RuntimeError(shown)]


def test_the_resolved_configuration_names_the_variable_only(tmp_path: Path) -> None:
    """run.toml says where the key comes from, never what it is."""
    path = write_task(tmp_path)
    task = Task.from_toml(path, overrides={"model.api_key_env": "VLLM_API_KEY"})
    assert "VLLM_API_KEY" in task.config.to_toml()
    assert not leaks(task.config.to_toml())
