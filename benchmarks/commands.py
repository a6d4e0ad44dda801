"""The command line as a user starts it: how long `--help` takes, what a whole run takes.

Runs have a RUN_DIR, a journal and a cache, send one text a request, and are looked at from
outside. The loopback server answers all texts alike, so nothing is learned and every update asks
what is new. Linux only: memory is read from /proc.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from figures import Figures, Round, Setting
from loopback import Books, Server, served
from places import environment
from replies import MODEL
from soak import TASK, write_task
from soakproc import Sample, sample, slope

LOOK = 0.1  # seconds between two looks
CROWD = 64  # requests in flight: the default
MEAN, SIGMA, FEW = 0.05, 0.5, 32  # of the run that waits: seconds, log-normal; in flight


@dataclass
class Whole:
    """What a run took.

    Attributes:
        cpu: seconds, all of the process.
        seconds: from its start to its end.
        books: the server's.
    """

    cpu: float
    seconds: float
    books: Books
    samples: list[Sample] = field(default_factory=list)


async def cold(setting: Setting) -> Round:
    """Seconds until `--help` is there, and how many of them are Python's own."""
    words = {"--help": ["-m", "bdpl_cli", "--help"], "Python alone": ["-c", "pass"]}

    async def once() -> Figures:
        return {
            f"{name}, in a new process | s": median(
                _started(command) for _ in range(setting.sizes.cold)
            )
            for name, command in words.items()
        }

    return once


def _started(words: list[str]) -> float:
    began = time.perf_counter()
    command = [sys.executable, *words]
    subprocess.run(command, check=True, env=environment(), stdout=subprocess.DEVNULL)  # noqa: S603
    return time.perf_counter() - began


async def memory(setting: Setting) -> Round:
    """A long run whose replies come at once: memory and CPU time."""
    count, numbers = setting.sizes.long, iter(range(10**6))

    async def once() -> Figures:
        with served() as server:
            folder = setting.made(f"memory-{next(numbers)}")
            run = await whole(server, folder, count, CROWD)
        looks = [look for look in run.samples if look.requests]
        late = [look for look in looks if look.requests > run.books.requests / 2]
        row = f"whole run of {count:,} requests, {CROWD} in flight"
        return {
            f"{row} | us CPU a request": run.cpu / run.books.requests * 1e6,
            f"{row} | MB in memory at the first request": looks[0].rss,
            f"{row} | MB in memory in the end": looks[-1].rss,
            f"{row} | MB in memory at most": looks[-1].peak,
            f"{row} | MB more per 100,000 requests, second half": slope(late),
        }

    return once


async def tuned(setting: Setting) -> Round:
    """A run whose replies take time: what part of it the requests allowed were in flight."""
    count, numbers = setting.sizes.tuned, iter(range(10**6))

    async def once() -> Figures:
        with served(MEAN, SIGMA) as server:
            folder = setting.made(f"tuned-{next(numbers)}")
            books = (await whole(server, folder, count, FEW)).books
        row = f"whole run, {FEW} in flight, log-normal {MEAN * 1e3:.0f} ms"
        best = books.delays / FEW
        return {f"{row} | of a wire that is never idle": best / (books.last - books.first)}

    return once


async def whole(server: Server, folder: Path, requests: int, concurrency: int) -> Whole:
    """A run of the command, from its start to its end.

    Raises:
        RuntimeError: it did not end as it should.
    """
    write_task(folder)
    (folder / "task.toml").write_text(TASK.partition("[model]")[0])
    began = time.perf_counter()
    with (folder / "said").open("w") as said:
        process = subprocess.Popen(  # noqa: S603, ASYNC220  it is waited for below
            [sys.executable, "-m", "bdpl_cli", *words(server.url, requests, concurrency)],
            cwd=folder,
            env=environment(),
            stdout=said,
            stderr=said,
        )
    run = Whole(0.0, 0.0, Books())
    while True:
        ended, status, used = os.wait4(process.pid, os.WNOHANG)  # noqa: ASYNC222  it does not wait
        if ended:
            break
        t = time.perf_counter() - began
        look = sample(process.pid, t, server.books().requests, folder)
        if look is not None:
            run.samples.append(look)
        await asyncio.sleep(LOOK)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"a run ended with {process.returncode}: {_last(folder / 'said')}")
    run.cpu, run.seconds = used.ru_utime + used.ru_stime, time.perf_counter() - began
    run.books = server.books()
    return run


def words(url: str, requests: int, concurrency: int) -> Sequence[str]:
    """Of the command."""
    options = ["--model", f"vllm/{MODEL}", "--base-url", url, "--max-requests", str(requests)]
    options += ["--out", "out", "--cache", "cache.db", "--ui", "none", "--batch-prompts", "1"]
    options += ["--concurrency", str(concurrency), "--seed", "0", "--yes"]
    return ["run", "task.toml", *options]


def _last(path: Path) -> str:
    return path.read_text()[-500:]
