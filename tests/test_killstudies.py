"""Kill -9 where a run is one among many, one in Python, or one of a model in this process."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.faultserver import Books
from tests.killing import TOOL, Arena, Setting, arena, ended, started

KILLS = int(os.environ.get("BDPL_KILLS", "20"))
METHODS = ("--method", "bdpl", "--method", "greedy")
FREE = ("usage", "latency", "spending")
GRID = 'task = "task.toml"\n[grid]\n"prompt.length" = [2, 3]\n"run.seed" = [0, 1]\n'
PYTHON = """
import asyncio, sys
import bdpl_async as bdpl
from bdpl_cli.connecting import connected

async def main(out, resumed):
    task = bdpl.Task.from_toml("task.toml", overrides={
        "model.name": "vllm/fake", "model.base_url": sys.argv[3], "run.cache": "none",
        "model.batch_prompts": 1, "model.concurrency": 8})
    async with connected(task.config) as scorer:
        if resumed:
            await bdpl.resume(out, scorer)
        else:
            await bdpl.tune(task, scorer, out=out)

asyncio.run(main(sys.argv[1], sys.argv[2] == "resumed"))
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    with arena(tmp_path_factory.mktemp("studies"), Setting(("--batch-prompts", "1"))) as found:
        (found.folder / "s.toml").write_text(GRID)
        (found.folder / "tune.py").write_text(PYTHON)
        yield found


def study(place: Arena, command: str, out: str) -> list[str]:
    """The words that begin a study, and that go on with it."""
    told = ["--base-url", place.server.url, "--cache", "none", "--batch-prompts", "1"]
    told += ["--concurrency", "8", "--out", out]
    if command == "sweep":
        return ["sweep", "s.toml", "--model", "vllm/fake", *told]
    return ["compare", "task.toml", "--model", "vllm/fake", *told, *METHODS]


def results(folder: Path) -> dict[str, dict[str, Any]]:
    """What each run of a study found."""
    found = {}
    for file in sorted(folder.glob("*/result.json")):
        document = orjson.loads(file.read_bytes())
        found[file.parent.name] = {k: v for k, v in document.items() if k not in FREE}
    return found


def killed_study(place: Arena, command: str, kills: int) -> None:
    """Kill a study again and again, rerun it, compare its runs."""
    place.server.books = Books()
    done = place.finished((*TOOL, *study(place, command, f"{command}-whole")))
    assert done.returncode == 0, done.stderr
    whole, requests = results(place.folder / f"{command}-whole"), place.server.books.requests
    assert len(whole) >= 2
    for number in range(kills):
        chance = random.Random(f"{command} {number}")
        words = study(place, command, f"{command}-{number}")
        killed = place.killed(words, chance.randint(2, requests), chance.random() * 0.01)
        assert killed.returncode in (-signal.SIGKILL, 0), killed.stderr
        books = place.server.books
        again = place.finished((*TOOL, *words))
        assert again.returncode == 0, again.stderr
        assert results(place.folder / f"{command}-{number}") == whole
        assert books.requests <= requests + 8


@pytest.mark.slow
@pytest.mark.parametrize("command", ["compare", "sweep"])
def test_a_killed_study_goes_on(command: str, place: Arena) -> None:
    """The arm that was under way goes on where it was; those that were done are not run again."""
    killed_study(place, command, max(1, KILLS // 2))


@pytest.mark.slow
def test_a_killed_tune_goes_on(place: Arena) -> None:
    """`tune(out=...)` and `resume` in Python are as safe as the commands."""
    words = [sys.executable, "tune.py"]
    place.server.books = Books()
    done = place.finished([*words, "api-whole", "new", place.server.url])
    assert done.returncode == 0, done.stderr
    whole = place.left("api-whole")
    for number in range(KILLS // 2):
        chance, out = random.Random(number), f"api-{number}"
        process_words = [*words, out, "new", place.server.url]
        at = chance.randint(1, whole.requests)
        place.server.doom(at, lambda: None, 0.0)
        process = started(place.folder, process_words)
        place.server.doom(at, process.kill, chance.random() * 0.01)
        assert ended(process).returncode in (-signal.SIGKILL, 0)
        place.server.calm()
        in_flight = place.in_flight(out)
        again = place.finished([*words, out, "resumed", place.server.url])
        assert again.returncode == 0, again.stderr
        place.check_same(out, whole)
        assert place.check_paid(whole, in_flight) <= 8


@pytest.mark.slow
@pytest.mark.parametrize("budget", [(), ("--max-prompts", "700")])
def test_a_killed_run_of_the_builtin_model_goes_on(budget: tuple[str, ...], tmp_path: Path) -> None:
    """A model in this process dies with it: nothing was paid, and the same floats come again."""
    pytest.importorskip("torch")
    told = ("--model", "roberta/builtin", "--steps", "4", "--cache", "none", "--ui", "none")
    base = (*TOOL, "run", "reviews", *told, *budget, "--set", "optimizer.samples=4", "--out")
    began = time.monotonic()
    done = ended(started(tmp_path, (*base, "whole")))
    took = time.monotonic() - began
    assert done.returncode == 0, done.stderr
    whole = results(tmp_path)["whole"]
    for number in range(max(1, KILLS // 5)):
        chance, out = random.Random(number), f"b{number}"
        process = started(tmp_path, (*base, out))
        time.sleep(took * (0.3 + 0.7 * chance.random()))
        process.kill()
        ended(process)
        begun = (tmp_path / out / "run.toml").exists()
        words = (*TOOL, "resume", out, "--ui", "none") if begun else (*base, out)
        again = ended(started(tmp_path, words))
        assert again.returncode == 0, again.stderr
        assert results(tmp_path)[out] == whole
