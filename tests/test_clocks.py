"""Only monotonic time decides anything, and a run's seconds are those of all its processes."""

from __future__ import annotations

import ast
import asyncio
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

import bdpl_async as bdpl
from bdpl_async.errors import ProviderUnavailable
from bdpl_async.events import Event, Finished, Step
from bdpl_async.limits.limiter import Limiter
from bdpl_async.records import Reply, Request, Score
from bdpl_async.result import Result
from bdpl_async.run import Run
from bdpl_async.rundir import RunDir
from bdpl_async.tuning import follow
from tests.disturbed import result
from tests.faultserver import FaultServer, Manners
from tests.virtualtime import limiter_of, now, virtually
from tests.workbench import Length, write_task

ROOT = Path(__file__).parents[1]
HOUR = 3600.0
WALL = {
    "bdpl_async/caching/file.py": "when an answer was kept, for pruning",
    "providers/bdpl_providers/transport.py": "what a date in a header means",
    "providers/bdpl_providers/sdk.py": "the same",
    "providers/bdpl_providers/openai.py": "which prices hold today",
    "cli/bdpl_cli/cache.py": "how old answers are, in days",
    "cli/bdpl_cli/compare.py": "the name of a folder",
    "cli/bdpl_cli/run.py": "the name of a folder",
}


def test_the_wall_clock_is_asked_for_dates_alone() -> None:
    """Nothing but these files reads it, each for what stands beside it."""
    found = set()
    for package in ("bdpl_async", "providers/bdpl_providers", "cli/bdpl_cli"):
        for file in (ROOT / package).rglob("*.py"):
            tree = ast.parse(file.read_text())
            if any(_reads_the_wall(node) for node in ast.walk(tree)):
                found.add(str(file.relative_to(ROOT)))
    assert found == set(WALL)


def _reads_the_wall(node: ast.AST) -> bool:
    match node:
        case ast.Attribute(value=ast.Name("time"), attr="time" | "time_ns" | "localtime"):
            return True
        case ast.Attribute(value=ast.Name("datetime" | "date"), attr="now" | "utcnow" | "today"):
            return True
        case ast.ImportFrom(module="time", names=names):
            return any(name.name in ("time", "strftime", "localtime") for name in names)
        case _:
            return False


