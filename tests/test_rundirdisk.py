"""RUN_DIR on a disk in trouble: no answer is paid for that could not be kept."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import bdpl_async as bdpl
from bdpl_async.events import Checkpoint, Event, Started
from bdpl_async.records import Reply, Request
from bdpl_async.saving import diary, journal, store
from bdpl_async.saving.checkpoint import Checkpoints
from bdpl_async.saving.diary import Diary
from bdpl_async.saving.journal import Journal
from bdpl_async.saving.store import Store
from tests.disturbed import AT_ONCE, Bench, result
from tests.faultserver import FaultServer, Manners
from tests.workbench import Length

Capsys = pytest.CaptureFixture[str]
FULL, ONLY_READ = errno.ENOSPC, errno.EROFS

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="it reads /proc")


@pytest.fixture(scope="module")
def server() -> Iterator[FaultServer]:
    with FaultServer.in_thread(Manners()) as served:
        yield served


@pytest.fixture
def bench(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capsys, server: FaultServer
) -> Bench:
    monkeypatch.chdir(tmp_path)
    made = Bench(tmp_path, capsys, server)
    made.whole()
    return made


class Broken:
    """Lets `count` calls of a function of `os` through to files named so; fails the `most` next."""

    def __init__(self, name: str, part: str, count: int, number: int, most: int = 10**9) -> None:
        self.real: Callable[..., Any] = getattr(os, name)
        self.part, self.left, self.number, self.most = part, count, number, most

    def __call__(self, first: Any, *rest: Any, **named: Any) -> Any:
        path = os.readlink(f"/proc/self/fd/{first}") if isinstance(first, int) else str(first)
        if self.part in path:
            self.left -= 1
            if -self.most <= self.left < 0:
                raise OSError(self.number, os.strerror(self.number))
        return self.real(first, *rest, **named)


def broken(
    monkeypatch: pytest.MonkeyPatch, name: str, part: str, count: int, number: int = FULL
) -> None:
    monkeypatch.setattr(os, name, Broken(name, part, count, number))


def onward(out: str) -> str:
    return f"bdpl-async resume {Path.cwd() / out}"


@pytest.mark.parametrize("call", [("replace", "run.toml"), ("posix_fallocate", "checkpoint-0")])
def test_a_full_disk_at_the_beginning(
    call: tuple[str, str], bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 2, the folder and why; nothing is sent, and no half of a run stays."""
    broken(monkeypatch, *call, 0)
    done = bench.run("cut")
    assert done.code == 2
    assert "cut: cannot be written: No space left on device" in done.err
    assert bench.server.books.requests == 0
    assert not Path("cut").exists()


