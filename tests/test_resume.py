"""`bdpl-async resume`: on with a run that was cut off, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import orjson
import pytest

from bdpl_async.saving.claim import Claim
from bdpl_cli.main import main
from tests.workbench import TESTED, Outcome, command, rows, write_task

Capsys = pytest.CaptureFixture[str]
SAME = ("losses", "prompt", "dev", "test", "baseline", "gain", "steps_done", "stop_reason")
REMOTE = 'name = "simulated/x"', 'name = "simulated/x"\nconcurrency = 3'


class Crash(BaseException):
    """As sudden as kill -9, in this process."""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "test.tsv").write_text(rows(16, 200))
    write_task(tmp_path, TESTED, ("steps = 2", "steps = 6"), REMOTE)


@pytest.fixture
def whole(capsys: Capsys) -> dict[str, Any]:
    """The result of a run that nothing stopped."""
    return ran(capsys, "whole")


def result(folder: str) -> dict[str, Any]:
    document: dict[str, Any] = orjson.loads(Path(folder, "result.json").read_bytes())
    return {key: document[key] for key in SAME}


def ran(capsys: Capsys, folder: str) -> dict[str, Any]:
    done = command(capsys, "run", "task.toml", "--out", folder, "--ui", "none")
    assert done.code == 0, done.err
    return result(folder)


def cut_off(monkeypatch: pytest.MonkeyPatch, folder: str, step: int) -> None:
    """A run that crashed after so many steps."""

    def view(event: object) -> None:
        if getattr(event, "step", 0) == step and getattr(event, "loss", None) is not None:
            raise Crash

    with monkeypatch.context() as patch:
        patch.setattr("bdpl_cli.harmless.Harmless.__call__", lambda self, event: view(event))
        with pytest.raises(Crash):
            main(["run", "task.toml", "--out", folder, "--ui", "plain"])


def tree(folder: str) -> dict[str, tuple[bytes, int]]:
    files = Path(folder).iterdir()
    return {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in files}


@pytest.mark.parametrize("step", [1, 3, 6])
def test_the_result_is_that_of_a_run_never_stopped(
    step: int, whole: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: Capsys
) -> None:
    """Losses, prompt and scores, bit for bit, wherever it was cut off."""
    cut_off(monkeypatch, "cut", step)
    assert not Path("cut/result.json").exists()
    done = command(capsys, "resume", "cut", "--ui", "plain")
    assert done.code == 0, done.err
    assert "saved in cut" in done.out
    assert result("cut") == whole
    for name in ("answers.json", "policy.json"):
        assert Path("cut", name).read_bytes() == Path("whole", name).read_bytes()


def test_the_log_reads_as_one_run(
    whole: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: Capsys
) -> None:
    """Each step has one line, one line says that it was resumed, and time goes on."""
    cut_off(monkeypatch, "cut", 4)
    assert command(capsys, "resume", "cut", "--ui", "none").code == 0
    events = [orjson.loads(line) for line in Path("cut/events.jsonl").read_bytes().splitlines()]
    kinds = [event["type"] for event in events]
    steps = [event["step"] for event in events if event["type"] == "step"]
    assert steps == [1, 2, 3, 4, 5, 6]
    assert [kinds.count(kind) for kind in ("started", "probed", "resumed", "finished")] == [1] * 4
    assert [event["t"] for event in events] == sorted(event["t"] for event in events)
    assert kinds[-1] == "finished"


def test_a_finished_run_is_left_as_it_is(whole: dict[str, Any], capsys: Capsys) -> None:
    """Exit code 0, its prompt is said, and no file is touched."""
    before = tree("whole")
    done = command(capsys, "resume", "whole")
    assert (done.code, done.out) == (0, "")
    assert done.err == f"bdpl-async: whole is finished; its prompt: {whole['prompt']}\n"
    assert tree("whole") == before


def test_from_run_toml_on(whole: dict[str, Any], capsys: Capsys) -> None:
    """A folder with nothing but a run.toml, or a journal cut at its start, is a run that begins."""
    Path("bare").mkdir()
    shutil.copy("whole/run.toml", "bare/run.toml")
    assert command(capsys, "resume", "bare", "--ui", "none").code == 0
    assert result("bare") == whole
    shutil.copytree("whole", "torn")
    Path("torn/result.json").unlink()
    Path("torn/checkpoint.json").unlink()
    Path("torn/checkpoint-0.log").write_bytes(b"1234")
    assert command(capsys, "resume", "torn", "--ui", "none").code == 0
    assert result("torn") == whole


def test_how_fast_it_goes_on_may_change(
    whole: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: Capsys
) -> None:
    """What decides no result may be given anew."""
    cut_off(monkeypatch, "cut", 2)
    pace = ("--concurrency", "9", "--timeout", "5", "--rpm", "60000", "--cache", "none")
    assert command(capsys, "resume", "cut", "--ui", "none", *pace).code == 0
    assert result("cut") == whole


CHANGES = [
    (("--seed", "1"), "run.seed"),
    (("--steps", "9"), "[optimizer]"),
    (("--max-prompts", "9000"), "[budget]"),
    (("--model", "simulated/y"), "[model]"),
    (("--set", "prompt.length=4"), "[prompt]"),
]


@pytest.mark.parametrize(("arguments", "named"), CHANGES)
def test_another_run_is_refused(
    arguments: tuple[str, ...], named: str, monkeypatch: pytest.MonkeyPatch, capsys: Capsys
) -> None:
    """What changed is named, and what was there stays: exit code 2."""
    cut_off(monkeypatch, "cut", 2)
    done = command(capsys, "resume", "cut", "--ui", "none", *arguments)
    assert done.code == 2
    assert named in done.err
    assert "changed since the run began" in done.err
    assert not Path("cut/result.json").exists()
    assert command(capsys, "resume", "cut", "--ui", "none").code == 0


def test_other_data_are_refused(monkeypatch: pytest.MonkeyPatch, capsys: Capsys) -> None:
    """A row that changed since makes it another run."""
    cut_off(monkeypatch, "cut", 2)
    Path("train.tsv").write_text(rows(12, 50))
    done = command(capsys, "resume", "cut", "--ui", "none")
    assert done.code == 2
    assert "cut: the data changed since the run began" in done.err


def test_a_run_that_is_under_way_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: Capsys
) -> None:
    """One process at a time: exit code 2, with what to do."""
    cut_off(monkeypatch, "cut", 2)
    claim = Claim(Path("cut"))
    done = command(capsys, "resume", "cut", "--ui", "none")
    claim.close()
    assert done.code == 2
    assert "cut: another process works there\n  wait until it ends" in done.err


ODD = b'{"schema": 1, "state": {}, "checksum": 2745614147}'
BROKEN = [
    ("checkpoint.json", "not as a run writes it", b"{}"),
    ("checkpoint.json", "not UTF-8", b"\xff\x00"),
    ("checkpoint.json", "of schema 7", b'{"schema": 7, "state": {}, "checksum": 0}'),
    ("checkpoint.json", "checksum", b'{"schema": 1, "state": {}, "checksum": 1}'),
    ("checkpoint.json", "not as a run writes it", ODD),
    ("checkpoint-0.log", "missing or damaged", b""),
    ("run.toml", "not TOML", b"["),
]


@pytest.mark.parametrize(("name", "named", "content"), BROKEN)
def test_what_is_damaged_is_refused(
    name: str, named: str, content: bytes, monkeypatch: pytest.MonkeyPatch, capsys: Capsys
) -> None:
    """The file is named, nothing is guessed and nothing sent: exit code 2."""
    cut_off(monkeypatch, "cut", 2)
    Path("cut", name).write_bytes(content)
    done = command(capsys, "resume", "cut", "--ui", "none")
    assert done.code == 2, done
    assert f"cut/{name}: " in done.err
    assert named in done.err


@pytest.mark.parametrize("folder", ["nowhere", "empty", "task.toml"])
def test_what_is_no_run_is_refused(folder: str, capsys: Capsys) -> None:
    """A folder without a run, or no folder at all: exit code 2."""
    Path("empty").mkdir()
    done: Outcome = command(capsys, "resume", folder)
    assert (done.code, done.out) == (2, "")
    assert folder in done.err
