"""``bdpl-async transfer`` from outside: what it prints, how it ends, and what it writes."""

from __future__ import annotations

import asyncio
import csv
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from bdpl_async.answers import Answers
from bdpl_async.config import Config
from bdpl_async.errors import ProviderRefused
from bdpl_async.evaluation import Evaluation
from bdpl_async.records import Reply, Request
from bdpl_async.scorer import Scorer
from bdpl_async.session import Session
from bdpl_async.studies import transferring
from bdpl_providers.simulated import Simulated
from tests.workbench import TESTED, command, finished_run, rows, write_task

Capsys = pytest.CaptureFixture[str]
MANUAL = ("length = 3", 'length = 3\nmanual = "warm and kind"')


@pytest.fixture(autouse=True)
def _at_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capsys) -> None:
    """A folder of one's own with a finished run on simulated/x in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    finished_run(tmp_path, capsys, MANUAL)


def matrix(capsys: Capsys, *arguments: str) -> dict[str, Any]:
    """What --json prints, and nothing else, of a command that succeeds."""
    done = command(capsys, "transfer", "run", "--json", "--ui", "none", *arguments)
    assert (done.code, done.err) == (0, "")
    found = orjson.loads(done.out)
    assert isinstance(found, dict)
    return found


def models(found: dict[str, Any]) -> list[str]:
    return [model["model"] for model in found["models"]]


def test_json_is_the_matrix(capsys: Capsys) -> None:
    """Rows learned, empty and manual; columns the own model, marked, and the others."""
    found = matrix(capsys, "--model", "simulated/y", "--model", "simulated/z")
    assert models(found) == ["simulated/x", "simulated/y", "simulated/z"]
    assert [row["role"] for row in found["rows"]] == ["learned", "empty", "manual"]
    learned, empty, manual = found["rows"]
    assert [cell["learned_here"] for cell in learned["cells"]] == [True, False, False]
    assert manual["prompt"] == "warm and kind"
    result = orjson.loads(Path("run/result.json").read_bytes())
    assert learned["cells"][0]["score"] == result["test"]["score"]
    assert learned["cells"][0]["gain"] == result["gain"]
    assert [cell["gain"] for cell in empty["cells"]] == [None, None, None]
    assert found["n"] == learned["cells"][0]["n"] == 16


def test_several_runs_are_several_rows(capsys: Capsys) -> None:
    """Also of other seeds and models: the test rows are the same; each own model is a column."""
    other = ("run", "task.toml", "--ui", "none", "--out", "two", "--seed", "1")
    assert command(capsys, *other, "--model", "simulated/y").code == 0
    found = matrix(capsys, "two")
    assert models(found) == ["simulated/x", "simulated/y"]
    here = [[cell["learned_here"] for cell in row["cells"]] for row in found["rows"][:2]]
    assert here == [[True, False], [False, True]]


def test_the_own_model_can_be_left_out(capsys: Capsys) -> None:
    """--no-own asks the named ones only; the same name twice is asked once."""
    arguments = ("--no-own", "--model", "simulated/y", "--model", "simulated/y")
    assert models(matrix(capsys, *arguments)) == ["simulated/y"]


def test_models_can_stand_in_a_file(capsys: Capsys) -> None:
    """[[models]] of the TASK.toml given with --models."""
    listed = '[[models]]\nname = "simulated/y"\n[[models]]\nname = "simulated/z"\n'
    Path("models.toml").write_text(Path("task.toml").read_text() + listed)
    found = matrix(capsys, "--models", "models.toml")
    assert models(found) == ["simulated/x", "simulated/y", "simulated/z"]


def test_the_table_is_written_as_csv(capsys: Capsys) -> None:
    """One line a prompt and model, the numbers of the JSON document."""
    found = matrix(capsys, "--model", "simulated/y", "--out", "table.csv")
    with Path("table.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 3 * 2
    first = found["rows"][0]["cells"][0]
    assert float(lines[0]["score"]) == first["score"]
    assert float(lines[0]["gain_high"]) == first["gain"]["ci95"][1]
    assert (lines[0]["run"], lines[0]["learned_on"]) == ("run", "simulated/x")
    assert (lines[2]["role"], lines[2]["gain"]) == ("empty", "")


def test_no_cell_of_the_csv_is_a_formula(capsys: Capsys, tmp_path: Path) -> None:
    """A prompt that a spreadsheet would compute gets an apostrophe."""
    write_task(tmp_path, TESTED, ("length = 3", 'length = 3\nmanual = "=1+1"'))
    manual = ("run", "task.toml", "--method", "manual", "--out", "formula", "--ui", "none")
    assert command(capsys, *manual).code == 0
    assert command(capsys, "transfer", "formula", "--out", "table.csv").code == 0
    with Path("table.csv").open(newline="") as file:
        prompts = [line["prompt"] for line in csv.DictReader(file)]
    assert prompts == ["'=1+1", "", "'=1+1"]


def test_the_cost_is_told_before_it_is_spent(capsys: Capsys) -> None:
    """A line a model on stderr, which --ui none hushes; other views are refused."""
    done = command(capsys, "transfer", "run", "--model", "simulated/y", "--json")
    assert done.code == 0
    assert max(map(len, done.err.splitlines())) <= 80
    lines = done.err.replace("\n  ", " ").splitlines()
    assert [line.partition(" by ")[2].split()[0] for line in lines] == [
        "simulated/x",
        "simulated/y",
    ]
    assert all("at most 48 prompts" in line for line in lines)
    for view in ("json", "rich"):
        refused = command(capsys, "transfer", "run", "--ui", view)
        assert (refused.code, refused.out) == (2, "")
        assert f"--ui {view}" in refused.err


def test_text_fits_80_columns(capsys: Capsys) -> None:
    """Many models stand in blocks of three; a long name keeps its end."""
    names = [f"simulated/{'a-long-family-name-' * 2}{i}" for i in range(4)]
    done = command(capsys, "transfer", "run", *[part for n in names for part in ("--model", n)])
    assert done.code == 0, done.err
    assert max(map(len, done.out.splitlines())) <= 80
    for i in range(4):
        assert f"-name-{i}" in done.out
    assert "* the model that the prompt was learned on" in done.out


def test_people_read_per_cent_and_points(capsys: Capsys) -> None:
    """The same numbers as in the document, which has fractions."""
    cell = matrix(capsys)["rows"][0]["cells"][0]
    out = command(capsys, "transfer", "run").out
    low, high = (100 * end for end in cell["ci95"])
    assert f"{100 * cell['score']:.1f}* [{low:.1f} {high:.1f}]" in out
    low, high = (100 * end for end in cell["gain"]["ci95"])
    assert f"{100 * cell['gain']['score']:+.1f}  [{low:+.1f} {high:+.1f}]" in out
    assert f"p = {cell['gain']['p_value']:.3f}" in out


def test_a_budget_too_small_is_refused_unsent(
    capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 4, saying what one model takes; 48 prompts are enough for each of two."""
    matrix(capsys, "--model", "simulated/y", "--max-prompts", "48")

    async def score(self: Simulated, request: Request) -> Reply:
        pytest.fail("something was sent")

    monkeypatch.setattr(Simulated, "score", score)
    done = command(capsys, "transfer", "run", "--model", "simulated/y", "--max-prompts", "47")
    assert (done.code, done.out) == (4, "")
    assert "scoring 3 prompts on 16 test examples takes 48 prompts" in done.err


