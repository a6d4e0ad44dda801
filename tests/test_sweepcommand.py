"""``bdpl-async sweep`` from outside: files, exit codes, what is printed where, and Ctrl-C."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest

from bdpl_async.errors import ProviderRefused
from bdpl_async.records import Reply, Request
from bdpl_async.scorer import Capabilities
from bdpl_async.studies.gridfile import read_sweep
from bdpl_providers.simulated import Simulated
from tests.workbench import command, write_task

ROOT = Path(__file__).parents[1]
Capsys = pytest.CaptureFixture[str]
GRID = 'task = "task.toml"\n[grid]\n"prompt.length" = [2, 3]\n"run.seed" = [0, 1]\n'
TABLES = {"sweep.toml", "sweep.csv", "sweep.json"}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task and a sweep of it, in the current folder."""
    monkeypatch.chdir(tmp_path)
    write_task(tmp_path)
    Path("s.toml").write_text(GRID)


def names(folder: str) -> set[str]:
    return {path.name for path in Path(folder).iterdir()}


def test_sweep(capsys: Capsys) -> None:
    """One RUN_DIR a cell, the tables and the picture; one line a cell on stderr."""
    pytest.importorskip("matplotlib")
    done = command(capsys, "sweep", "s.toml", "--out", "o")
    assert done.code == 0
    cells = {point.folder for point in read_sweep(Path("s.toml")).points}
    assert names("o") == TABLES | cells | {"sweep.svg", ".lock"}
    lines = done.err.splitlines()
    assert lines[0] == f"sweep: 4 cells, in {Path('o').absolute()}"
    assert [line.split(":")[0] for line in lines if line.startswith("[")] == [
        f"[{i}/4] length={length} seed={seed}"
        for i, (length, seed) in enumerate([(2, 0), (2, 1), (3, 0), (3, 1)], start=1)
    ]
    assert max(map(len, done.err.splitlines()[1:])) <= 80
    (head,) = [line for line in done.out.splitlines() if line.split()[:2] == ["length", "mean"]]
    assert "95 % interval" in head
    assert str(Path("o", "sweep.svg")) in done.out


def test_people_read_per_cent(capsys: Capsys) -> None:
    """The means of the document's scores; seeds that agree have no interval of width zero."""
    Path("s.toml").write_text(GRID.replace('"run.seed" = [0, 1]', '"run.seed" = [0]'))
    one = command(capsys, "sweep", "s.toml", "--out", "one")
    scores = [
        row["dev"]["score"] for row in orjson.loads(Path("one/sweep.json").read_bytes())["rows"]
    ]
    told = [line.split() for line in one.out.splitlines() if line.startswith(("  2 ", "  3 "))]
    assert [line[1] for line in told] == [f"{100 * score:.1f}" for score in scores]
    assert all(line[-2:] == ["its", "examples"] for line in told)
    same = ("--method", "empty", "--out", "same")
    Path("s.toml").write_text(GRID)
    done = command(capsys, "sweep", "s.toml", *same)
    told = [line.split() for line in done.out.splitlines() if line.startswith(("  2 ", "  3 "))]
    assert [line[2:] for line in told] == [["all", "alike", "2", "seeds"]] * 2


def test_json(capsys: Capsys) -> None:
    """One document on stdout and nothing else there: that of sweep.json."""
    done = command(capsys, "sweep", "s.toml", "--out", "o", "--json", "--ui", "none")
    assert (done.code, done.err) == (0, "")
    document = orjson.loads(done.out)
    assert document == orjson.loads(Path("o", "sweep.json").read_bytes())
    assert [row["values"] for row in document["rows"]] == [
        dict(point.values) for point in read_sweep(Path("s.toml")).points
    ]
    assert {"dev", "test", "baseline", "gain", "usage", "stop_reason", "prompt"} <= set(
        document["rows"][0]
    )


def test_the_same_command_again_runs_nothing(
    capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without --out it finds the folder again, and what is finished stays as it is."""
    first = command(capsys, "sweep", "s.toml")
    table = Path("runs", "s", "sweep.csv").read_bytes()

    async def score(self: Simulated, request: Request) -> None:
        pytest.fail("something was sent")

    monkeypatch.setattr(Simulated, "score", score)
    again = command(capsys, "sweep", "s.toml")
    assert (again.code, again.out) == (0, first.out)
    assert "4 cells, 4 of them done already" in again.err
    assert Path("runs", "s", "sweep.csv").read_bytes() == table


def test_a_sweep_may_grow(capsys: Capsys) -> None:
    """More seeds in the same folder: the cells that are there are kept, others are added."""
    command(capsys, "sweep", "s.toml", "--out", "o", "--seeds", "1")
    done = command(capsys, "sweep", "s.toml", "--out", "o", "--seeds", "2", "--json")
    assert "4 cells, 2 of them done already" in done.err
    assert len(orjson.loads(done.out)["rows"]) == 4


def test_options_hold_for_every_cell(capsys: Capsys) -> None:
    """What the command line says wins over the file's [set]."""
    Path("s.toml").write_text(GRID + '[set]\n"optimizer.steps" = 5\n')
    options = ["--steps", "1", "--set", "optimizer.samples=3", "--model", "simulated/z"]
    done = command(capsys, "sweep", "s.toml", "--out", "o", "--json", *options)
    rows = orjson.loads(done.out)["rows"]
    assert {(row["steps_done"], row["model"]) for row in rows} == {(1, "simulated/z")}


def test_without_matplotlib_there_is_a_note(
    capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No picture is no failure; the note says what to install."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = command(capsys, "sweep", "s.toml", "--out", "o")
    assert done.code == 0
    assert "bdpl-async[report]" in done.err
    assert names("o") >= TABLES
    assert "sweep.svg" not in names("o")
    assert "sweep.svg" not in done.out


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        (["nosuch.toml"], 2, "nosuch.toml: cannot be read"),
        (["s.toml", "--seed", "1"], 2, "s.toml: run.seed: given in [set] or an option"),
        (["s.toml", "--seeds", "0"], 2, "--seeds 0"),
        (["s.toml", "--set", "optimizer.stepz=1"], 2, "optimizer.stepz = 1: unknown key"),
        (["s.toml", "--model", "nosuch/x"], 2, "unknown provider 'nosuch'"),
        (["s.toml", "--max-prompts", "20"], 4, "length=2 seed=0: the budget of 20 prompts"),
        (["s.toml", "--address", "auto"], 2, "add --executor ray"),
        (["s.toml", "--ui", "json"], 2, "--ui json: sweep has plain lines"),
        (["s.toml", "--out", "task.toml"], 2, "a file stands where"),
    ],
)
def test_what_cannot_be_run_is_refused_first(
    capsys: Capsys, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, part: str
) -> None:
    """One clear message, nothing sent, nothing left behind."""

    async def score(self: Simulated, request: Request) -> None:
        pytest.fail("something was sent")

    monkeypatch.setattr(Simulated, "score", score)
    before = names(".")
    done = command(capsys, "sweep", *arguments)
    assert done.code == code
    assert part in done.err
    assert "Traceback" not in done.err
    assert names(".") == before


