"""The folder of a sweep: tables that are valid at any time, and safe in a spreadsheet."""

from __future__ import annotations

import csv
import stat
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

import bdpl_async as bdpl
from bdpl_async.errors import ConfigError
from bdpl_async.result import Result
from bdpl_async.studies.grid import Sweep
from bdpl_async.studies.gridfile import read_sweep
from bdpl_async.studies.sweepdir import SweepDir
from bdpl_async.studies.sweeping import Row
from bdpl_async.task import Task
from bdpl_providers.simulated import Simulated
from tests.workbench import write_task

GRID = 'task = "task.toml"\n[grid]\n"prompt.manual" = ["=1+1", "b"]\n"run.seed" = [0, 1]\n'


def make(folder: Path, text: str = GRID) -> Sweep:
    path = folder / "s.toml"
    path.write_text(text)
    return read_sweep(path)


@pytest.fixture
async def result(tmp_path: Path) -> Result:
    return await bdpl.tune(Task.from_toml(write_task(tmp_path)), Simulated())


def lines(folder: Path) -> list[dict[str, str]]:
    with (folder / "sweep.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_rows_stand_in_the_order_of_the_grid(tmp_path: Path, result: Result) -> None:
    """Whatever order cells end in, both tables have the grid's, after every cell."""
    sweep, out = make(tmp_path), tmp_path / "out"
    folder = SweepDir(out, sweep)
    rows = [Row(point, result) for point in sweep.points]
    folder.begin(rows[3:])
    folder.add(rows[1])
    names = [sweep.points[1].folder, sweep.points[3].folder]
    assert [line["cell"] for line in lines(out)] == names
    folder.add(rows[0])
    document = orjson.loads((out / "sweep.json").read_bytes())
    assert document == orjson.loads(orjson.dumps(folder.document()))
    assert [row["cell"] for row in document["rows"]] == [sweep.points[0].folder, *names]
    assert (document["cells"], document["x"]) == (4, "prompt.manual")
    folder.close()


def test_the_folder_is_private_and_says_which_sweep_it_is(tmp_path: Path) -> None:
    """Files are the user's own; sweep.toml is the sweep itself."""
    sweep, out = make(tmp_path), tmp_path / "out"
    folder = SweepDir(out, sweep)
    folder.begin([])
    folder.close()
    assert stat.S_IMODE(out.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in out.iterdir()} == {0o600}
    again = read_sweep(out / "sweep.toml")
    assert [p.folder for p in again.points] == [p.folder for p in sweep.points]


def test_no_cell_of_the_csv_is_a_formula(tmp_path: Path, result: Result) -> None:
    """Text that a spreadsheet would compute gets an apostrophe; numbers stay numbers."""
    sweep, out = make(tmp_path), tmp_path / "out"
    assert result.gain is None
    assert result.dev is not None
    odd = replace(
        result, prompt="@SUM(A1)", model="+x", task="-1", dev=replace(result.dev, score=-0.25)
    )
    folder = SweepDir(out, sweep)
    folder.begin([Row(sweep.points[0], odd)])
    folder.close()
    line = lines(out)[0]
    assert line["prompt.manual"] == "'=1+1"
    assert (line["prompt"], line["model"], line["task"]) == ("'@SUM(A1)", "'+x", "'-1")
    assert float(line["dev"]) == -0.25
    assert (line["run.seed"], line["test"], line["gain"]) == ("0", "", "")


def test_quotes_commas_and_line_breaks_survive_the_csv(tmp_path: Path, result: Result) -> None:
    """What a prompt holds is read back as it was."""
    sweep, out = make(tmp_path), tmp_path / "out"
    prompt = 'a "b", c\nd;\te'
    folder = SweepDir(out, sweep)
    folder.begin([Row(sweep.points[0], replace(result, prompt=prompt))])
    folder.close()
    assert lines(out)[0]["prompt"] == prompt


def test_another_sweep_in_the_folder_is_refused(tmp_path: Path) -> None:
    """The same sweep may come back, with more cells too; another one, or a run, is in the way."""
    out = tmp_path / "out"
    folder = SweepDir(out, make(tmp_path))
    folder.begin([])
    folder.close()
    SweepDir(out, make(tmp_path, GRID.replace("[0, 1]", "[0, 1, 2]")))
    with pytest.raises(ConfigError, match="holds another sweep"):
        SweepDir(out, make(tmp_path, GRID.replace('"b"', '"c"')))
    (out / "run.toml").write_text("")
    with pytest.raises(ConfigError, match="holds a run"):
        SweepDir(out, make(tmp_path))
    with pytest.raises(ConfigError, match="a file stands where"):
        SweepDir(tmp_path / "s.toml", make(tmp_path))


def test_two_sweeps_do_not_work_in_one_folder(tmp_path: Path) -> None:
    """Who comes second is refused until the first is done."""
    sweep, out = make(tmp_path), tmp_path / "out"
    first, second = SweepDir(out, sweep), SweepDir(out, sweep)
    first.begin([])
    with pytest.raises(ConfigError, match="another process works there"):
        second.begin([])
    first.close()
    second.begin([])
    second.close()
