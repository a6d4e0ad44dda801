"""A task that the tiny model knows, our command and servers as processes, and vLLM's counters."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from tests.workbench import Outcome

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FOLDERS = (ROOT, ROOT / "providers", ROOT / "cli")
SLOWEST = 300.0  # seconds that a command may take before the test fails
UP = 120.0  # seconds for a server of our own to answer
LABELS = (" No", " Yes")
TASK = """\
[task]
name = "greater"
train = "train.tsv"
dev = "dev.tsv"
test = "test.tsv"
label = "label"
template = "{prompt} Question: Is {a} greater than {b}? Answer:{mask}"
labels = { "0" = " No", "1" = " Yes" }

[prompt]
length = 3
vocabulary_size = 10
vocabulary = "words.txt"

[optimizer]
samples = 6
batch = 4
steps = 3
finalists = 3
"""


@dataclass(frozen=True)
class Keyed:
    """A server and the key that it takes."""

    url: str
    key: str


@dataclass(frozen=True)
class Launched:
    """A server process of our own."""

    url: str
    process: subprocess.Popen[bytes]


def questions() -> list[tuple[int, int]]:
    """All pairs of different digits, shuffled by arithmetic: 37 has no factor in common with 90."""
    pairs = [(a, b) for a in range(10) for b in range(10) if a != b]
    return [pairs[37 * i % 90] for i in range(90)]


def rows(pairs: list[tuple[int, int]]) -> str:
    return "a\tb\tlabel\n" + "".join(f"{a}\t{b}\t{int(a > b)}\n" for a, b in pairs)


def write_questions(folder: Path, *changes: tuple[str, str]) -> Path:
    """`TASK` and its data; each change replaces text that must be there."""
    text = TASK
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    pairs = questions()
    for name, part in {"train": pairs[:32], "dev": pairs[32:56], "test": pairs[56:]}.items():
        (folder / f"{name}.tsv").write_text(rows(part))
    words = "cat dog bird the number digit count small large red"
    (folder / "words.txt").write_text(words.replace(" ", "\n") + "\n")
    path = folder / "task.toml"
    path.write_text(text)
    return path


async def bdpl(*arguments: str | Path, **environment: str) -> Outcome:
    """Run the command line as a process; it must end by itself, and never with a traceback."""
    path = os.pathsep.join(map(str, FOLDERS))
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "bdpl_cli", *map(str, arguments)],
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": path} | environment,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), SLOWEST)
    finally:
        if process.returncode is None:
            process.kill()
    outcome = Outcome(process.returncode or 0, out.decode(), err.decode())
    assert "Traceback" not in outcome.out + outcome.err, outcome.err
    return outcome


async def learned(task: Path, out: Path, *arguments: str | Path, **environment: str) -> Any:
    """``run``, which must end with a result; that result."""
    outcome = await bdpl("run", task, "--out", out, *arguments, **environment)
    assert outcome.code == 0, outcome.err
    return result_of(out)


def result_of(out: Path) -> Any:
    return orjson.loads((out / "result.json").read_bytes())


def events_of(out: Path, kind: str) -> list[Any]:
    lines = (out / "events.jsonl").read_bytes().splitlines()
    return [event for event in map(orjson.loads, lines) if event["type"] == kind]


def same(result: Any) -> Any:
    """All of a result that the same answers must give again."""
    kept = ("prompt", "tokens", "losses", "dev", "test", "baseline", "gain", "steps_done")
    return {name: result[name] for name in kept}


async def metrics(url: str) -> Counter[str]:
    """vLLM's own counters, summed over their labels."""
    root = url.removesuffix("/v1")
    async with aiohttp.ClientSession() as session, session.get(f"{root}/metrics") as response:
        text = await response.text()
    found: Counter[str] = Counter()
    for line in text.splitlines():
        name, _, value = line.rpartition(" ")
        plain = name.partition("{")[0]
        if plain == "http_requests_total" and not any(path in name for path in ASKED):
            continue
        if not line.startswith("#") and plain.endswith("_total"):
            found[plain] += round(float(value))
    return found


ASKED = ('"/v1/completions"', '"/v1/chat/completions"', '"/tokenize"', '"/v1/models"')


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])


@contextmanager
def launched(command: str, log: Path) -> Iterator[Launched]:
    """A server started by `command`, with a process group of its own; ended at the end."""
    port = free_port()
    words = [word.replace("{port}", str(port)) for word in shlex.split(command)]
    with log.open("wb") as sink:
        process = subprocess.Popen(words, stdout=sink, stderr=sink, start_new_session=True)
    url = f"http://127.0.0.1:{port}/v1"
    try:
        wait_for(f"{url}/models", process)
        yield Launched(url, process)
    finally:
        end(process)


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    """Until `url` answers; the process must live as long."""
    deadline = time.monotonic() + UP
    while time.monotonic() < deadline:
        assert process.poll() is None, "the server ended while it started"
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310  our own loopback address
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise AssertionError(f"no answer at {url} within {UP:g} s")


def end(process: subprocess.Popen[bytes]) -> None:
    """End the group that `launched` started, gently at first."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            os.killpg(process.pid, sign)
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                continue
