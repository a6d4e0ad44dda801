"""The rules of `bdpl_async.studies.reopening`."""

from __future__ import annotations

from pathlib import Path

import pytest

from bdpl_async.errors import ConfigError, DataError, UsageError
from bdpl_async.kept import Kept, read_run
from bdpl_async.studies.reopening import reconfigured, reopen
from bdpl_async.task import Task
from bdpl_async.tuning import tune
from bdpl_providers.simulated import Simulated
from tests.workbench import rows, write_task


@pytest.fixture
async def run(tmp_path: Path) -> Kept:
    path = write_task(tmp_path, more="[budget]\nprompts = 300\n[run]\nui = 'json'\n")
    await tune(Task.from_toml(path), Simulated(), out=tmp_path / "run")
    return read_run(tmp_path / "run")


def test_the_task_comes_back_as_it_was(run: Kept, tmp_path: Path) -> None:
    """The same examples in the same order."""
    task = reopen(run, reconfigured(run, {}))
    assert task.dev == Task.from_toml(tmp_path / "task.toml").dev
    assert task.data_sha256 == run.result.data_sha256


def test_a_budget_is_spent_with_its_run(run: Kept) -> None:
    """Neither budget nor folder nor view of the run hold again; what is given now does."""
    config = reconfigured(run, {"budget.requests": 7})
    assert (config.budget.prompts, config.budget.requests) == (None, 7)
    assert (config.run.ui, config.run.out) == ("auto", None)
    with pytest.raises(ConfigError, match=r"budget\.requests = -1"):
        reconfigured(run, {"budget.requests": -1})


@pytest.mark.parametrize("file", ["train.tsv", "dev.tsv"])
def test_data_that_changed_are_refused(run: Kept, tmp_path: Path, file: str) -> None:
    """One row more is another data set, whichever split it stands in."""
    with (tmp_path / file).open("a") as lines:
        lines.write("one more\t1\n")
    with pytest.raises(DataError, match="not those that the run was learned from"):
        reopen(run, reconfigured(run, {}))


def test_data_that_are_gone_are_named(run: Kept, tmp_path: Path) -> None:
    """A `UsageError` that says which file."""
    (tmp_path / "dev.tsv").unlink()
    with pytest.raises(UsageError, match=r"dev\.tsv"):
        reopen(run, reconfigured(run, {}))


def test_data_that_moved_can_be_given(run: Kept, tmp_path: Path) -> None:
    """The same files in another folder are the same data."""
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("train.tsv", "dev.tsv"):
        (tmp_path / name).rename(moved / name)
    task = reopen(run, reconfigured(run, {"run.data": str(moved)}))
    assert len(task.dev) == 8
    (moved / "dev.tsv").write_text(rows(8, 50))
    with pytest.raises(DataError):
        reopen(run, reconfigured(run, {"run.data": str(moved)}))
