"""The command line from outside: files, exit codes, what is printed where, and Ctrl-C."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import pytest

from bdpl_async import __version__
from bdpl_async.config import load_config
from bdpl_async.errors import ProviderRefused
from bdpl_async.records import Reply, Request
from bdpl_async.task import Task
from bdpl_cli.commands import CACHE, COMMANDS
from bdpl_providers.simulated import Simulated
from tests.workbench import command, write_task

ROOT = Path(__file__).parents[1]
Capsys = pytest.CaptureFixture[str]
NUMBER = (int, float)
RESULT: dict[str, object] = {
    "schema": int,
    "task": str,
    "model": str,
    "method": str,
    "seed": int,
    "prompt": str,
    "tokens": list,
    "template": str,
    "labels": dict,
    "dev": dict,
    "test": dict,
    "baseline": {"dev": dict, "test": dict},
    "usage": {
        "requests": int,
        "prompts": int,
        "prompt_tokens": int,
        "completion_tokens": int,
        "usd": NUMBER,
        "cache_hits": int,
        "retries": int,
        "failures": int,
        "seconds": NUMBER,
    },
    "steps_done": int,
    "stop_reason": str,
    "losses": list,
    "versions": dict,
    "data_sha256": str,
}


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A task with a test split, in the current folder."""
    monkeypatch.chdir(tmp_path)
    path = write_task(tmp_path, ('dev = "dev.tsv"', 'dev = "dev.tsv"\ntest = "test.tsv"'))
    (tmp_path / "test.tsv").write_text((tmp_path / "dev.tsv").read_text().replace("and", "or"))
    return path


def environment(*more: Path) -> dict[str, str]:
    """This process's, with our packages and `more` importable."""
    folders = [ROOT, ROOT / "providers", ROOT / "cli", *more]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))}


def check_shape(found: dict[str, object], expected: dict[str, object]) -> None:
    """Every expected key is there with its type."""
    for key, kind in expected.items():
        if isinstance(kind, dict):
            inner = found[key]
            assert isinstance(inner, dict)
            check_shape(inner, kind)
        else:
            assert isinstance(found[key], kind), key  # type: ignore[arg-type]


def check_evaluation(found: object, metric: str, n: int) -> None:
    assert isinstance(found, dict)
    assert (found["metric"], found["n"]) == (metric, n)
    low, high = found["ci95"]
    assert 0 <= low <= found["score"] <= high <= 1


def test_run(task: Path, tmp_path: Path, capsys: Capsys) -> None:
    """A run leaves the contract's files, each with what the contract says, private to the user."""
    done = command(capsys, "run", task, "--out", "run", "--seed", "0")
    assert (done.code, done.err) == (0, "")
    run = tmp_path / "run"
    assert {file.name for file in run.iterdir()} >= {"run.toml", "events.jsonl", "result.json"}
    assert {stat.S_IMODE(file.stat().st_mode) for file in run.iterdir()} == {0o600}
    assert stat.S_IMODE(run.stat().st_mode) == 0o700
    result = orjson.loads((run / "result.json").read_bytes())
    check_shape(result, RESULT)
    for split in ("dev", "test"):
        check_evaluation(result[split], "accuracy", 8)
        check_evaluation(result["baseline"][split], "accuracy", 8)
    assert result["seed"] == 0
    assert result["model"] == "simulated/x"
    assert result["prompt"] == " ".join(result["tokens"])
    assert result["stop_reason"] == "steps"
    assert len(result["losses"]) == result["steps_done"] == 2


def test_run_toml(task: Path, tmp_path: Path, capsys: Capsys) -> None:
    """run.toml is the resolved configuration: it loads back, from anywhere, to the same run."""
    command(capsys, "run", task, "--out", "run", "--seed", "0", "--set", "prompt.length=2")
    again = tmp_path / "again"
    again.mkdir()
    (again / "run.toml").write_bytes((tmp_path / "run" / "run.toml").read_bytes())
    config = load_config(again / "run.toml")
    assert (config.prompt.length, config.run.seed) == (2, 0)
    assert Task.from_toml(again / "run.toml").config == config
    assert config.run.out == str(tmp_path / "run")
    command(capsys, "run", again / "run.toml", "--out", "second")
    first, second = (
        orjson.loads((tmp_path / name / "result.json").read_bytes()) for name in ("run", "second")
    )
    assert first["losses"] == second["losses"]
    assert first["data_sha256"] == second["data_sha256"]


