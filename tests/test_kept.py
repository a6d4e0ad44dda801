"""A RUN_DIR read back: as it was written, or refused by name."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import orjson
import pytest

from bdpl_async.errors import ConfigError
from bdpl_async.kept import finished, read_run
from bdpl_async.task import Task
from bdpl_async.tuning import tune
from bdpl_providers.simulated import Simulated
from tests.workbench import write_task


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    path = write_task(tmp_path, ('dev = "dev.tsv"', 'dev = "dev.tsv"\ntest = "dev.tsv"'))
    await tune(Task.from_toml(path), Simulated(), out=tmp_path / "run")
    return tmp_path / "run"


async def test_a_run_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    """The result equals the one that `tune` gave, whole; a failed step's loss stays NaN."""
    path = write_task(tmp_path, ('dev = "dev.tsv"', 'dev = "dev.tsv"\ntest = "dev.tsv"'))
    result = await tune(Task.from_toml(path), Simulated(), out=tmp_path / "run")
    kept = read_run(tmp_path / "run")
    assert kept.result == result
    assert kept.config.optimizer.steps == 2
    assert set(kept.answers) == {"dev", "test"}
    assert kept.policy is not None
    assert kept.policy.probabilities.shape == (3, len(kept.policy.vocabulary))
    np.testing.assert_array_equal(
        kept.answers["dev"]["learned"].labels, kept.answers["dev"]["empty"].labels
    )


def test_a_folder_without_the_lesser_files_is_still_a_run(folder: Path) -> None:
    """A run of an earlier release has neither answers nor policy; its result counts."""
    (folder / "answers.json").unlink()
    (folder / "policy.json").unlink()
    kept = read_run(folder)
    assert (kept.answers, kept.policy) == ({}, None)
    assert finished(folder)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("result.json", ""),
        ("result.json", "[]"),
        ("result.json", '{"schema": 2}'),
        ("result.json", '{"schema": 1}'),
        ("answers.json", '{"dev": {"labels": [0], "learned": [[1, 2], [3, 4]]}}'),
        ("answers.json", '{"dev": 3}'),
        ("policy.json", '{"vocabulary": ["a"], "probabilities": [[0.5, 0.5]]}'),
        ("policy.json", '{"vocabulary": ["a"]}'),
    ],
)
def test_a_damaged_file_is_refused_by_name(folder: Path, file: str, content: str) -> None:
    """One clear error that names the folder, whatever a file holds."""
    (folder / file).write_text(content)
    with pytest.raises(ConfigError, match=str(folder)):
        read_run(folder)


def test_what_is_no_run_is_not_finished(tmp_path: Path, folder: Path) -> None:
    """A missing folder, a cut-off file and an interrupted run are not done."""
    assert not finished(tmp_path / "nowhere")
    text = (folder / "result.json").read_text()
    for content in ("", "{}", text.replace('"steps",', '"interrupted",', 1)):
        (folder / "result.json").write_text(content)
        assert not finished(folder)


def test_a_label_that_was_ruled_out_is_no_missing_answer(folder: Path) -> None:
    """JSON has null for minus infinity and for NaN: a row of them alone had no answer."""
    document = {"dev": {"labels": [0, 1], "learned": [[None, -0.5], [None, None]]}}
    (folder / "answers.json").write_bytes(orjson.dumps(document))
    found = read_run(folder).answers["dev"]["learned"]
    assert found.logprobs[0].tolist() == [-np.inf, -0.5]
    assert np.isnan(found.logprobs[1]).all()
    assert found.predictions.tolist() == [1, -1]


def test_a_folder_without_a_run_says_so(tmp_path: Path) -> None:
    """The hint is about folders of runs, not about files of tasks."""
    for place, what in (
        (tmp_path, r"no run: it has no run\.toml"),
        (tmp_path / "x", "no such folder"),
    ):
        with pytest.raises(ConfigError, match=rf"{what}\n  give the folder of"):
            read_run(place)


def test_a_run_in_progress_has_no_result_yet(folder: Path) -> None:
    """The message says so, and what can be done."""
    (folder / "result.json").unlink()
    with pytest.raises(ConfigError, match=r"no result yet.*\n.*bdpl-async resume"):
        read_run(folder)


@pytest.mark.parametrize("file", ["result.json", "answers.json", "policy.json"])
def test_nothing_is_waited_for(folder: Path, file: str) -> None:
    """A pipe or a folder in a file's place is refused, and never read."""
    (folder / file).unlink()
    os.mkfifo(folder / file)
    with pytest.raises(ConfigError, match=f"{file}: is no file"):
        read_run(folder)


def test_a_folder_of_several_runs_names_them(tmp_path: Path, folder: Path) -> None:
    """A comparison's or a sweep's folder is called that; no list is longer than a screen."""
    study = tmp_path / "study"
    for i in range(10):
        (study / f"cell{i}").mkdir(parents=True)
        (study / f"cell{i}" / "run.toml").write_text("")
    for file, what in {
        "": "several runs",
        "sweep.toml": "sweep",
        "comparison.json": "comparison",
    }.items():
        if file:
            (study / file).write_text("")
        with pytest.raises(ConfigError, match=f"the folder of .*{what}, not of one run") as caught:
            read_run(study)
        assert f"{study / 'cell7'}\n    and 2 more" in str(caught.value)
        assert "cell8" not in str(caught.value)


def test_a_comparison_that_is_not_done_is_called_so(tmp_path: Path, folder: Path) -> None:
    """It left a lock and no outcome: how many of its runs are done, and what goes on with it."""
    study = tmp_path / "my study"
    shutil.copytree(folder, study / "one")
    (study / "two").mkdir()
    (study / "two" / "run.toml").write_text("")
    (study / ".lock").write_text("")
    with pytest.raises(ConfigError) as caught:
        read_run(study)
    said = str(caught.value)
    assert f"{study}: a comparison that is not done: of the 2 runs there so far 1 is" in said
    assert f"the same compare command with --out '{study}' goes on" in said
    assert str(study / "two") in said
