"""Kill -9 at random moments of each phase: the resumed run is the one that was never stopped.

A few kills by default; `pytest -m slow tests/test_kill*.py` tries twenty in every phase of every
setting. BDPL_KILLS says another number.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from bdpl_async.saving.journal import Journal
from tests.killing import PHASES, Arena, Left, Setting, arena

KILLS = int(os.environ.get("BDPL_KILLS", "20"))
ONE = ("--batch-prompts", "1")
LISTS = ("--batch-prompts", "16")
ENDLESS = (("steps = 2\n", ""),)
LONGER = (("steps = 2", "steps = 4"),)
GREEDY = (("steps = 2", 'steps = 4\nmethod = "greedy"'),)
CALIBRATED = (("steps = 2", 'steps = 3\ncalibration = "contextual"'),)
SETTINGS = {
    "one text": Setting(ONE, changes=LONGER),
    "lists": Setting(LISTS, changes=LONGER, cache="kept", concurrency=3),
    "lag": Setting((*ONE, "--set", "optimizer.lag=3"), changes=LONGER),
    "lag, requests": Setting(
        (*ONE, "--set", "optimizer.lag=2", "--max-requests", "260"),
        {"requests": 260},
        changes=ENDLESS,
    ),
    "lost cache": Setting(ONE, changes=LONGER, cache="lost"),
    "requests": Setting((*ONE, "--max-requests", "260"), {"requests": 260}, changes=ENDLESS),
    "prompts": Setting(
        (*LISTS, "--max-prompts", "500"), {"prompts": 500}, "kept", ENDLESS, concurrency=3
    ),
    "tokens": Setting((*ONE, "--max-tokens", "9000"), {"tokens": 9000}, changes=ENDLESS),
    "greedy": Setting(ONE, changes=GREEDY),
    "calibrated": Setting(LISTS, cache="kept", changes=CALIBRATED, concurrency=2),
    "one by one": Setting(
        (*ONE, "--max-requests", "150"), {"requests": 150}, changes=ENDLESS, concurrency=1
    ),
    "chat": Setting(ONE, changes=LONGER, model="compatible/fake"),
}
WRITES = {
    "checkpoint": ("replace:checkpoint.json", "fsync:checkpoint.json", "fdatasync"),
    "journal": ("pwrite:checkpoint-", "posix_fallocate", "pwrite:events.jsonl"),
    "beginning": ("replace:run.toml", "open:checkpoint-0", "ftruncate"),
    "end": ("replace:answers.json", "replace:policy.json", "replace:result.json"),
}
RENEWAL = {"BDPL_RENEW": "4000"}  # bytes


def many(value: str) -> ParameterSet:
    """One that is tried with the many."""
    return pytest.param(value, marks=pytest.mark.slow)


class Places:
    """An arena for each setting, and its run that nobody stopped, made when first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = ExitStack()
        self._open: dict[str, tuple[Arena, Left]] = {}
        self.counts: dict[tuple[str, str], int] = {}
        self.twice: list[int] = []  # requests that each kill had sent twice

    def __call__(self, name: str) -> tuple[Arena, Left]:
        if name not in self._open:
            folder = self._folder / name.replace(" ", "-")
            folder.mkdir()
            place = self._stack.enter_context(arena(folder, SETTINGS[name]))
            self._open[name] = place, place.whole()
        return self._open[name]

    def calls(self, name: str, call: str, **more: str) -> int:
        """How often a run that nobody stops makes a call."""
        key = name, call
        if key not in self.counts:
            place, _ = self(name)
            out = f"count-{len(self.counts)}"
            done = place.doomed(call, 0, "before", place.words(out), **more)
            assert done.returncode == 0, done.stderr
            self.counts[key] = int(done.stderr.split("doomed: ")[-1])
        return self.counts[key]

    def close(self) -> None:
        self._stack.close()


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    found = Places(tmp_path_factory.mktemp("kill"))
    yield found
    found.close()
    if found.twice:  # seen with -s
        worst, mean = max(found.twice), sum(found.twice) / len(found.twice)
        print(f"\n{len(found.twice)} kills; sent twice: {mean:.1f} requests, at most {worst}")


def at_request(places: Places, name: str, phase: str, number: int) -> int:
    """Kill once in a phase, go on, compare; requests that were sent twice."""
    place, whole = places(name)
    chance = random.Random(f"{name} {phase} {number}")
    out = f"{phase}-{number}"
    at = chance.randint(*whole.spans[phase])
    killed = place.killed(place.words(out), at, chance.random() * 0.012)
    assert killed.returncode in (-signal.SIGKILL, 0), killed.stderr
    twice = held(place, whole, out)
    places.twice.append(twice)
    return twice