def test_events(task: Path, tmp_path: Path, capsys: Capsys) -> None:
    """events.jsonl tells the whole run in order, and --ui json prints the same lines."""
    done = command(capsys, "run", task, "--out", "run", "--ui", "json")
    lines = (tmp_path / "run" / "events.jsonl").read_text().splitlines()
    assert done.out.splitlines() == lines
    events = [orjson.loads(line) for line in lines]
    kinds = [event["type"] for event in events]
    assert kinds[:2] == ["started", "probed"]
    assert {"step", "evaluated"} < set(kinds)
    assert kinds.index("finished") == len(kinds) - 1
    times = [event["t"] for event in events]
    assert times == sorted(times)
    assert times[0] >= 0
    steps = [event for event in events if event["type"] == "step"]
    assert [event["step"] for event in steps] == [1, 2]
    assert all(event["loss"] > 0 < event["entropy"] for event in steps)
    assert steps[0]["usage"]["prompts"] < steps[1]["usage"]["prompts"]
    result = orjson.loads((tmp_path / "run" / "result.json").read_bytes())
    assert events[-1]["result"] == result


def test_ui(task: Path, capsys: Capsys) -> None:
    """--ui none prints nothing at all; plain prints a few lines on stdout."""
    assert command(capsys, "run", task, "--ui", "none", "--out", "a").out == ""
    plain = command(capsys, "run", task, "--ui", "plain", "--out", "b")
    assert 5 <= len(plain.out.splitlines()) <= 20
    assert "learned prompt on test" in plain.out


def test_default_folder(task: Path, tmp_path: Path, capsys: Capsys) -> None:
    """Without --out every run has a folder of its own below runs, whatever the task is called."""
    for _ in range(2):
        done = command(capsys, "run", task, "--set", "task.name=../../evil name", "--ui", "none")
        assert (done.code, done.err) == (0, "")
    assert len(list((tmp_path / "runs").glob("*/result.json"))) == 2
    assert list(tmp_path.parent.glob("evil*")) == []


def test_again_after_bad_input(task: Path, tmp_path: Path, capsys: Capsys) -> None:
    """The same --out works once the bad input is mended; the finished run is then refused."""
    arguments = ("run", task, "--out", "run", "--ui", "none")
    assert command(capsys, *arguments, "--set", "task.dev=missing.tsv").code == 2
    assert command(capsys, *arguments, "--max-prompts", "3").code == 4
    assert command(capsys, *arguments).code == 0
    before = {file: file.read_bytes() for file in (tmp_path / "run").iterdir()}
    done = command(capsys, *arguments)
    assert (done.code, done.out) == (2, "")
    assert "holds a run already" in done.err
    assert {file: file.read_bytes() for file in (tmp_path / "run").iterdir()} == before


SMALL = [
    (("--max-prompts", "3"), "24 prompts"),
    (("--max-requests", "2"), "in 3 requests"),
]


@pytest.mark.parametrize(("arguments", "part"), SMALL)
def test_too_small(
    task: Path,
    tmp_path: Path,
    capsys: Capsys,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    part: str,
) -> None:
    """A budget too small ends with 4 before anything is sent, and says what it would take."""
    monkeypatch.delattr(Simulated, "score")
    done = command(capsys, "run", task, "--out", "run", *arguments)
    assert (done.code, done.out) == (4, "")
    assert part in done.err
    assert not (tmp_path / "run").exists()
    done = command(capsys, "eval", task, "--prompt", "x", "--max-prompts", "7")
    assert (done.code, done.out) == (4, "")
    assert "takes 8 prompts in 1 request" in done.err


