"""Whatever holds answers or texts is its owner's alone: files 0600, folders 0700, at all times."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from bdpl_async.saving.durable import write_atomically
from tests.faultserver import FaultServer
from tests.workbench import command, finished_run, write_task

SWEEP = """\
task = "task.toml"

[grid]
"run.seed" = [0, 1]
"""
SET_ASIDE = "answers.db.corrupt-1"
FEW = ("--max-prompts", "300", "--cache", "cache/answers.db")


def rights(path: Path) -> str:
    return oct(stat.S_IMODE(path.lstat().st_mode))


def open_to_others(*folders: Path) -> list[str]:
    """All below the folders, and they themselves, that somebody else could read or write."""
    found = [path for folder in folders for path in (folder, *folder.rglob("*"))]
    assert len(found) > len(folders)
    return [f"{path} {rights(path)}" for path in found if path.lstat().st_mode & 0o077]


@pytest.fixture(params=[0o000, 0o027, 0o077], ids=oct)
def _mask(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Each file below `tmp_path` that was open to others in the moment in which it was made."""
    wide: list[str] = []
    opened = os.open

    def watched(path: str, flags: int, mode: int = 0o777, **named: int) -> int:
        descriptor = opened(path, flags, mode, **named)
        if flags & os.O_CREAT and os.fstat(descriptor).st_mode & 0o077:
            wide.append(str(path))
        return descriptor

    monkeypatch.setattr(os, "open", watched)
    return wide


@pytest.mark.usefixtures("_mask")
def test_a_run_and_what_is_made_of_it_are_private(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], made: list[str]
) -> None:
    """RUN_DIR, report and exports, under every umask, from their first moment on."""
    finished_run(tmp_path, capsys)
    for told in (
        ("report", "run", "-o", "page/run.html"),
        ("export", "run", "--format", "json", "-o", "page/run.json"),
        ("export", "run", "--format", "promptfoo", "-o", "page/promptfoo"),
    ):
        (tmp_path / "page").mkdir(mode=0o700, exist_ok=True)
        done = command(capsys, *told)
        assert done.code == 0, done.err
    assert open_to_others(tmp_path / "run", tmp_path / "page") == []
    assert made == []


@pytest.mark.usefixtures("_mask")
def test_studies_and_the_cache_are_private(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], made: list[str]
) -> None:
    """Comparison and sweep with all runs beneath them; the cache, its log, its lock."""
    write_task(tmp_path)
    (tmp_path / "sweep.toml").write_text(SWEEP)
    with FaultServer.in_thread() as server:
        model = ("--model", "vllm/fake", "--base-url", server.url, *FEW)
        compared = command(capsys, "compare", "task.toml", *model, "--seeds", "1", "--out", "arms")
        assert compared.code == 0, compared.err
        (tmp_path / "cache" / "answers.db").write_bytes(b"no database" * 100)
        scored = command(capsys, "eval", "task.toml", *model, "--prompt", "soup")
    assert scored.code == 0, scored.err
    assert {path.name for path in (tmp_path / "cache").iterdir()} >= {"answers.db", SET_ASIDE}
    swept = command(capsys, "sweep", "sweep.toml", *FEW, "--out", "cells")
    assert swept.code == 0, swept.err
    assert open_to_others(*(tmp_path / name for name in ("arms", "cells", "cache"))) == []
    assert made == []


def test_a_folder_that_was_open_is_closed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty RUN_DIR that others may read becomes private; one with other things stays theirs."""
    monkeypatch.chdir(tmp_path)
    write_task(tmp_path)
    for name in ("empty", "shared"):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(0o755)
    (tmp_path / "shared" / "notes.txt").write_text("mine")
    for name in ("empty", "shared"):
        done = command(capsys, "run", "task.toml", "--out", name, "--ui", "none")
        assert done.code == 0, done.err
    assert open_to_others(tmp_path / "empty") == []
    assert rights(tmp_path / "shared") == "0o755"
    ours = [path for path in (tmp_path / "shared").iterdir() if path.name != "notes.txt"]
    assert [path.name for path in ours if path.stat().st_mode & 0o077] == []


@pytest.mark.parametrize("name", ["run.toml", "events.jsonl", "result.json", "answers.json"])
def test_a_planted_link_is_not_followed(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link that stands where a file of the run goes leads nothing of the run away."""
    monkeypatch.chdir(tmp_path)
    write_task(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "run" / name).symlink_to(tmp_path / "victim")
    done = command(capsys, "run", "task.toml", "--out", "run", "--ui", "none")
    assert (tmp_path / "victim").read_text() == "precious"
    assert rights(tmp_path / "victim") != "0o600"
    if done.code == 0:
        assert not (tmp_path / "run" / name).is_symlink()
    else:
        assert (done.code, "run" in done.err) == (2, True)


def test_a_planted_temporary_file_is_not_followed(tmp_path: Path) -> None:
    """A guess at the name of the file that is written first, and renamed, leads nowhere."""
    (tmp_path / "victim").write_text("precious")
    (tmp_path / f".result.json.{os.getpid()}").symlink_to(tmp_path / "victim")
    write_atomically(tmp_path / "result.json", b"{}")
    assert (tmp_path / "victim").read_text() == "precious"
    assert (tmp_path / "result.json").read_bytes() == b"{}"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["result.json", "victim"]


def test_a_link_in_the_place_of_a_file_is_replaced(tmp_path: Path) -> None:
    """Nothing is written through it."""
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "page.html").symlink_to(tmp_path / "victim")
    write_atomically(tmp_path / "page.html", b"page")
    assert (tmp_path / "victim").read_text() == "precious"
    assert not (tmp_path / "page.html").is_symlink()
    assert rights(tmp_path / "page.html") == "0o600"
