"""A provider that goes away in the middle of a run: it is waited for, or gone on with later."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from bdpl_async.errors import ProviderUnavailable, ServerFault
from bdpl_async.records import Reply, Request, Score
from tests.disturbed import AT_ONCE, Bench, result
from tests.faults import Faults
from tests.faultserver import Books, FaultServer, Manners
from tests.test_gate import Counting, by_number, gate_for, number_of, texts

Capsys = pytest.CaptureFixture[str]
ROOT = Path(__file__).parents[1]
PATIENCE = 0.5  # seconds that eight tries last at least, instead of half a minute
ENOUGH = ("--timeout", "0.2")


@pytest.fixture(scope="module")
def server() -> Iterator[FaultServer]:
    with FaultServer.in_thread(Manners()) as served:
        yield served


@pytest.fixture
def bench(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capsys, server: FaultServer
) -> Iterator[Bench]:
    monkeypatch.chdir(tmp_path)
    server.manners = Manners(latency=0.002)
    made = Bench(tmp_path, capsys, server)
    made.whole()
    with monkeypatch.context() as patch:
        patch.setattr("bdpl_async.limits.backoff.FIRST", PATIENCE / 127)
        yield made


@contextmanager
def going(server: FaultServer, manners: Manners, *, back: float | None = None) -> Iterator[None]:
    """In the middle of what is run here the server changes its manners; perhaps it changes back."""
    before, over = server.manners, threading.Event()
    server.books = Books()

    def change() -> None:
        while server.books.scoring < 60 and not over.is_set():
            time.sleep(0.001)
        server.manners = manners
        if back is not None:
            over.wait(back)
            server.manners = before

    thread = threading.Thread(target=change)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        server.manners = before


def always(kind: str) -> Manners:
    return Manners(faults=Faults(every={kind: 1}, at_most=10**9, wait=0.01))


@pytest.mark.parametrize("kind", ["503", "500", "reset", "hang"])
def test_one_that_comes_back_is_waited_for(kind: str, bench: Bench) -> None:
    """Within the tries of a request: nothing is given up, the result is the same."""
    with going(bench.server, always(kind), back=0.6 * PATIENCE):
        done = bench.run("back", *ENOUGH)
    assert done.code == 0, done.err
    assert bench.server.books.struck[kind] > 0
    assert result("back") == bench.result


@pytest.mark.parametrize("kind", ["503", "500", "slow-down", "reset", "hang", "quota", "key"])
def test_one_that_stays_away_ends_the_run(kind: str, bench: Bench) -> None:
    """Exit code 3, with the command that goes on; then all is as if nothing had been.

    No text of the update in which it went away stays without an answer.
    """
    manners = replace(always("503"), key="another") if kind == "key" else always(kind)
    with going(bench.server, manners):
        done = bench.run("away", *ENOUGH)
    assert done.code == 3
    assert f"go on with: bdpl-async resume {Path.cwd() / 'away'}" in done.err
    assert result("away")["stop_reason"] == "provider"
    bench.goes_on("away", twice=AT_ONCE)


def parted(bad: Callable[[int], bool], error: ProviderUnavailable) -> Counting:
    """Some texts bring the server down, whenever they are sent."""

    def answer(request: Request) -> Reply:
        if any(bad(number_of(text)) for text in request.texts):
            raise error
        return by_number(request)

    return Counting(answer)


@pytest.mark.parametrize("error", [ServerFault("500"), ProviderUnavailable("reset")])
@pytest.mark.parametrize("concurrency", [1, 8])
async def test_a_bad_text_is_no_outage(error: ProviderUnavailable, concurrency: int) -> None:
    """Even the last of all: that what was answered before still is, is found out once."""
    scorer = parted(lambda number: number == 29, error)
    gate = gate_for(scorer, concurrency=concurrency)
    outcomes = await gate.score(texts(30))
    assert [n for n, outcome in enumerate(outcomes) if not isinstance(outcome, Score)] == [29]
    assert 29 + 8 <= len(scorer.sent) <= 29 + 8 + 1


@pytest.mark.parametrize("error", [ServerFault("500"), ProviderUnavailable("reset")])
async def test_an_outage_at_the_end_of_an_ask_is_one(error: ProviderUnavailable) -> None:
    """The last text alone is not answered, and what was answered before is not any more."""
    gone: list[int] = []

    def answer(request: Request) -> Reply:
        if number_of(request.texts[0]) == 29 or gone:
            gone.append(1)
            raise error
        return by_number(request)

    scorer = Counting(answer)
    with pytest.raises(type(error)):
        await gate_for(scorer, concurrency=1).score(texts(30))
    assert len(scorer.sent) == 29 + 8 + 3


@pytest.mark.slow
def test_a_probe_that_is_stopped_keeps_its_answer(bench: Bench) -> None:
    """What is in flight at the first signal lands, and is not asked for again."""
    bench.server.manners, bench.server.books = Manners(latency=1.0), Books()
    model = f"--model compatible/fake --base-url {bench.server.url} --cache none --batch-prompts 1"
    path = os.pathsep.join(str(ROOT / part) for part in (".", "providers", "cli"))
    process = subprocess.Popen(
        [sys.executable, "-m", "bdpl_cli", *f"run task.toml {model} --out cut --ui none".split()],
        env={**os.environ, "PYTHONPATH": path},
        stderr=subprocess.PIPE,
        text=True,
    )
    while not bench.server.books.scoring:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=30)[1]
    assert process.returncode == 130
    assert "go on with: bdpl-async resume" in said
    assert bench.server.books.answered.total() == 1
    bench.server.manners = Manners()
    bench.goes_on("cut")
    assert bench.server.books.requests == bench.sent


@pytest.mark.slow
def test_half_a_minute_without_a_server(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the waits as they are, the default tries outlast it."""
    monkeypatch.setattr("bdpl_async.limits.backoff.FIRST", 0.25)
    with going(bench.server, always("reset"), back=29.0):
        done = bench.run("back")
    assert done.code == 0, done.err
    assert result("back") == bench.result
