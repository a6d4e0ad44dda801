"""The rules of `bdpl_async.saving.eventlog`: whole lines, and no trouble of a log stops a run."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from bdpl_async.events import Note
from bdpl_async.saving.eventlog import EventLog


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EventLog]:
    opened = EventLog(tmp_path / "events.jsonl")
    yield opened
    opened.close()


def messages(path: Path) -> list[str]:
    return [orjson.loads(line)["message"] for line in path.read_bytes().splitlines()]


def test_a_line_each(log: EventLog) -> None:
    """On the disk at once; line breaks of all kinds stay inside."""
    for message in ("one", "two\n\r\u2028\x85", "three"):
        log.write(Note(0.5, message))
        assert messages(log.path)[-1] == message
        assert log.size == log.path.stat().st_size
    assert log.path.read_bytes().count(b"\n") == 3


def test_it_goes_on_where_a_state_knows_it(log: EventLog) -> None:
    """What came later is said again by the run that goes on, and stands there once."""
    log.write(Note(0.0, "one"))
    size = log.size
    log.write(Note(0.0, "two"))
    for known, left in ((size, ["one"]), (10**9, ["one", "again"]), (0, [])):
        again = EventLog(log.path, known)
        assert messages(log.path) == left
        again.write(Note(0.0, "again"))
        assert messages(log.path) == [*left, "again"]
        again.close()


def test_a_disk_that_takes_nothing(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said once, in one sentence, and later lines are written when there is room again."""
    log.write(Note(0.0, "one"))

    def full(descriptor: int, content: bytes, at: int) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)
        log.write(Note(0.0, "lost"))
        trouble = log.trouble
        log.write(Note(0.0, "lost too"))
    assert trouble is not None
    assert "No space left on device): the log misses some events" in trouble
    log.write(Note(0.0, "two"))
    assert log.trouble == trouble
    assert messages(log.path) == ["one", "two"]


def test_a_part_of_a_line_does_not_stay(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would spoil the next one."""
    real = os.pwrite
    log.write(Note(0.0, "one"))
    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", lambda file, content, at: real(file, content[:9], at))
        log.write(Note(0.0, "lost"))
    assert log.trouble is not None
    log.write(Note(0.0, "two"))
    assert messages(log.path) == ["one", "two"]


def test_private_and_no_link(tmp_path: Path) -> None:
    """The user's alone under any umask, and no way to another file."""
    path, mine = tmp_path / "events.jsonl", tmp_path / "mine"
    mine.write_text("mine")
    before = os.umask(0)
    try:
        EventLog(path).close()
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.unlink()
    path.symlink_to(mine)
    with pytest.raises(OSError, match="symbolic links"):
        EventLog(path)
    assert mine.read_text() == "mine"


def test_what_was_learned_can_hold_anything(log: EventLog) -> None:
    """Numbers that are none are null, as everywhere in JSON."""
    log.write(Note(float("nan"), "\x1b[31m"))
    assert orjson.loads(log.path.read_bytes())["t"] is None
    assert b"\x1b" not in log.path.read_bytes()