@pytest.mark.parametrize("room", [2, 4, 9])
def test_a_disk_that_fills_up(room: int, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the probe to the test: nothing leaves whose answer could not be kept.

    What is in flight then still has its room, so nothing at all is paid twice.
    """
    monkeypatch.setattr(journal, "CHUNK", 4096)
    monkeypatch.setattr(diary, "PER_PROBE", 4096)
    with monkeypatch.context() as patch:
        broken(patch, "posix_fallocate", "checkpoint-", room)
        done = bench.run("cut")
    assert done.code == 1
    assert bench.server.books.requests < bench.sent
    assert "cut/checkpoint-0.log: cannot be written: No space left on device" in done.err
    assert done.err.count(f"go on with: {onward('cut')}\n") == 1
    bench.goes_on("cut")
    assert bench.server.books.requests == bench.sent


@pytest.mark.parametrize("writes", [3, 60, 150])
def test_a_disk_that_may_only_be_read_any_more(
    writes: int, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Room was promised and is gone: the run stops, and only what was in flight is paid twice."""
    with monkeypatch.context() as patch:
        broken(patch, "pwrite", "checkpoint-", writes, ONLY_READ)
        done = bench.run("cut")
    assert done.code == 1
    assert "Read-only file system" in done.err
    bench.goes_on("cut", twice=AT_ONCE)


@pytest.mark.parametrize(
    ("part", "count", "says"),
    [("checkpoint.json", 1, "nothing more is sent"), ("result.json", 0, "the result cannot be")],
)
def test_a_file_that_cannot_be_written(
    part: str, count: int, says: str, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint or the result: said once, with the command that goes on; nothing is lost."""
    bench.server.manners.latency = 0.01
    with monkeypatch.context() as patch:
        broken(patch, "replace", part, count)
        done = bench.run("cut")
    bench.server.manners.latency = 0.0
    assert done.code == 1
    assert says in done.err
    assert "No space left on device" in done.err
    assert done.err.count(f"go on with: {onward('cut')}\n") == 1
    bench.goes_on("cut")
    assert bench.server.books.requests == bench.sent


def test_the_last_checkpoint_is_not_needed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """All is known and the result is written: that there was no room for a state is no matter."""
    broken(monkeypatch, "replace", "checkpoint.json", 5)  # the baseline's and four of five steps'
    done = bench.run("cut")
    assert done.code == 0, done.err
    assert result("cut") == bench.result


@pytest.mark.parametrize("room", [0, 2])
def test_no_room_for_a_new_journal(
    room: int, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old one knows all until the new one does; half a new one is left out."""
    monkeypatch.setattr(store, "LARGE", 8000)
    with monkeypatch.context() as patch:
        broken(patch, "pwrite", "checkpoint-1.log", room)
        done = bench.run("cut")
    assert done.code == 1
    assert "checkpoint-1.log: cannot be written" in done.err
    bench.goes_on("cut")
    assert bench.server.books.requests == bench.sent


def test_a_new_journal_counts_before_its_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written after the renewal is known, though the checkpoint never reached the disk."""
    monkeypatch.setattr(store, "LARGE", 0)
    monkeypatch.setattr(Checkpoints, "put", lambda *anything: None)  # the disk is slow
    first = Store(tmp_path, 100)
    first.begin()
    first.is_of({"model": "x"})
    first.diary.ask("one", 1.0)
    first.save(1, 0, {"t": 2.0, "seen": None}, [["kept", []]])
    first.diary.ask("two", 3.0)
    second = Store(tmp_path, 100)
    assert second.take_up() == 0
    assert second.state is not None
    assert second.state["t"] == 2.0
    assert ["kept", []] in second.known
    assert second.diary.elapsed == 3.0
    assert second.diary.ask("two", 9.0) == []  # and nothing but that was asked
    assert [file.name for file in tmp_path.glob("checkpoint-*")] == ["checkpoint-1.log"]
    first.close()
    second.close()


def test_a_hole_is_not_written_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a decision that was not written none is, though there is room again by then."""
    told = Diary()
    kept = Journal(tmp_path / "log")
    told.open(kept, 100)
    with monkeypatch.context() as patch:
        broken(patch, "pwrite", "log", 0)
        told.ask("one", 1.0)
    told.ask("two", 2.0)
    with pytest.raises(bdpl.BdplError, match="No space left"):
        kept.promise(1)
    kept.close()
    assert list(Journal.read(tmp_path / "log")) == []


def test_a_system_that_keeps_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Zeros take it instead, and are given back; where there is no fdatasync, fsync does."""
    monkeypatch.delattr(os, "posix_fallocate")
    monkeypatch.delattr(os, "fdatasync")
    kept = Journal(tmp_path / "log")
    kept.append(("one", 1))
    assert (tmp_path / "log").stat().st_size == journal.CHUNK
    kept.close()
    assert [record for record, _ in Journal.read(tmp_path / "log")] == [["one", 1]]
    assert (tmp_path / "log").stat().st_size < 100


def test_a_log_that_cannot_be_written(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """One note, and the run goes on to its result; a report can be made of what there is."""
    failing = Broken("pwrite", "events.jsonl", 4, FULL, most=5)
    monkeypatch.setattr(os, "pwrite", failing)
    done = bench.run("cut")
    assert done.code == 0
    assert result("cut") == bench.result
    assert " ".join(done.out.split()).count("the log misses some events") == 1
    assert failing.left < -5
    assert bench.said("report", "cut", "-o", "cut.html").code == 0


@pytest.mark.parametrize("way", ["removed", "renamed", "link"])
def test_a_folder_that_goes_away(way: str, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is noticed within a moment; moved, it can be resumed from where it is."""
    Path("real").mkdir()
    out = Path("link" if way == "link" else "cut")
    if way == "link":
        out.symlink_to("real")

    def leave(*anything: object) -> None:
        if out.exists():
            shutil.rmtree(out) if way == "removed" else out.rename("elsewhere")

    monkeypatch.setattr("bdpl_async.rundir.RunDir.save", leave)
    bench.server.manners.latency = 0.01
    done = bench.run(str(out))
    bench.server.manners.latency = 0.0
    monkeypatch.undo()
    monkeypatch.chdir(Path(bench.folder))
    assert done.code == 1
    assert "it was moved or removed" in done.err
    assert f"put it back where it was, then go on with: {onward(str(out))}\n" in done.err
    if way != "removed":
        bench.goes_on("elsewhere")
        assert bench.server.books.requests == bench.sent


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that takes its time to make things durable."""

    def slowly(real: Callable[..., None]) -> Callable[..., None]:
        def act(*arguments: Any) -> None:
            time.sleep(0.15)
            real(*arguments)

        return act

    for name in ("fsync", "fdatasync", "replace"):
        monkeypatch.setattr(os, name, slowly(getattr(os, name)))


async def test_a_slow_disk_never_holds_up_the_loop(
    bench: Bench, slow: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps go on meanwhile and states between are left out, also when a journal is renewed."""
    monkeypatch.setattr(store, "LARGE", 4000)
    stalls: list[float] = []
    events: list[Event] = []

    async def tick() -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.002)
            stalls.append(time.monotonic() - before)

    def hear(event: Event) -> None:
        if isinstance(event, Started):  # the folder is begun
            ticking.append(asyncio.ensure_future(tick()))
        events.append(event)

    class Pausing(Length):
        async def score(self, request: Request) -> Reply:
            await asyncio.sleep(0.001)
            return await super().score(request)

    ticking: list[asyncio.Future[None]] = []
    task = bdpl.Task.from_toml("task.toml")
    found = await bdpl.tune(task, Pausing(), out="slow", on_event=hear, steps=20)
    ticking[0].cancel()
    assert found.steps_done == 20
    assert max(stalls) < 0.12
    assert 1 <= len([event for event in events if isinstance(event, Checkpoint)]) < 10
