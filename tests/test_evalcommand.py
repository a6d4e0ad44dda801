"""``bdpl-async eval`` beyond a plain score: a run by itself, a part of a split, each class."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import orjson
import pytest

from bdpl_async.records import Reply, Request
from bdpl_providers.simulated import Simulated
from tests.workbench import TESTED, command, finished_run, write_task
from tests.workbench import rows as table

Capsys = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _at_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capsys) -> None:
    """A folder of one's own with a finished run in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    finished_run(tmp_path, capsys)


def scored(capsys: Capsys, *arguments: str) -> dict[str, Any]:
    """What --json prints of a command that succeeds."""
    done = command(capsys, "eval", *arguments, "--json")
    assert done.code == 0, done.err
    found = orjson.loads(done.out)
    assert isinstance(found, dict)
    return found


def test_a_run_brings_its_own_task(capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without TASK its model and its data are taken, wherever one stands; its budget is spent."""
    result = orjson.loads(Path("run/result.json").read_bytes())
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    found = scored(capsys, "--run", "../run")
    assert (found["task"], found["model"]) == ("tiny", "simulated/x")
    assert found["score"] == result["test"]["score"]
    assert (found["prompt"], found["learned_on"]) == (result["prompt"], "simulated/x")


def test_a_run_on_other_data_is_refused(capsys: Capsys) -> None:
    """By itself it is scored on its own rows or not at all."""
    Path("test.tsv").write_text(table(16, 300))
    done = command(capsys, "eval", "--run", "run")
    assert (done.code, done.out) == (2, "")
    assert "data are not those" in done.err


def test_without_a_run_a_task_is_needed(capsys: Capsys) -> None:
    """And the message says where it could be left out."""
    done = command(capsys, "eval", "--prompt", "x")
    assert (done.code, done.out) == (2, "")
    assert "name a TASK" in done.err
    assert "--run" in done.err


@pytest.mark.parametrize("task", [("task.toml",), ()])
def test_it_is_said_whose_model_is_asked(capsys: Capsys, task: tuple[str, ...]) -> None:
    """Where it is not the one that the prompt was learned on; on stderr, in short lines."""
    assert command(capsys, "eval", *task, "--run", "run").err == ""
    done = command(capsys, "eval", *task, "--run", "run", "--model", "simulated/y")
    assert "learned on simulated/x; asked is simulated/y" in done.err
    assert max(map(len, done.err.splitlines())) <= 80
    assert "on simulated/y" in done.out


def test_a_part_of_a_split(capsys: Capsys) -> None:
    """--examples N asks the first N and no more; more than there are is all of them."""
    found = scored(capsys, "task.toml", "--prompt", "x", "--examples", "5")
    assert (found["n"], found["usage"]["prompts"]) == (5, 5)
    assert scored(capsys, "task.toml", "--prompt", "x", "--examples", "50")["n"] == 16
    refused = command(capsys, "eval", "task.toml", "--prompt", "x", "--examples", "0")
    assert (refused.code, refused.out) == (2, "")
    assert "--examples 0" in refused.err


def test_a_budget_too_small_says_what_fits(capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many examples do: what is named is enough, and one more is not."""
    budget = ("task.toml", "--prompt", "x", "--max-prompts", "7")
    assert scored(capsys, *budget, "--examples", "7")["n"] == 7
    monkeypatch.delattr(Simulated, "score")
    for more in ((), ("--examples", "8")):
        done = command(capsys, "eval", *budget, *more)
        assert (done.code, done.out) == (4, "")
        assert "--examples 7 fits" in done.err


def test_each_class(capsys: Capsys) -> None:
    """Counts add up to the score; --by-class shows them within 80 columns, else they are hidden."""
    found = scored(capsys, "--run", "run")
    classes = found["by_class"]
    assert [one["value"] for one in classes] == ["0", "1"]
    assert sum(one["n"] for one in classes) == found["n"] == 16
    assert sum(one["right"] for one in classes) == round(16 * found["score"])
    assert [one["predicted"][i] for i, one in enumerate(classes)] == [
        one["right"] for one in classes
    ]
    plain = command(capsys, "eval", "--run", "run").out
    full = command(capsys, "eval", "--run", "run", "--by-class").out
    assert "precision" not in plain
    for part in ("terrible", "great", "precision", "recall", "taken for"):
        assert part in full
    assert max(map(len, full.splitlines())) <= 80


def test_many_classes_still_fit(capsys: Capsys, tmp_path: Path) -> None:
    """Names are cut, numbers never."""
    words = ["amber", "basil", "cedar", "delta", "ember", "frost", "grove", "hazel"]
    labels = ", ".join(f'"a rather long name {i}" = " {word}"' for i, word in enumerate(words))
    write_task(tmp_path, TESTED, ('"0" = " terrible", "1" = " great"', labels))
    for name in ("train", "dev", "test"):
        lines = [f"words {i}\ta rather long name {i % 8}" for i in range(24)]
        Path(f"{name}.tsv").write_text("\n".join(["text\tlabel", *lines]) + "\n")
    done = command(capsys, "eval", "task.toml", "--prompt", "x", "--by-class")
    assert done.code == 0, done.err
    assert max(map(len, done.out.splitlines())) <= 80


def test_a_folder_of_several_runs_names_them(capsys: Capsys) -> None:
    """eval, explain and transfer say what the folder is, and what to give instead."""
    shutil.copytree("run", "study/one")
    Path("study/sweep.toml").write_text("")
    for words in (("eval", "--run"), ("explain",), ("transfer",)):
        done = command(capsys, *words, "study")
        assert (done.code, done.out) == (2, "")
        assert "study: the folder of a sweep, not of one run" in done.err
        assert str(Path("study", "one")) in done.err


@pytest.mark.usefixtures("_signals")
def test_ctrl_c_ends_it_with_130(capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is printed on stdout, nothing more is sent."""
    asked: list[int] = []

    async def score(self: Simulated, request: Request) -> Reply:
        asked.append(len(request.texts))
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(5)
        raise AssertionError("it was not stopped")

    monkeypatch.setattr(Simulated, "score", score)
    done = command(capsys, "eval", "--run", "run", "--json", "--concurrency", "1")
    assert (done.code, done.out) == (130, "")
    assert len(asked) == 1


@pytest.fixture
def untested(capsys: Capsys, tmp_path: Path) -> None:
    """The task without a test split, and a run of it in ``plain``."""
    write_task(tmp_path)
    assert command(capsys, "run", "task.toml", "--out", "plain", "--ui", "none").code == 0


@pytest.mark.usefixtures("untested")
def test_without_a_test_split_dev_is_scored(capsys: Capsys) -> None:
    """One note on stderr says so, and of a run's prompt that dev chose it."""
    done = command(capsys, "eval", "task.toml", "--prompt", "x")
    assert (done.code, done.err) == (0, "note: no test split: on dev\n")
    assert done.out.startswith("tiny dev on ")
    done = command(capsys, "eval", "--run", "plain", "--json")
    assert done.code == 0
    assert done.err.startswith("note: no test split: on dev, which chose this prompt")
    assert len(done.err.splitlines()) == 1
    assert orjson.loads(done.out)["split"] == "dev"


@pytest.mark.usefixtures("untested")
def test_a_split_that_was_asked_for_is_not_another(capsys: Capsys) -> None:
    """--split test is refused where there is none."""
    done = command(capsys, "eval", "task.toml", "--prompt", "x", "--split", "test")
    assert (done.code, done.out) == (2, "")
    assert "has no test split" in done.err
