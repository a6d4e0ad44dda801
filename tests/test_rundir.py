"""RUN_DIR: whole or not at all, private, never overwritten."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import orjson
import pytest

from bdpl_async.config import Config, load_config
from bdpl_async.errors import ConfigError
from bdpl_async.events import Finished, Note
from bdpl_async.result import Baseline, Result, Totals
from bdpl_async.rundir import RunDir, refuse_taken, write_atomically
from tests.workbench import write_task


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load_config(write_task(tmp_path))


def finished() -> Finished:
    result = Result(
        task="t",
        model="m",
        method="bdpl",
        seed=0,
        prompt="",
        tokens=(),
        template="",
        labels={},
        dev=None,
        test=None,
        baseline=Baseline(),
        usage=Totals(),
        steps_done=0,
        stop_reason="steps",
        losses=(),
        data_sha256="",
    )
    return Finished(1.0, result)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_private(tmp_path: Path, config: Config) -> None:
    """Folder and files are the user's alone, whatever the umask and whatever stood there."""
    path = tmp_path / "deep" / "run"
    path.mkdir(parents=True)
    path.chmod(0o755)
    (path / "events.jsonl").touch(0o644)
    before = os.umask(0)
    try:
        with RunDir(path, config) as folder:
            folder.write(finished())
    finally:
        os.umask(before)
    assert mode(path) == 0o700
    assert {file.name: mode(file) for file in path.iterdir()} == dict.fromkeys(
        ("run.toml", "events.jsonl", "result.json"), 0o600
    )


def test_run_toml_first(tmp_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """When run.toml cannot be written nothing else is, and no half of it stays behind."""

    def fail(source: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(ConfigError, match="cannot be written: No space left on device"):
        RunDir(tmp_path / "run", config)
    assert list((tmp_path / "run").iterdir()) == []


def test_run_toml_loads(tmp_path: Path, config: Config) -> None:
    """run.toml is there before the first event, and is the configuration."""
    with RunDir(tmp_path / "run", config):
        assert load_config(tmp_path / "run" / "run.toml") == config


def test_events_at_once(tmp_path: Path, config: Config) -> None:
    """Each event is a line on disk as soon as it is written; the last one brings the result."""
    lines = tmp_path / "run" / "events.jsonl"
    with RunDir(tmp_path / "run", config) as folder:
        folder.write(Note(0.5, "line\nbreak \u2028 é"))
        assert [orjson.loads(line) for line in lines.read_bytes().splitlines()] == [
            {"type": "note", "t": 0.5, "message": "line\nbreak \u2028 é"}
        ]
        assert not (tmp_path / "run" / "result.json").exists()
        folder.write(finished())
        assert orjson.loads((tmp_path / "run" / "result.json").read_bytes())["task"] == "t"


def test_never_overwritten(tmp_path: Path, config: Config) -> None:
    """A folder with a run.toml is refused, and stays as it was."""
    (tmp_path / "run.toml").write_text("mine")
    for attempt in (lambda: refuse_taken(tmp_path), lambda: RunDir(tmp_path, config)):
        with pytest.raises(ConfigError, match="holds a run already"):
            attempt()
    assert (tmp_path / "run.toml").read_text() == "mine"
    assert not (tmp_path / "events.jsonl").exists()


def test_without_run_toml_is_empty(tmp_path: Path, config: Config) -> None:
    """A folder without run.toml counts as empty: old events are gone."""
    (tmp_path / "events.jsonl").write_text("old")
    refuse_taken(tmp_path)
    with RunDir(tmp_path, config):
        assert (tmp_path / "events.jsonl").read_bytes() == b""


@pytest.mark.parametrize("name", ["file", "file/below", "file/far/below", "nul\0", "x" * 5000])
def test_no_folder(tmp_path: Path, config: Config, name: str) -> None:
    """A path that cannot be a folder is refused as configuration."""
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConfigError, match="--out"):
        RunDir(tmp_path / name, config)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("name", ["file", "file/below", "file/far/below"])
def test_file_in_the_way(tmp_path: Path, name: str) -> None:
    """A file in the way is found before anything is sent."""
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConfigError, match=f"{tmp_path / 'file'}: a file stands"):
        refuse_taken(tmp_path / name)


def test_atomic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that fails leaves the old content and no other file."""
    path = tmp_path / "result.json"
    write_atomically(path, b"old")

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"new")
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [
        ("result.json", b"old")
    ]
