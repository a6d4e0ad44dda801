"""``bdpl-async report`` from outside: the file it writes, what it says, and what it refuses."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

import bdpl_cli.report
from tests.pagereader import TESTED, Page, run_with_test
from tests.workbench import command, rows, write_task

Capsys = pytest.CaptureFixture[str]
LOOKED = bdpl_cli.report._plots
PARTS = [
    *("prompt", "scores", "setting", "course", "classes", "flipped", "money", "certainty"),
    "environment",
]


@pytest.fixture(autouse=True)
def _at_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capsys) -> None:
    """A folder of one's own with a finished run in it; figures are drawn where a test says so."""
    monkeypatch.chdir(tmp_path)
    run_with_test(capsys, tmp_path)
    monkeypatch.setattr(bdpl_cli.report, "_plots", lambda: False)


def reported(capsys: Capsys, *arguments: str, run: str = "run") -> Page:
    done = command(capsys, "report", run, *arguments)
    assert done.code == 0, done.err
    return Page.read(done.out.strip())


def edit(file: str, **changes: Any) -> None:
    """Change keys of a JSON document; None takes one out."""
    path = Path(file)
    found = orjson.loads(path.read_bytes()) | changes
    path.write_bytes(orjson.dumps({key: value for key, value in found.items() if value != ...}))


def sections(page: Page) -> list[str | None]:
    return [one.get("id") for one in page.all("section")]


def test_the_page_has_all_parts(capsys: Capsys) -> None:
    """A finished run with a test split tells everything, in order; the path is printed."""
    page = reported(capsys)
    result = orjson.loads(Path("run/result.json").read_bytes())
    assert [part for part in sections(page) if part != "trouble"] == PARTS
    assert result["prompt"] in page.text
    assert result["data_sha256"] in page.text
    assert "bdpl-async run " in page.text
    assert f"{100 * result['test']['score']:.1f} %" in page.text


def test_the_file_is_private_and_the_same_each_time(capsys: Capsys) -> None:
    """0600, written over by the next report, and nothing of it depends on when it is made."""
    first = command(capsys, "report", "run")
    path = Path(first.out.strip())
    assert path == Path("run/report.html")
    assert path.stat().st_mode & 0o777 == 0o600
    before = path.read_bytes()
    assert command(capsys, "report", "run").code == 0
    assert path.read_bytes() == before
    assert not list(Path("run").glob(".report*"))


def test_a_title_and_a_file_of_ones_own(capsys: Capsys) -> None:
    """-o and --title are taken as they are."""
    page = reported(capsys, "-o", "a page.html", "--title", "Tickets & <b>more</b>")
    assert Path("a page.html").is_file()
    assert "Tickets & <b>more</b>" in page.text
    assert not Path("run/report.html").exists()


@pytest.mark.parametrize("method", ["random", "greedy", "manual", "empty", "calibration"])
def test_methods_without_a_policy(capsys: Capsys, method: str) -> None:
    """Each gets a page; only a search has a learned prompt."""
    more = ("--set", "prompt.manual=in short:", "--method", method)
    done = command(capsys, "run", "task.toml", "--out", "other", "--ui", "none", *more)
    assert done.code == 0, done.err
    page = reported(capsys, run="other")
    assert {"prompt", "scores", "setting", "classes", "money"} <= set(sections(page))
    assert ("learned prompt" in page.text) == (method in ("random", "greedy"))
    assert ("flipped" in sections(page)) == (method != "empty")


def test_a_run_that_was_cut_off(capsys: Capsys) -> None:
    """It says how far it came and how to go on; what was never scored is left out."""
    empty = orjson.loads(Path("run/result.json").read_bytes())["baseline"]["dev"]
    edit(
        "run/result.json",
        stop_reason="interrupted",
        dev=None,
        test=None,
        gain=None,
        chosen_from=None,
        baseline={"dev": empty, "test": None},
    )
    answers = orjson.loads(Path("run/answers.json").read_bytes())
    answers["dev"].pop("learned")
    edit("run/answers.json", test=..., dev=answers["dev"])
    page = reported(capsys)
    assert "best guess by then" in page.text
    assert "bdpl-async resume" in page.text
    assert "flipped" not in sections(page)
    assert "classes" in sections(page)


def test_a_run_of_an_earlier_release(capsys: Capsys) -> None:
    """Without spending, answers, policy and events the rest stands, and says what is not there."""
    edit("run/result.json", spending=..., gain=..., latency=..., chosen_from=...)
    for file in ("answers.json", "policy.json", "events.jsonl"):
        Path("run", file).unlink()
    page = reported(capsys)
    assert sections(page) == ["prompt", "scores", "setting", "course", "money", "environment"]
    assert "earlier release" in page.text
    assert "events.jsonl is not there" in page.text
    assert "answers were not kept" in page.text


def test_a_run_without_test(capsys: Capsys) -> None:
    """Nothing is called proven, and examples are those of dev."""
    write_task(Path())
    done = command(capsys, "run", "task.toml", "--out", "other", "--ui", "none")
    assert done.code == 0, done.err
    page = reported(capsys, run="other")
    assert "no test score, so nothing is proven" in page.text
    assert "8 dev examples" in page.text