def test_another_sweep_in_the_folder(capsys: Capsys) -> None:
    """What another sweep left is not touched."""
    command(capsys, "sweep", "s.toml", "--out", "o")
    before = Path("o", "sweep.json").read_bytes()
    done = command(capsys, "sweep", "s.toml", "--out", "o", "--steps", "1")
    assert done.code == 2
    assert "holds another sweep" in done.err
    assert Path("o", "sweep.json").read_bytes() == before


def test_a_provider_that_refuses(capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 3; finished cells stay, and what is printed says how to go on."""
    answer, asked = Simulated.score, 0

    async def score(self: Simulated, request: Request) -> Reply:
        nonlocal asked
        asked += 1
        if asked > 12:
            raise ProviderRefused("no more", fate="refused")
        return await answer(self, request)

    with monkeypatch.context() as patch:
        patch.setattr(Simulated, "score", score)
        done = command(capsys, "sweep", "s.toml", "--out", "o")
    assert done.code == 3
    assert "no more" in done.err
    count = len(orjson.loads(Path("o", "sweep.json").read_bytes())["rows"])
    assert 1 <= count < 4
    assert f"{count} of 4 cells are done; go on with" in done.err
    line = next(line for line in done.err.splitlines() if line.startswith("  bdpl-async"))
    again = command(capsys, *shlex.split(line)[1:])
    assert again.code == 0
    assert f"{count} of them done already" in again.err


SLOW = """\
import asyncio

from bdpl_async.records import Reply, Score


class Slow:
    def __init__(self, connection):
        self.name = "slow/x"

    async def score(self, request):
        await asyncio.sleep(0.02)
        return Reply([Score((-0.5, -1.0)) for _ in request.texts])
"""


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    """A folder with an installed third-party provider."""
    folder = tmp_path / "site"
    info = folder / "slow-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "slow_provider.py").write_text(SLOW)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: slow\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[bdpl_async.providers]\nslow = slow_provider:Slow\n")
    return folder


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(capsys: Capsys, slow: Path, number: signal.Signals) -> None:
    """Exit 130: finished cells stay, and the command that is printed goes on."""
    Path("s.toml").write_text(
        'task = "task.toml"\n[grid]\n"optimizer.steps" = [1, 100000]\n'
        '[set]\n"model.name" = "slow/x"\n'
    )
    folders = [ROOT, ROOT / "providers", ROOT / "cli", slow]
    process = subprocess.Popen(
        [sys.executable, "-m", "bdpl_cli", "sweep", "s.toml", "--out", "o"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    second = Path("o", read_sweep(Path("s.toml")).points[1].folder, "events.jsonl")
    deadline = time.monotonic() + 60
    with process:
        try:
            while not second.is_file() or second.read_text().count("\n") < 4:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.02)
            process.send_signal(number)
            out, err = process.communicate(timeout=20)
        finally:
            process.kill()
    assert (process.returncode, out) == (130, "")
    assert "Traceback" not in err
    assert "1 of 2 cells are done; go on with" in err
    assert f"bdpl-async sweep {Path('o', 'sweep.toml').absolute()} --out" in err
    assert len(orjson.loads(Path("o", "sweep.json").read_bytes())["rows"]) == 1


def test_a_budget_too_small_for_a_server_is_told_without_a_request(
    capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plan is made before anything is sent, for a model elsewhere too."""

    def init(self: Simulated, model: str) -> None:
        Simulated.__wrapped__(self, model)  # type: ignore[attr-defined]
        self.capabilities = Capabilities(batch=64)

    monkeypatch.setattr(Simulated, "__wrapped__", Simulated.__init__, raising=False)
    monkeypatch.setattr(Simulated, "__init__", init)

    async def score(self: Simulated, request: Request) -> None:
        pytest.fail("something was sent")

    monkeypatch.setattr(Simulated, "score", score)
    Path("s.toml").write_text('task = "task.toml"\n[grid]\n"budget.requests" = [500, 1]\n')
    done = command(capsys, "sweep", "s.toml", "--out", "o")
    assert done.code == 4
    assert "s.toml: requests=1: the budget of 1 request is too small" in done.err