def test_refused(
    task: Path, tmp_path: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A provider that refuses ends the run with 3, with its reason, and with a result on disk."""

    async def refuse(self: Simulated, request: Request) -> Reply:
        raise ProviderRefused("simulated/x: quota used up", hint="see the provider's console")

    monkeypatch.setattr(Simulated, "score", refuse)
    done = command(capsys, "run", task, "--out", "run", "--ui", "none")
    assert (done.code, done.out) == (3, "")
    assert done.err == (
        f"bdpl-async: what is known is saved; go on with: bdpl-async resume {tmp_path / 'run'}\n"
        "bdpl-async: simulated/x: quota used up\n  see the provider's console\n"
    )
    last = orjson.loads((tmp_path / "run" / "events.jsonl").read_text().splitlines()[-1])
    assert last["type"] == "finished"
    result = orjson.loads((tmp_path / "run" / "result.json").read_bytes())
    assert result["stop_reason"] == last["result"]["stop_reason"] == "provider"
    assert command(capsys, "eval", task, "--prompt", "x").code == 3


def test_eval(task: Path, tmp_path: Path, capsys: Capsys) -> None:
    """eval --run scores the learned prompt on the split asked for, as the run itself did."""
    command(capsys, "run", task, "--out", "run")
    result = orjson.loads((tmp_path / "run" / "result.json").read_bytes())
    done = command(capsys, "eval", task, "--run", "run", "--split", "test", "--json")
    assert (done.code, done.err) == (0, "")
    document = orjson.loads(done.out)
    assert document["prompt"] == result["prompt"]
    assert {key: document[key] for key in result["test"]} == result["test"]
    assert document["usage"]["prompts"] == 8
    given = command(capsys, "eval", task, "--prompt", result["prompt"], "--json")
    assert orjson.loads(given.out)["score"] == document["score"]


@pytest.mark.parametrize("kind", ["batch", "contextual"])
def test_eval_calibrated(task: Path, tmp_path: Path, capsys: Capsys, kind: str) -> None:
    """eval --run takes off what the run took off; --prompt finds offsets anew, and says by what."""
    setting = ("--set", f"optimizer.calibration={kind}")
    command(capsys, "run", task, "--out", "run", *setting)
    result = orjson.loads((tmp_path / "run" / "result.json").read_bytes())
    assert result["calibration"]["kind"] == kind
    done = command(capsys, "eval", task, "--run", "run", "--json")
    document = orjson.loads(done.out)
    assert document["calibration"] == result["calibration"]
    assert document["score"] == result["test"]["score"]
    assert document["usage"]["prompts"] == 8
    given = ("--prompt", result["prompt"], "--split", "train", *setting)
    found = orjson.loads(command(capsys, "eval", task, *given, "--json").out)
    assert found["usage"]["prompts"] == 12 + 3 * (kind == "contextual")
    same = found["calibration"] == result["calibration"]
    assert same == (kind == "contextual")  # the batch is that of the split
    plain = command(capsys, "eval", task, *given).out
    how = {"batch": "batch, by the texts of train", "contextual": "contextual, anew"}[kind]
    assert f"calibrated ({how})" in plain
    again = command(capsys, "eval", task, "--run", "run").out
    assert f"calibrated ({kind}, as the run was)" in again
    raw = orjson.loads(command(capsys, "eval", task, "--prompt", "x", "--json").out)
    assert raw["calibration"] is None


def test_eval_refuses_the_offsets_of_another_task(
    task: Path, tmp_path: Path, capsys: Capsys
) -> None:
    """Offsets for other labels, or that are none, are refused before anything is sent."""
    command(capsys, "run", task, "--out", "run", "--set", "optimizer.calibration=batch")
    file = tmp_path / "run" / "result.json"
    result = orjson.loads(file.read_bytes())
    for offsets, part in [
        ({"kind": "batch", "offsets": [0.0, 0.0, 0.0]}, "differ: the number of labels"),
        ({"kind": "batch", "offsets": [None, 0.0]}, "not as a run writes it"),
        ("batch", "not as a run writes it"),
    ]:
        file.write_bytes(orjson.dumps({**result, "calibration": offsets}))
        done = command(capsys, "eval", task, "--run", "run")
        assert (done.code, done.out) == (2, "")
        assert part in done.err


def test_eval_plain(task: Path, capsys: Capsys) -> None:
    """eval of the empty prompt says so, on stdout; escapes in a prompt are shown."""
    done = command(capsys, "eval", task, "--prompt", "", "--split", "dev")
    score, prompt, asked = done.out.splitlines()
    assert score.startswith("tiny dev on simulated/x: accuracy ")
    assert score.endswith(", n=8)")
    assert (prompt, asked[:26]) == ("prompt: (empty)", "asked: 8 prompts in 1 requ")
    assert "\x1b" not in command(capsys, "eval", task, "--prompt", "\x1b[2J").out


def test_tasks(capsys: Capsys) -> None:
    """tasks lists what is built in, and --json is one document."""
    document = orjson.loads(command(capsys, "tasks", "--json").out)
    rows = {row["name"]: row for row in document}
    names = "reviews sst2 mnli mnli-mm qqp mrpc cola qnli rte ci se rct hp"
    assert list(rows) == names.split()
    keys = {"name", "metric", "template", "causal", "labels", "columns", "data", "hub", "manual"}
    assert all(keys <= set(row) for row in document)
    assert (rows["reviews"]["data"], rows["cola"]["data"]) == ("shipped", "--data")
    assert rows["qnli"]["columns"] == ["text_a", "text_b", "label"]


def test_tasks_for_a_person(capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line each under a heading, none above 80 columns, and what data each needs."""
    monkeypatch.setenv("COLUMNS", "80")
    names = [
        "reviews",
        "sst2",
        "mnli",
        "mnli-mm",
        "qqp",
        "mrpc",
        "cola",
        "qnli",
        "rte",
        "ci",
        "se",
        "rct",
        "hp",
    ]
    out = command(capsys, "tasks").out
    head, *lines = out.splitlines()
    assert head.split() == ["task", "metric", "reads", "data", "answers"]
    assert [line.split()[0] for line in lines[: len(names)]] == names
    assert "ships" in lines[0]
    assert "mcc" in lines[6]
    assert "DIR or hub  no, yes" in lines[6]
    assert "--data DIR" in out
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize("name", ["reviews", "mnli-mm", "ci", "se", "qqp"])
def test_one_task_in_full(capsys: Capsys, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Template, labels, columns and the manual prompt; --json is that one's document."""
    monkeypatch.setenv("COLUMNS", "80")
    found = orjson.loads(command(capsys, "tasks", name, "--json").out)
    every = orjson.loads(command(capsys, "tasks", "--json").out)
    assert found in every
    assert found["name"] == name
    out = command(capsys, "tasks", name).out
    flat = " ".join(out.split())
    for part in (found["template"], found["causal"], found["manual"], *found["labels"].values()):
        assert " ".join(part.split()) in flat
    *lines, place = out.splitlines()
    assert max(map(len, lines)) <= 80
    assert place.split()[0] == "TASK.toml"


def test_a_task_that_is_not_built_in(capsys: Capsys) -> None:
    """Exit 2, with the one that was meant."""
    done = command(capsys, "tasks", "sst")
    assert (done.code, done.out) == (2, "")
    assert "did you mean 'sst2'?" in done.err


def test_vocab(task: Path, tmp_path: Path, capsys: Capsys) -> None:
    """vocab writes one candidate a line, to stdout or to --out, and a run can use the file."""
    done = command(capsys, "vocab", task)
    assert 2 <= len(done.out.splitlines()) <= 20
    assert command(capsys, "vocab", task, "--out", "words.txt").out == ""
    assert (tmp_path / "words.txt").read_text() == done.out
    chosen = command(capsys, "vocab", task, "--set", "prompt.vocabulary=words.txt")
    assert chosen.out == done.out


@pytest.mark.parametrize("text", ["true", "[1]", '"quoted" and more', "a=b", "1\n2", "é 悪い"])
def test_manual(task: Path, tmp_path: Path, capsys: Capsys, text: str) -> None:
    """A manual prompt on the command line is sent as typed, or quoted if it looks like TOML."""
    quoted = orjson.dumps(text).decode() if text in ("true", "[1]") else text
    arguments = ("--method", "manual", "--set", f"prompt.manual={quoted}")
    done = command(capsys, "run", task, "--out", "run", *arguments)
    assert (done.code, done.err) == (0, "")
    assert orjson.loads((tmp_path / "run" / "result.json").read_bytes())["prompt"] == text


def test_version(capsys: Capsys) -> None:
    """--version prints the version."""
    assert command(capsys, "--version").out.strip() == __version__


HELPS = [(), *((name,) for name in COMMANDS), ("cache",), *(("cache", name) for name in CACHE)]
each_help = pytest.mark.parametrize("name", HELPS, ids=" ".join)


@each_help
def test_help(name: tuple[str, ...], capsys: Capsys) -> None:
    """--help of every command is printed on stdout, names the command and has an example of it."""
    done = command(capsys, *name, "--help")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(" ".join(("Usage: bdpl-async", *name)))
    assert all(len(line) <= 80 for line in done.out.splitlines())
    example = done.out.rpartition("Example")[2] if name else done.out.rpartition("Start with")[2]
    assert " ".join(("bdpl-async", *name)) in example


@each_help
def test_help_is_light(name: tuple[str, ...]) -> None:
    """--help imports nothing heavy, so that it comes at once."""
    heavy = "numpy pydantic torch orjson aiohttp openai tomllib rich.markdown rich.progress"
    code = (
        "import sys\nfrom bdpl_cli.main import main\n"
        f"try: main({[*name, '--help']})\nexcept SystemExit: pass\n"
        f"sys.exit(sorted(set({heavy.split()}) & set(sys.modules)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage" in done.stdout


def test_every_command_is_listed(capsys: Capsys) -> None:
    """--help lists every command, the first things to do first."""
    printed = command(capsys, "--help").out
    places = [
        printed.index(f"\n│ {name} ") for name in ("init", "run", "report", "compare", "cache")
    ]
    assert places == sorted(places)
    assert all(f"\n│ {name} " in printed for name in COMMANDS)


def test_any_terminal(task: Path) -> None:
    """A terminal that knows only ASCII gets escapes, not a crash."""
    done = subprocess.run(
        [sys.executable, "-m", "bdpl_cli", "eval", task, "--prompt", "é"],
        env={**environment(), "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\xe9" in done.stdout


SLOW = """
import asyncio
import sys
from bdpl_async.records import Reply, Score

class Slow:
    def __init__(self, connection):
        self.name = f"slow/{connection.model}"
        self.opening = connection.model == "opening"
        self.seconds = 0.0 if self.opening else float(connection.model)

    async def __aenter__(self):
        if self.opening:
            print("opening", file=sys.stderr, flush=True)
            await asyncio.sleep(60)
        return self

    async def __aexit__(self, *_):
        pass

    async def score(self, request):
        await asyncio.sleep(self.seconds)
        return Reply([Score((-0.5, -1.0)) for _ in request.texts])
"""


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    """A folder with an installed third-party provider `slow/SECONDS`."""
    folder = tmp_path / "site"
    info = folder / "slow-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "slow_provider.py").write_text(SLOW)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: slow\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[bdpl_async.providers]\nslow = slow_provider:Slow\n")
    return folder


@contextmanager
def started(slow: Path, seconds: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A run on the slow provider whose first requests are under way; killed in the end."""
    command_line = ["-m", "bdpl_cli", "run", "task.toml", "--out", "run", "--steps", "100000"]
    process = subprocess.Popen(
        [sys.executable, *command_line, "--model", f"slow/{seconds}", *arguments],
        env=environment(slow),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    events = Path("run", "events.jsonl")
    deadline = time.monotonic() + 30
    with process:
        try:
            while not events.is_file() or not events.read_text().count("\n") >= 2:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.02)
            yield process
        finally:
            process.kill()


@pytest.mark.usefixtures("task")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(slow: Path, number: signal.Signals) -> None:
    """The first Ctrl-C or SIGTERM saves what is known, says so on stderr, and exits with 130."""
    with started(slow, "0.01", "--ui", "none") as process:
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert out == ""
    assert f"saved in {Path('run').absolute()}" in err
    assert "Traceback" not in err
    result = orjson.loads(Path("run", "result.json").read_bytes())
    assert result["stop_reason"] == "interrupted"
    last = orjson.loads(Path("run", "events.jsonl").read_text().splitlines()[-1])
    assert last["type"] == "finished"


@pytest.mark.usefixtures("task")
def test_interrupted_twice(slow: Path) -> None:
    """The second Ctrl-C leaves at once, though a request is still in flight."""
    with started(slow, "60", "--ui", "none") as process:
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        assert "stopping" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in err


@pytest.mark.usefixtures("task")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("words", ["run task.toml --out run", "eval task.toml --prompt x"])
def test_interrupted_while_the_model_loads(slow: Path, number: signal.Signals, words: str) -> None:
    """Before there is anything to save a signal ends the command with 130 and no traceback."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bdpl_cli", *words.split(), "--model", "slow/opening"],
        env=environment(slow),
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stderr is not None
        assert process.stderr.readline() == "opening\n"
        process.send_signal(number)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "stopping" in err
    assert "Traceback" not in err
    assert not Path("run").exists()


@pytest.mark.usefixtures("task")
def test_reader_gone(slow: Path) -> None:
    """When the reader of a pipe goes, the run is saved and ends as if interrupted."""
    with started(slow, "0.01", "--ui", "json") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        process.wait(timeout=20)
        err = process.stderr.read()
    assert process.returncode == 130
    assert "saved in" in err
    assert "Traceback" not in err
    result = orjson.loads(Path("run", "result.json").read_bytes())
    assert result["stop_reason"] == "interrupted"
