"""The journal: what was appended is read again, and its thread always comes to an end."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from bdpl_async.saving.journal import Journal


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