def test_a_model_that_refuses_is_named_beside_the_others(
    capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 3 with what the others answered; without any other nothing is printed."""
    usual = Simulated.score

    async def score(self: Simulated, request: Request) -> Reply:
        if self.model == "y":
            raise ProviderRefused("simulated/y: no such account", fate="refused")
        return await usual(self, request)

    monkeypatch.setattr(Simulated, "score", score)
    done = command(capsys, "transfer", "run", "--json", "--model", "simulated/y", "--out", "t.csv")
    assert done.code == 3
    assert "no such account" in done.err
    found = orjson.loads(done.out)
    assert [cell is None for cell in found["rows"][0]["cells"]] == [False, True]
    assert "no such account" in found["models"][1]["error"]
    assert "no such account" in Path("t.csv").read_text()
    assert "failed" in command(capsys, "transfer", "run", "--model", "simulated/y").out
    alone = command(capsys, "transfer", "run", "--json", "--no-own", "--model", "simulated/y")
    assert (alone.code, alone.out) == (3, "")


@pytest.mark.usefixtures("_signals")
def test_ctrl_c_ends_it_with_130(capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is printed on stdout, and the next model is not asked."""
    asked: list[str] = []
    usual = Simulated.score

    async def score(self: Simulated, request: Request) -> Reply:
        asked.append(self.model)
        os.kill(os.getpid(), signal.SIGINT)
        return await usual(self, request)

    monkeypatch.setattr(Simulated, "score", score)
    done = command(capsys, "transfer", "run", "--json", "--model", "simulated/y")
    assert (done.code, done.out) == (130, "")
    assert asked == ["x"]


@pytest.mark.usefixtures("_signals")
def test_ctrl_c_between_two_models(capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal that comes as the last answer of a model is in still keeps the next one unasked."""
    asked: list[str] = []
    usual, measure = Simulated.score, Session.measure

    async def score(self: Simulated, request: Request) -> Reply:
        asked.append(self.model)
        return await usual(self, request)

    @asynccontextmanager
    async def unhurried(config: Config, scorer: Scorer) -> AsyncIterator[tuple[None, None]]:
        await asyncio.sleep(0.02)  # as for a cache: a signal is noticed here
        yield None, None

    def interrupted(self: Session, answers: Answers) -> Evaluation:
        os.kill(os.getpid(), signal.SIGINT)
        monkeypatch.setattr(Session, "measure", measure)
        return measure(self, answers)

    monkeypatch.setattr(Simulated, "score", score)
    monkeypatch.setattr(transferring, "opened", unhurried)
    monkeypatch.setattr(Session, "measure", interrupted)
    done = command(capsys, "transfer", "run", "--json", "--model", "simulated/y")
    assert (done.code, done.out) == (130, "")
    assert asked == ["x"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "at least one RUN_DIR"),
        (("nowhere",), "nowhere"),
        (("run", "--no-own"), "no model to score on"),
        (("run", "--model", "nobody/x"), "unknown provider 'nobody'"),
        (("run", "--model", "simulated"), "PROVIDER/MODEL"),
        (("run", "--models", "task.toml"), "no [[models]]"),
        (("run", "--models", "nothing.toml"), "nothing.toml"),
        (("run", "--model", "simulated/y", "--timeout", "-1"), "model.timeout"),
        (("run", "--set", "model.name=simulated/y"), "--model"),
        (("run", "--method", "random"), "optimizer.method"),
        (("run", "--out", "."), "is a folder"),
        (("run", "--out", "no/such/folder.csv"), "folder is not there"),
        (("run", "--model", "vllm/y", "--base-url", "nonsense"), "base_url"),
    ],
)
def test_bad_input_is_refused_by_name(
    capsys: Capsys, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    """Exit 2, nothing on stdout, nothing sent."""

    async def score(self: Simulated, request: Request) -> Reply:
        pytest.fail("something was sent")

    monkeypatch.setattr(Simulated, "score", score)
    done = command(capsys, "transfer", *arguments)
    assert (done.code, done.out) == (2, "")
    assert message in done.err


def test_runs_of_different_tasks_are_refused(capsys: Capsys, tmp_path: Path) -> None:
    """By name, and where they differ; so are runs whose data have changed."""
    write_task(tmp_path, TESTED, ('"1" = " great"', '"1" = " good"'))
    assert command(capsys, "run", "task.toml", "--out", "two", "--ui", "none").code == 0
    done = command(capsys, "transfer", "run", "two")
    assert done.code == 2
    assert "two: another task than run: their label words differ" in done.err
    (tmp_path / "test.tsv").write_text(rows(16, 300))
    done = command(capsys, "transfer", "run")
    assert done.code == 2
    assert "data are not those" in done.err


def test_without_a_test_split_dev_is_scored(capsys: Capsys, tmp_path: Path) -> None:
    """A note says so, and that dev chose the prompts; --split test is refused as it is."""
    write_task(tmp_path)
    assert command(capsys, "run", "task.toml", "--out", "plain", "--ui", "none").code == 0
    done = command(capsys, "transfer", "plain", "--json")
    assert done.code == 0, done.err
    assert done.err.startswith("note: no test split: on dev, which chose this prompt")
    assert orjson.loads(done.out)["split"] == "dev"
    assert command(capsys, "transfer", "plain", "--ui", "none").err == ""
    refused = command(capsys, "transfer", "plain", "--split", "test")
    assert (refused.code, refused.out) == (2, "")
    assert "has no test split" in refused.err


def test_why_a_model_failed_is_said_once(capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    """On stderr, and with the model's name once; the table says which ones failed."""
    real = Simulated.score

    async def score(self: Simulated, request: Request) -> Reply:
        if self.name != "simulated/x":
            raise ProviderRefused(f"{self.name}: POST /x: no such model", fate="refused")
        return await real(self, request)

    monkeypatch.setattr(Simulated, "score", score)
    done = command(capsys, "transfer", "run", "--model", "simulated/y", "--model", "simulated/z")
    assert done.code == 3
    assert "simulated/y: POST" not in done.out
    assert done.err.count("simulated/y: POST") == 1
    assert done.out.count("simulated/z: POST") == 1
    assert "simulated/z: simulated/z" not in done.out
    assert done.out.count("failed") >= 2
