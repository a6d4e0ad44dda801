"""Runs that are killed and go on, held against one that was never stopped.

    with arena(folder, setting) as place:
        whole = place.whole()
        place.killed("out", place.in_phase("selection"), delay=0.003)
        place.resumed("out")
        place.same("out", whole)

Processes, their death and the server's books are real.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from bdpl_async.saving.journal import Journal
from tests.faultserver import Books, FaultServer, Manners
from tests.workbench import TESTED, rows, write_task

__all__ = [
    "PHASES",
    "Arena",
    "Left",
    "Lethal",
    "Setting",
    "arena",
    "ended",
    "environment",
    "started",
]

ROOT = Path(__file__).parents[1]
TOOL = (sys.executable, "-m", "bdpl_cli")
DOOMED = (sys.executable, str(ROOT / "tests" / "doomed.py"))
PHASES = ("probe", "baseline", "step", "selection", "test")
ENDLESS = 60.0  # seconds; no process here takes as long
COUNTED = ("requests", "prompts", "tokens")
FREE = ("usage", "latency", "spending")
"""What a kill may change: what was in flight counts, and time went by."""


def environment() -> dict[str, str]:
    """For a process that runs the tool from this tree."""
    folders = [ROOT, ROOT / "providers", ROOT / "cli"]
    more = {"PYTHONPATH": os.pathsep.join(map(str, folders)), "OMP_NUM_THREADS": "1"}
    more["PYTHONFAULTHANDLER"] = "1"
    return {**os.environ, **more, "VLLM_API_KEY": "sk-of-the-arena-0123456789"}


def started(folder: Path, words: Sequence[str | Path], **more: str) -> subprocess.Popen[str]:
    """A process in a folder."""
    return subprocess.Popen(
        [str(word) for word in words],
        cwd=folder,
        env=environment() | more,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    """What a process said and how it ended; one that hangs says where."""
    try:
        out, err = process.communicate(timeout=ENDLESS)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)  # see PYTHONFAULTHANDLER
        raise AssertionError(process.communicate()[1]) from None
    return subprocess.CompletedProcess([], process.returncode, out, err)


class Lethal(FaultServer):
    """Kills its client when the so-manieth request arrives, or a little later."""

    def __init__(self, manners: Manners | None = None) -> None:
        super().__init__(manners)
        self._at, self._strike = 0, lambda: None
        self._delay = 0.0

    def doom(self, at: int, strike: Callable[[], None], delay: float) -> None:
        """At request `at` from now on, and `delay` seconds later, do what `strike` does."""
        self.books = Books()
        self._at, self._strike, self._delay = at, strike, delay

    async def _serve(self, call: Any) -> None:
        if self.books.requests + 1 == self._at:
            self._at = 0
            asyncio.get_running_loop().call_later(self._delay, self._strike)
        await super()._serve(call)

    def calm(self) -> Books:
        """Its books once nobody is connected any more: what was read is answered and billed."""
        end = time.monotonic() + 10
        while self._connections and time.monotonic() < end:
            time.sleep(0.005)
        return self.books


@dataclass(frozen=True)
class Setting:
    """How a run is told to run.

    Attributes:
        options: of the command.
        limits: of a budget, as the server's books count.
        cache: whether answers outlive the run; ``lost`` is deleted before it goes on.
        changes: to the task's file.
    """

    options: tuple[str, ...] = ()
    limits: dict[str, int] = field(default_factory=dict)
    cache: str = "none"
    changes: tuple[tuple[str, str], ...] = ()
    model: str = "vllm/fake"
    concurrency: int = 8
    manners: Manners = field(default_factory=lambda: Manners(latency=0.006, noise=0.5))


@dataclass(frozen=True)
class Left:
    """What a run left: its documents as far as a kill must not change them, and what it took."""

    result: dict[str, Any]
    files: dict[str, bytes]
    steps: list[int]
    usage: dict[str, Any]
    requests: int
    spans: dict[str, tuple[int, int]]


class Arena:
    """One task, one server, one way to run."""

    def __init__(self, folder: Path, server: Lethal, setting: Setting) -> None:
        self.folder, self.server, self.setting = folder, server, setting
        (folder / "test.tsv").write_text(rows(24, 200))
        small = (("samples = 4", "samples = 6"), ("batch = 2", "batch = 4"))
        write_task(folder, TESTED, *small, *setting.changes)

    def words(self, out: str) -> list[str]:
        """The command that begins a run."""
        cache = "none" if self.setting.cache == "none" else f"{out}.db"
        told = ["--model", self.setting.model, "--base-url", self.server.url, "--out", out]
        told += ["--ui", "none", "--cache", cache, "--concurrency", str(self.setting.concurrency)]
        return ["run", "task.toml", *told, *self.setting.options]

    def whole(self, out: str = "whole") -> Left:
        """A run that nobody stops."""
        self.server.books = Books()
        done = self.finished((*TOOL, *self.words(out)))
        assert done.returncode == 0, done.stderr
        self.check_budget(out)
        return self.left(out)

    def killed(
        self, words: Sequence[str], at: int, delay: float = 0.0, number: int = signal.SIGKILL
    ) -> subprocess.CompletedProcess[str]:
        """Run until a signal at the so-manieth request from now on; it may end before that."""

        def strike() -> None:
            if process.poll() is None:
                process.send_signal(number)

        self.server.doom(at, strike, delay)
        process = started(self.folder, (*TOOL, *words))
        done = ended(process)
        self.server.calm()
        return done

    def doomed(
        self, call: str, at: int, when: str, words: Sequence[str], **more: str
    ) -> subprocess.CompletedProcess[str]:
        """Run until the so-manieth call, see `tests/doomed.py`."""
        done = self.finished((*DOOMED, call, str(at), when, *words), **more)
        self.server.calm()
        return done

    def finished(
        self, words: Sequence[str | Path], **more: str
    ) -> subprocess.CompletedProcess[str]:
        """A command, to its end."""
        return ended(started(self.folder, words, **more))

    def resumed(self, out: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Go on to the end; begin anew where there is no run to go on with yet."""
        if self.setting.cache == "lost":
            for file in self.folder.glob(f"{out}.db*"):
                file.unlink()
        begun = (self.folder / out / "run.toml").exists()
        words = ["resume", out, "--ui", "none"] if begun else self.words(out)
        spare = (*DOOMED, "replace", "0", "before") if more else TOOL
        done = self.finished((*spare, *words), **more)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        self.server.calm()
        return done

    def in_flight(self, out: str) -> int:
        """Requests that were sent, and of which nothing is known, by the journal of a dead run."""
        open_, paid = set[int](), set[int]()
        taped = False
        for file in sorted((self.folder / out).glob("checkpoint-*.log")):
            for record, _ in Journal.read(file):
                kind = record[0]
                if kind == "sent":
                    open_.add(record[1])
                elif kind in ("fail", "cut"):
                    open_.discard(record[1])
                elif kind == "paid":
                    paid.add(record[1])
                elif kind in ("text", "seen") or (kind == "tell" and taped):
                    open_ -= paid  # both what it cost and what it said are written down
                taped = kind == "tape" or (taped and kind == "paid")
        return len(open_)

    def left(self, out: str) -> Left:
        """What stands in RUN_DIR."""
        folder = self.folder / out
        result = orjson.loads((folder / "result.json").read_bytes())
        names = ("answers.json", "policy.json")
        files = {name: (folder / name).read_bytes() for name in names if (folder / name).exists()}
        events = [
            orjson.loads(line) for line in (folder / "events.jsonl").read_bytes().splitlines()
        ]
        usage = result["usage"]
        kept = {name: value for name, value in result.items() if name not in FREE}
        steps = [event["step"] for event in events if event["type"] == "step"]
        requests = self.server.books.requests
        return Left(kept, files, steps, usage, requests, spans(folder, events))

    def check_budget(self, out: str) -> None:
        """The books of the server are within the budget, and the run knows of all of it."""
        books, usage = self.server.books, self.left(out).usage
        counted = dict(zip(COUNTED, (books.requests, books.prompts, books.tokens), strict=True))
        used = {name: usage[name] for name in COUNTED[:2]}
        used["tokens"] = usage["prompt_tokens"] + usage["completion_tokens"]
        for name, limit in self.setting.limits.items():
            assert counted[name] <= limit, (name, counted, limit)
            assert usage_of(usage, name) <= limit, (name, usage, limit)
        for name in COUNTED[:2]:
            assert used[name] >= counted[name], (name, used, counted)

    def differences(self, out: str, whole: Left) -> dict[str, Any]:
        """What is not as if the run had never been stopped: name -> (then, now)."""
        found = self.left(out)
        other = {k: (v, found.result[k]) for k, v in whole.result.items() if v != found.result[k]}
        if found.steps != whole.steps:
            other["steps"] = whole.steps, found.steps
        files = [name for name in whole.files if found.files[name] != whole.files[name]]
        return other | dict.fromkeys(files, "other bytes")

    def check_same(self, out: str, whole: Left) -> None:
        """All of it is as if the run had never been stopped."""
        other = self.differences(out, whole)
        assert not other, (out, other)

    def check_paid(self, whole: Left, in_flight: int) -> int:
        """At most what was in flight was sent twice; how many that were."""
        twice = self.server.books.requests - whole.requests
        assert twice <= in_flight, (twice, in_flight)
        return twice


