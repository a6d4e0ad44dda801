"""SIGINT, SIGTERM, SIGSTOP and a second process, by real processes at random moments."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.killing import TOOL, Arena, Left, Setting, arena, ended, started

KILLS = int(os.environ.get("BDPL_KILLS", "20"))
STOPPED = Setting(
    ("--batch-prompts", "1", "--max-requests", "200"),
    {"requests": 200},
    changes=(("steps = 2\n", ""),),
)
Place = tuple[Arena, Left]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with arena(tmp_path_factory.mktemp("stopping"), STOPPED) as found:
        yield found, found.whole()


def stopped(place: Place, out: str, at: int, number: int) -> None:
    """A signal at a request; the rest by `resume`."""
    arena, whole = place
    began = time.monotonic()
    done = arena.killed(arena.words(out), at, number=number)
    assert time.monotonic() - began < 15
    if done.returncode == 0:  # it was through
        return arena.check_same(out, whole)
    assert done.returncode == 130, done.stderr
    assert f"go on with: bdpl-async resume {arena.folder / out}" in done.stderr
    assert "Traceback" not in done.stderr
    assert arena.server.books.requests <= whole.requests
    arena.resumed(out)
    arena.check_same(out, whole)
    arena.check_budget(out)
    return None


def test_stopped(place: Place) -> None:
    """Exit 130, the command that goes on, and what it goes on to is the run nobody stopped."""
    stopped(place, "once", 60, signal.SIGTERM)


@pytest.mark.slow
@pytest.mark.parametrize("at", [1, 2, 3])
def test_stopped_in_the_probe(at: int, place: Place) -> None:
    """What the probe was told until then is not asked again."""
    stopped(place, f"probe-{at}", at, signal.SIGINT)


@pytest.mark.slow
def test_two_signals(place: Place) -> None:
    """While nothing is answered, the first waits 5 s at most, and the second leaves at once."""
    found, whole = place
    for count, (second, most) in enumerate(((False, 7.0), (True, 2.0))):
        out, arrived = f"two-{count}", threading.Event()
        found.server.doom(20, arrived.set, 0.0)
        process = started(found.folder, (*TOOL, *found.words(out)))
        assert arrived.wait(60)
        found.server.manners.latency = 30.0
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        if second:
            time.sleep(0.3)
            process.send_signal(signal.SIGINT)
        done = ended(process)
        found.server.manners.latency = 0.006
        assert done.returncode == 130, done.stderr
        assert time.monotonic() - began < most
        found.resumed(out)
        found.check_same(out, whole)


def test_two_processes(place: Place) -> None:
    """The second on one RUN_DIR is refused with exit 2 and disturbs nothing."""
    found, whole = place
    begun = threading.Event()
    found.server.doom(30, begun.set, 0.0)
    process = started(found.folder, (*TOOL, *found.words("shared")))
    assert begun.wait(60)
    found.server.manners.latency = 1.0
    second = found.finished((*TOOL, "resume", "shared", "--ui", "none"))
    third = found.finished((*TOOL, *found.words("shared")))
    found.server.manners.latency = 0.006
    assert (second.returncode, third.returncode) == (2, 2)
    assert "another process works there" in second.stderr
    assert ended(process).returncode == 0
    found.check_same("shared", whole)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_anywhere(number: int, place: Place) -> None:
    """Twenty random moments, the probe among them."""
    for count in range(KILLS):
        chance = random.Random(f"{number} {count}")
        stopped(place, f"{number}-{count}", chance.randint(1, place[1].requests), number)


@pytest.mark.slow
def test_asleep(place: Place) -> None:
    """A process that was stopped for some seconds, within its time-out, asks nothing twice."""
    found, whole = place
    for count in range(3):
        out, asleep = f"asleep-{count}", threading.Event()
        found.server.doom(random.Random(count).randint(10, 150), asleep.set, 0.0)
        process = started(found.folder, (*TOOL, *found.words(out)))
        assert asleep.wait(60)
        process.send_signal(signal.SIGSTOP)
        time.sleep(3)
        process.send_signal(signal.SIGCONT)
        done = ended(process)
        assert done.returncode == 0, done.stderr
        found.check_same(out, whole)
        assert found.server.books.requests == whole.requests


@pytest.mark.slow
def test_two_processes_on_one_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """They share it: both find the same, and the second pays next to nothing."""
    setting = replace(STOPPED, cache="kept", options=("--batch-prompts", "1"), limits={})
    setting = replace(setting, changes=())
    with arena(tmp_path_factory.mktemp("cache"), setting) as found:
        whole = found.whole()
        words = [[*found.words(out), "--cache", "one.db"] for out in ("a", "b")]
        for each in words:
            del each[each.index("--cache") : each.index("--cache") + 2]
        processes = [started(found.folder, (*TOOL, *each)) for each in words]
        assert [ended(process).returncode for process in processes] == [0, 0]
        for out in ("a", "b"):
            found.check_same(out, whole)
