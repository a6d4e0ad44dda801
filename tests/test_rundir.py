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
from bdpl_async.rundir import RunDir, refuse_taken
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


IDENTITY = {"the data": "abc"}


def begun(path: Path, config: Config) -> RunDir:
    folder = RunDir(path, config)
    folder.begin(IDENTITY)
    return folder


async def test_private(tmp_path: Path, config: Config) -> None:
    """Folder and files are the user's alone, whatever the umask and whatever stood there."""
    path = tmp_path / "deep" / "run"
    path.mkdir(parents=True)
    path.chmod(0o755)
    (path / "events.jsonl").touch(0o644)
    before = os.umask(0)
    try:
        with begun(path, config) as folder:
            folder.save(1, {"t": 0.0}, iter(()))
            await folder.finish(finished(), {"answers.json": {}})
    finally:
        os.umask(before)
    assert mode(path) == 0o700
    names: tuple[str, ...] = ("run.toml", "events.jsonl", "result.json", "answers.json", ".lock")
    names += ("checkpoint.json", "checkpoint-0.log")
    assert {file.name: mode(file) for file in path.iterdir()} == dict.fromkeys(names, 0o600)


def test_nothing_before_it_begins(tmp_path: Path, config: Config) -> None:
    """A run that is refused before anything is sent leaves no folder."""
    with RunDir(tmp_path / "run", config):
        pass
    assert not (tmp_path / "run").exists()


def test_run_toml_first(tmp_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """When run.toml cannot be written nothing else is, and nothing stays behind."""

    def fail(source: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(ConfigError, match="cannot be written: No space left on device"):
        begun(tmp_path / "run", config)
    assert not (tmp_path / "run").exists()


def test_run_toml_loads(tmp_path: Path, config: Config) -> None:
    """run.toml is there before the first event, and is the configuration."""
    with begun(tmp_path / "run", config):
        assert load_config(tmp_path / "run" / "run.toml") == config


async def test_events_at_once(tmp_path: Path, config: Config) -> None:
    """Each event is a line on disk as soon as it is written; the last one brings the result."""
    lines = tmp_path / "run" / "events.jsonl"
    with begun(tmp_path / "run", config) as folder:
        assert folder.write(Note(0.5, "line\nbreak \u2028 é")) == []
        assert [orjson.loads(line) for line in lines.read_bytes().splitlines()] == [
            {"type": "note", "t": 0.5, "message": "line\nbreak \u2028 é"}
        ]
        assert not (tmp_path / "run" / "result.json").exists()
        await folder.finish(finished(), {})
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
    """A folder without run.toml counts as empty: old events, states and results are gone."""
    for name in ("events.jsonl", "checkpoint.json", "checkpoint-3.log", "result.json"):
        (tmp_path / name).write_text("old")
    refuse_taken(tmp_path)
    with begun(tmp_path, config):
        names = {file.name for file in tmp_path.iterdir()}
        assert names & {"checkpoint.json", "checkpoint-3.log", "result.json"} == set()
        assert (tmp_path / "events.jsonl").read_bytes() == b""


def test_one_process_at_a_time(tmp_path: Path, config: Config) -> None:
    """A second run in the folder is refused while the first one works, and so is a resume."""
    path = tmp_path / "run"
    second = RunDir(path, config)
    with begun(path, config):
        with pytest.raises(ConfigError, match="another process works there"):
            second.begin(IDENTITY)
        with pytest.raises(ConfigError, match=r"another process works there\n  wait until"):
            RunDir(path, config, resumed=True)
    with RunDir(path, config, resumed=True) as again:
        again.begin(IDENTITY)


def test_another_run_is_not_gone_on_with(tmp_path: Path, config: Config) -> None:
    """What changed since the run began is named."""
    with begun(tmp_path, config):
        pass
    changed = pytest.raises(ConfigError, match="the data changed since the run began")
    with RunDir(tmp_path, config, resumed=True) as again, changed:
        again.begin({"the data": "xyz"})


def test_a_run_that_came_to_nothing_leaves_nothing(tmp_path: Path, config: Config) -> None:
    """But for what is not ours; and one that was resumed stays."""
    path = tmp_path / "run"
    begun(path, config).discard()
    assert not path.exists()
    path.mkdir()
    (path / "mine.txt").write_text("mine")
    begun(path, config).discard()
    assert [file.name for file in path.iterdir()] == ["mine.txt"]
    begun(path, config).__exit__(None, None, None)
    RunDir(path, config, resumed=True).discard()
    assert (path / "run.toml").exists()


@pytest.mark.parametrize("name", ["file", "file/below", "file/far/below", "nul\0", "x" * 5000])
def test_no_folder(tmp_path: Path, config: Config, name: str) -> None:
    """A path that cannot be a folder is refused as configuration."""
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConfigError, match="--out"):
        begun(tmp_path / name, config)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("name", ["file", "file/below", "file/far/below"])
def test_file_in_the_way(tmp_path: Path, name: str) -> None:
    """A file in the way is found before anything is sent."""
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConfigError, match=f"{tmp_path / 'file'}: a file stands"):
        refuse_taken(tmp_path / name)