def test_data_that_are_gone(capsys: Capsys) -> None:
    """Counts and row numbers stand, with the reason on the page and on stderr; exit 0."""
    Path("test.tsv").unlink()
    done = command(capsys, "report", "run")
    assert done.code == 0
    assert "test.tsv" in done.err
    assert "--data DIR" in done.err
    page = Page.read("run/report.html")
    assert "could not be read again" in page.text
    flipped = "row " in page.text
    assert flipped == ("Became" in page.text)


def test_data_that_were_moved(capsys: Capsys) -> None:
    """--data says where they are; a folder that has other data is refused and nothing written."""
    there = Path("moved")
    there.mkdir()
    for file in ("train.tsv", "dev.tsv", "test.tsv"):
        Path(file).rename(there / file)
    done = command(capsys, "report", "run", "--data", "moved")
    assert (done.code, done.err) == (0, "")
    Path("run/report.html").unlink()
    (there / "dev.tsv").write_text(rows(8, 500))
    done = command(capsys, "report", "run", "--data", "moved")
    assert done.code == 2
    assert "not those that the run was learned from" in done.err
    assert not Path("run/report.html").exists()


def test_without_matplotlib_there_are_tables(
    capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line on stderr names the extra; the page has no figure and all else."""
    monkeypatch.setattr(bdpl_cli.report, "_plots", LOOKED)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = command(capsys, "report", "run")
    assert done.code == 0
    assert done.err.count("\n") == 1
    assert "pip install 'bdpl-async[report]'" in done.err
    page = Page.read("run/report.html")
    assert page.all("svg") == []
    assert "Mean loss of the first" in page.text


def test_with_matplotlib_there_are_figures(capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    """Learning, entropy, odds of each position and reliability, each with a text in its place."""
    monkeypatch.setattr(bdpl_cli.report, "_plots", lambda: True)
    page = reported(capsys)
    figures = page.all("svg")
    assert len(figures) == 4
    assert all(len(str(one["aria-label"])) > 20 and one["role"] == "img" for one in figures)
    assert len(page.ids) == len(set(page.ids))
    assert Path("run/report.html").stat().st_size < 500_000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere",), "no such folder"),
        (("task.toml",), "no run.toml"),
        (("run", "-o", "run"), "is a folder"),
        (("run", "-o", "run/result.json"), "is there already"),
        (("run", "-o", "task.toml"), "is there already"),
        (("run", "-o", "nowhere/x.html"), "cannot be written"),
        (("run", "-o", "task.toml/x.html"), "cannot be written"),
        (("run", "--data", "nowhere"), "nowhere"),
        (("run", "--model", "simulated/x"), "--model"),
        ((), "RUN_DIR"),
    ],
)
def test_what_cannot_be_is_refused(
    capsys: Capsys, arguments: tuple[str, ...], message: str
) -> None:
    """Exit 2, one message that names it, nothing on stdout, and no file is touched."""
    before = {file: file.read_bytes() for file in Path().rglob("*") if file.is_file()}
    done = command(capsys, "report", *arguments)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert "Traceback" not in done.err
    assert {file: file.read_bytes() for file in Path().rglob("*") if file.is_file()} == before


def test_a_damaged_run_is_refused(capsys: Capsys) -> None:
    """A result that a run did not write makes no page."""
    edit("run/result.json", seed="zero")
    done = command(capsys, "report", "run")
    assert (done.code, done.out) == (2, "")
    assert "run" in done.err


def test_a_run_in_progress_is_refused(capsys: Capsys) -> None:
    """It has no result yet: the message says so, and nothing is written."""
    Path("run/result.json").unlink()
    done = command(capsys, "report", "run")
    assert (done.code, done.out) == (2, "")
    assert "no result yet" in done.err
    assert not Path("run/report.html").exists()


def test_a_pipe_is_not_waited_for(capsys: Capsys) -> None:
    """As -o it is refused like any other file that is no report."""
    os.mkfifo("pipe.html")
    done = command(capsys, "report", "run", "-o", "pipe.html")
    assert done.code == 2
    assert "is no file" in done.err


def test_an_interval_out_of_this_world(capsys: Capsys) -> None:
    """Numbers that no run writes, but a number's place holds, make a page all the same."""
    scored = orjson.loads(Path("run/result.json").read_bytes())["dev"]
    edit("run/result.json", dev={**scored, "ci95": [-1e308, 1e308]})
    assert "From -100 % to 100 %" in reported(capsys).text


def test_a_long_prompt_stays_readable(capsys: Capsys, tmp_path: Path) -> None:
    """150 positions: the table is cut and says so, and the page stays small."""
    write_task(tmp_path, TESTED, ("length = 3", "length = 150"))
    done = command(capsys, "run", "task.toml", "--out", "long", "--ui", "none")
    assert done.code == 0, done.err
    page = reported(capsys, run="long")
    assert "The first 100 of 150 positions" in page.text
    assert Path("long/report.html").stat().st_size < 500_000