async def test_a_wall_clock_that_jumps_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hours ahead and back again, at each look."""
    monkeypatch.chdir(tmp_path)
    task = bdpl.Task.from_toml(write_task(tmp_path))
    await bdpl.tune(task, Length(), out="calm")
    jumps = itertools.cycle((0.0, 9 * HOUR, -30 * HOUR))
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + next(jumps))
    found = await bdpl.tune(task, Length(), out="jumpy", budget=bdpl.Budget(seconds=60))
    assert result("jumpy") == result("calm")
    assert found.usage.seconds < 60


def test_a_limiter_that_slept_owes_nothing() -> None:
    """A clock that jumps by an hour ends windows and pauses; it never makes them longer."""

    async def work() -> float:
        limiter: Limiter = limiter_of(rpm=60)
        for _ in range(60):
            limiter.answered(await limiter.acquire(1), 1, ())
        asyncio.get_running_loop().skipping.now += HOUR  # type: ignore[attr-defined]  # ours
        began = now()
        for _ in range(60):
            limiter.answered(await limiter.acquire(1), 1, ())
        waited = now() - began
        ticket = await limiter.acquire(1)
        limiter.answered(ticket, 1, ())
        assert now() - began <= 61.1
        return waited

    assert virtually(work()) == 0.0


@dataclass
class Paced(Length):
    """Takes a second of a clock of its own for each request."""

    now: float
    then: Callable[[int], None]

    def __post_init__(self) -> None:
        self.requests = 0

    async def score(self, request: Request) -> Reply:
        self.now += 1.0
        self.then(self.requests)
        reply = await super().score(request)
        return Reply([Score(score.logprobs) for score in reply.scores if isinstance(score, Score)])

    def clock(self) -> float:
        return self.now


async def drive(task: bdpl.Task, scorer: Paced, *, resumed: bool, waits: float = 0.0) -> Result:
    """Run in ``out``; after the second step wait for so long, and stop."""
    with RunDir(Path("out"), task.config, resumed=resumed) as folder:
        run = await Run.open(task, scorer, folder=folder, clock=scorer.clock)
        began = run.gate.elapsed

        def hear(event: Event) -> None:
            if isinstance(event, Step) and waits and event.step == 2:
                scorer.now += waits
                run.gate.halt()
            if isinstance(event, Finished):
                seconds.append((began, event.t))

        seconds: list[tuple[float, float]] = []
        found = await follow(run, folder, hear)
        SPANS.extend(seconds)
        return found


SPANS: list[tuple[float, float]] = []


async def test_a_resumed_run_has_the_rest_of_its_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of all its processes count, waits before a stop as well; the time between does not."""
    monkeypatch.chdir(tmp_path)
    SPANS.clear()
    path = write_task(tmp_path, ("steps = 2\n", ""), more="[budget]\nseconds = 400\n")
    task = bdpl.Task.from_toml(path, overrides={"model.concurrency": 1})
    first = await drive(task, Paced(5e6, lambda _: None), resumed=False, waits=100.0)
    assert first.stop_reason == "interrupted"
    task = bdpl.Task.from_toml("out/run.toml")
    later = Paced(7.0, lambda _: None)  # another boot: its clock began anew
    last = await drive(task, later, resumed=True)
    (_, stopped), (began, ended) = SPANS
    assert stopped > 100
    assert began == pytest.approx(stopped, abs=0.01)
    assert last.stop_reason == "budget"
    assert ended <= 400
    assert later.now - 7.0 <= 400 - stopped
    assert last.usage.seconds == pytest.approx(ended)


async def test_an_hour_between_two_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that counts a sleep only makes the run older: no request fails, nothing is lost."""
    monkeypatch.chdir(tmp_path)
    task = bdpl.Task.from_toml(write_task(tmp_path), overrides={"model.concurrency": 1})
    await bdpl.tune(task, Length(), out="calm")
    asleep = Paced(0.0, lambda number: None)

    def sleep(number: int) -> None:
        if number == 5 and asleep.now < HOUR:
            asleep.now += HOUR
            raise ProviderUnavailable("the connection broke while nobody was awake")

    asleep.then = sleep
    found = await drive(task, asleep, resumed=False)
    assert result("out") == result("calm")
    assert found.usage.seconds > HOUR


@pytest.mark.slow
def test_a_process_that_is_suspended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was in flight is late when it wakes; it is sent again, and the run goes on."""
    monkeypatch.chdir(tmp_path)
    write_task(tmp_path)
    with FaultServer.in_thread(Manners(latency=0.2)) as server:
        words = f"run task.toml --model compatible/fake --base-url {server.url} --cache none"
        pace = "--concurrency 16 --batch-prompts 1 --timeout 0.5 --ui none --out"

        def started(out: str) -> subprocess.Popen[str]:
            path = os.pathsep.join(str(ROOT / part) for part in (".", "providers", "cli"))
            command = [sys.executable, "-m", "bdpl_cli", *f"{words} {pace} {out}".split()]
            return subprocess.Popen(
                command, env={**os.environ, "PYTHONPATH": path}, stderr=subprocess.PIPE, text=True
            )

        calm = started("calm")
        assert calm.communicate(timeout=60)[1] == ""
        before = server.books.requests
        asleep = started("asleep")
        while server.books.requests < before + 30:
            time.sleep(0.005)
        asleep.send_signal(signal.SIGSTOP)
        time.sleep(1.0)
        asleep.send_signal(signal.SIGCONT)
        assert asleep.communicate(timeout=60)[1] == ""
        assert asleep.returncode == 0
    assert result("asleep") == result("calm")
