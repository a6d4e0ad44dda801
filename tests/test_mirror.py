"""The rules of `bdpl_async.elsewhere.mirror`: a folder elsewhere is the same after every look."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bdpl_async.elsewhere.mirror import Change, Mirror, put, whole
from bdpl_async.errors import ConfigError


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    return tmp_path / "here"


def test_what_grew_is_told_by_what_it_grew_by(here: Path, tmp_path: Path) -> None:
    """A journal of megabytes is not sent anew for each line."""
    mirror, there = Mirror(here), tmp_path / "there"
    log = here / "journal.1"
    log.write_bytes(b"one\n")
    put(there, mirror.changes())
    with log.open("ab") as file:
        file.write(b"two\n")
    changes = mirror.changes()
    assert changes == [Change("journal.1", 4, b"two\n")]
    put(there, changes)
    assert contents(there) == {"journal.1": b"one\ntwo\n"}
    assert mirror.changes() == []


def test_the_result_comes_last(here: Path) -> None:
    """With it, all is there."""
    for name in ("result.json", "zz", "answers.json"):
        (here / name).write_text(name)
    assert [change.name for change in whole(here)] == ["answers.json", "zz", "result.json"]


def test_locks_and_halves_stay_where_they_are(here: Path) -> None:
    """Whoever works there holds the lock; a file that begins with a dot is being written."""
    (here / ".lock").touch()
    (here / ".state.json.77").touch()
    (here / "link").symlink_to("/etc/passwd")
    assert whole(here) == []
    assert whole(here / "missing") == []


def test_files_are_private(here: Path, tmp_path: Path) -> None:
    """They hold answers."""
    (here / "journal.1").write_bytes(b"1")
    mirror, there = Mirror(here), tmp_path / "there"
    put(there, mirror.changes())
    assert (there / "journal.1").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["../up", "/etc/passwd", "a/b", ".lock", ""])
def test_nothing_is_written_elsewhere(tmp_path: Path, name: str) -> None:
    """A worker says what is in a run's folder, and nothing else."""
    with pytest.raises((ConfigError, OSError)):
        put(tmp_path, [Change(name, 0, b"x")])
    assert not (tmp_path.parent / "up").exists()


def test_a_repeated_piece_does_no_harm(here: Path, tmp_path: Path) -> None:
    """What begins before the end replaces what follows."""
    there = tmp_path / "there"
    put(there, [Change("log", 0, b"one\n"), Change("log", 4, b"two\n"), Change("log", 4, b"2\n")])
    assert contents(there) == {"log": b"one\n2\n"}


STEP = st.tuples(
    st.sampled_from(["append", "write", "delete", "rename", "look"]),
    st.sampled_from(["a", "b", "result.json"]),
    st.binary(max_size=9),
)


@given(steps=st.lists(STEP, max_size=25))
def test_whatever_happens_it_is_the_same_in_the_end(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str, bytes]]
) -> None:
    """Appended, written anew, removed, replaced, in any order."""
    here, there = tmp_path_factory.mktemp("here"), tmp_path_factory.mktemp("there")
    mirror = Mirror(here)
    for number, (what, name, content) in enumerate(steps):
        path = here / name
        if what == "append":
            with path.open("ab") as file:
                file.write(content)
        elif what in ("write", "rename"):
            beside = here / f".{number}"
            beside.write_bytes(content)
            os.replace(beside, path)
        elif what == "delete":
            path.unlink(missing_ok=True)
        else:
            put(there, mirror.changes())
    put(there, mirror.changes())
    assert contents(there) == contents(here)
