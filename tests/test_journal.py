"""The journal: what was appended is read again, and its thread always comes to an end."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bdpl_async.errors import StorageError
from bdpl_async.saving import journal as module
from bdpl_async.saving.journal import CHUNK, Journal

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
RECORDS = st.lists(st.tuples(st.text(), JSON).map(list), max_size=6)
LIMITED = """
import resource, sys
from pathlib import Path
from bdpl_async.errors import StorageError
from bdpl_async.saving.journal import CHUNK, Journal
resource.setrlimit(resource.RLIMIT_FSIZE, (2 * CHUNK, 2 * CHUNK))
journal = Journal(Path(sys.argv[1]))
journal.promise(CHUNK + 100)
try:
    journal.promise(3 * CHUNK)
except StorageError as error:
    print(error.args[0])
journal.append(["promised", "x" * CHUNK])
journal.close()
"""


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Journal]:
    """A journal, closed in the end; no thread of it outlives that."""
    journal = Journal(tmp_path / "log")
    yield journal
    journal.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "bdpl-journal"]


def read(path: Path) -> list[Any]:
    return [record for record, _ in Journal.read(path)]


def until(true: Any) -> None:
    """Wait for a thread, a second at most."""
    end = time.monotonic() + 1.0
    while not true() and time.monotonic() < end:
        time.sleep(0.002)


def test_what_was_appended_is_read(tmp_path: Path) -> None:
    """Records come back in their order, each with the bytes up to its end."""
    journal = Journal(tmp_path / "log")
    journal.append(["sent", 1, 0.5])
    journal.append(["paid", 1, "ü"])
    journal.close()
    found = list(Journal.read(tmp_path / "log"))
    assert [record for record, _ in found] == [["sent", 1, 0.5], ["paid", 1, "ü"]]
    assert found[-1][1] == (tmp_path / "log").stat().st_size


@pytest.mark.parametrize("cut", [1, 5, 12])
def test_a_torn_line_ends_it(tmp_path: Path, cut: int) -> None:
    """A line that was not written whole is none, and what comes next is written in its place."""
    journal = Journal(tmp_path / "log")
    journal.append(["one"])
    end = journal.end
    journal.append(["two", 22])
    journal.close()
    with (tmp_path / "log").open("r+b") as file:
        file.truncate(end + cut)
    ((record, where),) = Journal.read(tmp_path / "log")
    assert (record, where) == (["one"], end)
    again = Journal(tmp_path / "log", where)
    again.append(["three"])
    again.close()
    assert [record for record, _ in Journal.read(tmp_path / "log")] == [["one"], ["three"]]


class Late(threading.Event):
    """Is set by another thread at the last moment before it is cleared."""

    def __init__(self, before: threading.Event) -> None:
        super().__init__()
        self._before = before

    def clear(self) -> None:
        """What `Journal.close` does comes first."""
        self._before.set()
        self.set()
        super().clear()


def test_closed_while_it_is_made_durable(tmp_path: Path) -> None:
    """The thread ends also where the file is closed in the moment in which it begins to flush."""
    journal = Journal(tmp_path / "log")
    journal._dirty = Late(journal._closing)
    journal.append(["one"])
    assert journal._syncing is not None
    journal._syncing.join(10)
    assert not journal._syncing.is_alive()
    journal.close()


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(RECORDS, st.integers(1, 3))
def test_all_is_read_while_it_is_written(tmp_path: Path, records: list[Any], at_once: int) -> None:
    """What was appended is there for another process at once, in order and bit for bit."""
    journal = Journal(tmp_path / "log")
    try:
        for start in range(0, len(records), at_once):
            journal.append(*records[start : start + at_once])
            found = list(Journal.read(tmp_path / "log"))
            assert [record for record, _ in found] == records[: start + at_once]
            assert repr([record for record, _ in found]) == repr(records[: start + at_once])
            assert found[-1][1] == journal.end
    finally:
        journal.close()
    assert (tmp_path / "log").stat().st_size == journal.end


def small(path: Path) -> tuple[bytes, list[Any], list[int]]:
    """A small journal: its bytes, its records, and where the line of each ends."""
    journal = Journal(path)
    journal.append(["run", {"the data": "abc"}])
    journal.append(["sent", 1, 0.5])
    journal.append(["paid", 1, 1e-300], ["text", [["é", None, "\n"]]])
    journal.append(["ask", "x", 2.0])
    journal.close()
    found = list(Journal.read(path))
    return path.read_bytes(), [record for record, _ in found], [end for _, end in found]


def test_cut_at_every_byte(tmp_path: Path) -> None:
    """All lines that are whole are read, and nothing else; zeros behind them are no record."""
    path = tmp_path / "log"
    content, records, ends = small(path)
    for size in range(len(content) + 1):
        for behind in (b"", bytes(50), b"\xff" * 20):
            path.write_bytes(content[:size] + behind)
            assert read(path) == records[: sum(end <= size for end in ends)]


def test_every_byte_damaged(tmp_path: Path) -> None:
    """What stands before the damage is read, nothing after it, and never a wrong record."""
    path = tmp_path / "log"
    content, records, ends = small(path)
    for place in range(len(content)):
        for flip in (1, 0x20, 0x80, content[place]):
            path.write_bytes(
                content[:place] + bytes([content[place] ^ flip]) + content[place + 1 :]
            )
            assert read(path) == records[: sum(end <= place for end in ends)]


@given(st.binary(max_size=200))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_read(tmp_path: Path, content: bytes) -> None:
    """A file that is no journal holds no records, and breaks nothing."""
    (tmp_path / "log").write_bytes(content)
    assert read(tmp_path / "log") == []


def test_what_was_promised_fits(opened: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is found while there is room for what was promised; from then on no promises."""
    opened.promise(3000)

    def full(descriptor: int, start: int, size: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    opened.promise(CHUNK)
    with pytest.raises(StorageError, match=r"No space left.*nothing more is sent") as caught:
        opened.promise(CHUNK + 1)
    assert "bdpl-async resume" in (caught.value.hint or "")
    with pytest.raises(StorageError):
        opened.promise(1)
    opened.append(["promised", "x" * 2900])
    assert read(opened.path) == [["promised", "x" * 2900]]


def test_room_is_made_ahead(opened: Journal) -> None:
    """So that it is there when an answer comes."""
    opened.promise(1)
    assert opened.path.stat().st_blocks * 512 >= CHUNK
    opened.spare()
    assert opened.path.stat().st_size == 0


@pytest.mark.parametrize("reason", [errno.EOPNOTSUPP, errno.EINVAL, None])
def test_a_system_that_makes_no_room(
    opened: Journal, monkeypatch: pytest.MonkeyPatch, reason: int | None
) -> None:
    """Zeros do, where a file system or a whole system knows no other way."""

    def refuse(descriptor: int, start: int, size: int) -> None:
        raise OSError(reason, "no")

    if reason is None:
        monkeypatch.delattr(os, "posix_fallocate")
        monkeypatch.delattr(os, "fdatasync")
    else:
        monkeypatch.setattr(os, "posix_fallocate", refuse)
    opened.append(["one"])
    assert opened.path.stat().st_size == CHUNK
    assert read(opened.path) == [["one"]]


def test_a_limit_on_files(tmp_path: Path) -> None:
    """The same where the system says that a file is too large, and not that the disk is full."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path / "log")],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "File too large" in done.stdout
    assert read(tmp_path / "log") == [["promised", "x" * CHUNK]]


def test_a_part_of_a_line_is_none(opened: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that takes half of a line has taken nothing; the next line stands in its place."""
    opened.append(["one"])
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, line, at: real(file, line[: len(line) // 2], at))
    with pytest.raises(StorageError, match="a part of a line"):
        opened.append(["lost"])
    monkeypatch.setattr(os, "pwrite", real)
    assert read(opened.path) == [["one"]]
    opened.append(["two"])
    assert read(opened.path) == [["one"], ["two"]]


def test_durable_soon(opened: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each append is followed by a sync within 50 ms, and many share one."""
    synced: list[float] = []
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: synced.append(time.monotonic()))
    assert module.LAG <= 0.04
    for _ in range(2):
        before, count = time.monotonic(), len(synced)
        for number in range(100):
            opened.append(["one", number])
        until(lambda known=count: len(synced) > known)
        assert len(synced) == count + 1
        assert synced[-1] - before < 0.05 + 0.5  # the machine may be busy


def test_a_slow_disk_holds_nobody_up(opened: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Appends go on while a thread waits for the disk."""
    ready = threading.Event()
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: ready.wait(5.0))
    began = time.monotonic()
    opened.append(["one"])
    time.sleep(2 * module.LAG)
    opened.append(["two"])
    assert time.monotonic() - began < 1.0
    assert read(opened.path) == [["one"], ["two"]]
    ready.set()


def test_a_disk_that_fails_is_heard_of(opened: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be made durable is told before more is sent."""

    def broken(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", broken)
    opened.append(["one"])
    until(lambda: opened.trouble)
    with pytest.raises(StorageError, match="Input/output error"):
        opened.promise(1)


@pytest.mark.parametrize("how", ["removed", "moved", "replaced"])
def test_a_file_that_is_gone_is_noticed(opened: Journal, how: str) -> None:
    """Nobody would find what is written to a file that has no name any more."""
    opened.append(["one"])
    if how == "removed":
        opened.path.unlink()
    elif how == "moved":
        opened.path.rename(opened.path.with_name("elsewhere"))
    else:
        (opened.path.parent / "other").write_bytes(b"")
        (opened.path.parent / "other").rename(opened.path)
    opened.append(["two"])
    until(lambda: opened.trouble)
    with pytest.raises(StorageError, match="moved or removed") as caught:
        opened.promise(1)
    assert "put it back" in (caught.value.hint or "")


def test_private_and_no_link(tmp_path: Path) -> None:
    """The user's alone under any umask, also where it stood; a link is not followed."""
    path, target = tmp_path / "log", tmp_path / "mine"
    target.write_text("mine")
    path.touch(0o644)
    for umask in (0, 0o777):
        before = os.umask(umask)
        try:
            Journal(path).close()
        finally:
            os.umask(before)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        path.unlink()
    path.symlink_to(target)
    with pytest.raises(OSError, match="symbolic links"):
        Journal(path)
    assert target.read_text() == "mine"


def test_what_is_behind_the_end_is_cut_off(tmp_path: Path) -> None:
    """Who goes on after some bytes finds nothing else there."""
    path = tmp_path / "log"
    _, records, ends = small(path)
    journal = Journal(path, ends[0])
    assert read(path) == records[:1]
    journal.append(["other"])
    journal.close()
    assert read(path) == [records[0], ["other"]]


def test_nothing_is_written_once_it_is_closed(tmp_path: Path) -> None:
    """Whoever comes late writes to no file that has got the same number since."""
    journal = Journal(tmp_path / "log")
    journal.append(["one"])
    journal.close()
    with (tmp_path / "other").open("wb"):
        with pytest.raises(StorageError, match="Bad file descriptor"):
            journal.append(["late"])
        with pytest.raises(StorageError, match="Bad file descriptor"):
            journal.promise(1)
    assert (tmp_path / "other").read_bytes() == b""
    assert read(tmp_path / "log") == [["one"]]