def usage_of(usage: dict[str, Any], name: str) -> int:
    """A count of the run's own."""
    tokens = usage["prompt_tokens"] + usage["completion_tokens"]
    return int({"tokens": tokens}.get(name, usage.get(name, 0)))


def spans(folder: Path, events: list[dict[str, Any]]) -> dict[str, tuple[int, int]]:
    """Phase -> the requests that it sent, first and last, counted from 1; empty ones left out."""
    sent: list[float] = []
    for file in sorted(folder.glob("checkpoint-*.log")):
        sent += [record[-1] for record, _ in Journal.read(file) if record[0] == "sent"]
    ends = {"probe": 0.0, "step": 0.0}
    for event in events:
        if event["type"] == "probed":
            ends["probe"] = event["t"]
        elif event["type"] == "step":
            ends["step"] = event["t"]
        elif event["type"] == "evaluated":
            role = {("dev", "empty"): "baseline", ("dev", "learned"): "selection"}
            ends[role.get((event["split"], event["role"]), "test")] = event["t"]
    found: dict[str, tuple[int, int]] = {}
    last = 0
    for phase in PHASES:
        until = sum(t <= ends.get(phase, 0.0) for t in sent)
        if until > last:
            found[phase] = (last + 1, until)
            last = until
    return found


@contextmanager
def arena(folder: Path, setting: Setting) -> Iterator[Arena]:
    """A server and a task, as long as this lasts."""
    with Lethal.in_thread(setting.manners) as server:
        yield Arena(folder, server, setting)
