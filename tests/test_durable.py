"""The rules of `bdpl_async.saving.durable`: a file is the old one or the new one, never a part."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bdpl_async.saving.durable import keep_names, once_mended, write_atomically


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.parametrize("call", ["open", "fsync", "replace"])
def test_a_write_that_fails_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """It leaves the old content and no other file."""
    path = tmp_path / "result.json"
    write_atomically(path, b"old")

    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"new")
    monkeypatch.undo()
    assert contents(tmp_path) == {"result.json": b"old"}


def test_a_kill_at_any_moment_leaves_a_whole_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was called by then: the old file or the new one, and the next write succeeds."""
    path = tmp_path / "result.json"
    write_atomically(path, b"old")
    seen: list[tuple[str, bytes]] = []

    def watched(name: str) -> Callable[..., Any]:
        real = getattr(os, name)

        def call(*arguments: Any, **named: Any) -> Any:
            seen.append((name, path.read_bytes()))
            found = real(*arguments, **named)
            seen.append((name, path.read_bytes()))
            return found

        return call

    for name in ("fsync", "replace"):
        monkeypatch.setattr(os, name, watched(name))
    write_atomically(path, b"new")
    # The content is on the disk before its name is, and its name before the call returns.
    assert seen == [
        ("fsync", b"old"),
        ("fsync", b"old"),
        ("replace", b"old"),
        ("replace", b"new"),
        ("fsync", b"new"),
        ("fsync", b"new"),
    ]


def test_what_a_killed_process_left_is_no_obstacle(tmp_path: Path) -> None:
    """A half file of an earlier process with our number is replaced, a link in its place too."""
    path, mine = tmp_path / "result.json", tmp_path / "mine"
    mine.write_bytes(b"mine")
    beside = tmp_path / f".result.json.{os.getpid()}"
    for leave in (lambda: beside.write_bytes(b"ha"), lambda: beside.symlink_to(mine)):
        leave()
        write_atomically(path, b"new")
        assert contents(tmp_path) == {"result.json": b"new", "mine": b"mine"}


@pytest.mark.parametrize("umask", [0, 0o077, 0o277])
def test_private(tmp_path: Path, umask: int) -> None:
    """The user's alone, also where an open file stood."""
    path = tmp_path / "result.json"
    path.touch(0o644)
    before = os.umask(umask)
    try:
        write_atomically(path, b"new")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 & ~umask


def test_a_folder_that_cannot_be_synced_is_none_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some network file systems refuse; the file is there all the same."""

    def refuse(descriptor: int) -> None:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "fsync", refuse)
    keep_names(tmp_path)


def test_what_to_do_can_be_pasted(tmp_path: Path) -> None:
    """The command names the folder as a shell reads it, and says what to mend first."""
    assert once_mended(Path("a b")).endswith("then go on with: bdpl-async resume 'a b'")
    assert once_mended(Path("x")).startswith("make room")
    assert once_mended(Path("x"), missing=True).startswith("put it back")