def held(place: Arena, whole: Left, out: str, **more: str) -> int:
    """The rest of a run that was killed, and all that must hold of it."""
    before = place.server.books
    in_flight = place.in_flight(out)
    assert in_flight <= place.setting.concurrency
    place.resumed(out, **more)
    assert place.server.books is before
    place.check_same(out, whole)
    place.check_budget(out)
    return place.check_paid(whole, in_flight)


def at_write(
    places: Places, name: str, call: str, number: int, out: str, **more: str
) -> tuple[Arena, Left]:
    """Kill a run at a random one of its calls."""
    place, whole = places(name)
    chance = random.Random(f"{name} {call} {number}")
    whens = ("before", "half", "after") if call.startswith("pwrite") else ("before", "after")
    at = chance.randint(1, max(1, places.calls(name, call, **more)))
    place.server.doom(0, lambda: None, 0.0)
    killed = place.doomed(call, at, chance.choice(whens), place.words(out), **more)
    assert killed.returncode in (-signal.SIGKILL, 0), killed.stderr
    return place, whole


@pytest.mark.parametrize("phase", PHASES)
def test_killed_once(phase: str, places: Places) -> None:
    """A kill anywhere in any phase: same losses, prompt, scores, files; no request twice but what
    was in flight."""
    at_request(places, "one text", phase, 0)


@pytest.mark.parametrize("kind", ["checkpoint", many("journal")])
def test_killed_while_writing(kind: str, places: Places) -> None:
    """Half a line of the journal, or a checkpoint that is not yet in its place, loses nothing."""
    call = WRITES[kind][0]
    held(*at_write(places, "one text", call, 0, f"{kind}-w"), f"{kind}-w")


@pytest.mark.parametrize("before", ["text", many("paid"), many("tell")])
def test_killed_between_what_it_cost_and_what_it_said(before: str, places: Places) -> None:
    """What is half written down of an answer was never paid for: its cost does not count twice."""
    place, whole = places("one by one")
    read = list(Journal.read(place.folder / "whole" / "checkpoint-0.log"))
    lines = sorted({end for _, end in read})  # of which each is one call, however much it holds
    last = 40 if before == "text" else len(read) - [r[0] for r, _ in read][::-1].index("tape")
    at = 1 + lines.index(next(end for record, end in read[last:] if record[0] == before))
    place.server.doom(0, lambda: None, 0.0)
    killed = place.doomed("pwrite:checkpoint-", at, "before", place.words(before))
    assert killed.returncode == -signal.SIGKILL
    assert held(place, whole, before) == 1
    assert place.left(before).usage["requests"] == place.server.books.requests


@pytest.mark.slow
@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("name", SETTINGS)
def test_many_kills(name: str, phase: str, places: Places) -> None:
    """Twenty random moments in each phase of each setting."""
    _, whole = places(name)
    if phase not in whole.spans:
        pytest.skip(f"{name} sends nothing in {phase}")
    for number in range(1, KILLS + 1):
        at_request(places, name, phase, number)


@pytest.mark.slow
@pytest.mark.parametrize("kind", WRITES)
@pytest.mark.parametrize("name", ["one text", "prompts"])
def test_many_kills_while_writing(name: str, kind: str, places: Places) -> None:
    """Twenty random moments in which a file is being written, renamed or made durable."""
    for number in range(1, KILLS + 1):
        call, out = WRITES[kind][number % 3], f"{kind}-{number}"
        held(*at_write(places, name, call, number, out), out)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["one text", "prompts"])
def test_many_kills_while_the_journal_is_renewed(name: str, places: Places) -> None:
    """A journal that follows another is not yet what the checkpoint names: nothing is lost."""
    calls = ("pwrite:checkpoint-1", "open:checkpoint-1", "replace:checkpoint.json", "pwrite:.log")
    for number in range(1, KILLS + 1):
        out = f"renewal-{number}"
        place, whole = at_write(places, name, calls[number % 4], number, out, **RENEWAL)
        held(place, whole, out, **RENEWAL)


@pytest.mark.slow
@pytest.mark.parametrize("kills", [2, 3])
@pytest.mark.parametrize("name", ["one text", "lists", "greedy", "lost cache"])
def test_killed_again_and_again(name: str, kills: int, places: Places) -> None:
    """A run that is killed while it is resumed goes on all the same."""
    place, whole = places(name)
    for number in range(max(1, KILLS // 4)):
        chance = random.Random(f"{name} {kills} {number}")
        out, words = f"again-{kills}-{number}", place.words(f"again-{kills}-{number}")
        cut = sent = 0
        for _ in range(kills):
            at = chance.randint(2, max(2, (whole.requests - sent) // 2))
            killed = place.killed(words, at, chance.random() * 0.01)
            assert killed.returncode == -signal.SIGKILL, killed.stderr
            cut += place.in_flight(out) - cut
            sent += place.server.books.requests
            words = ["resume", out, "--ui", "none"]
        place.resumed(out)
        place.check_same(out, whole)
