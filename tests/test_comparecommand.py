"""``compare`` from outside: what it prints, writes, refuses, and how it goes on."""

from __future__ import annotations

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

from bdpl_async.errors import ProviderRefused
from bdpl_async.records import Reply, Request
from bdpl_async.saving.claim import Claim
from bdpl_async.studies.boardfile import is_comparison, read_comparison
from bdpl_providers.simulated import Simulated
from tests.faultserver import FaultServer, Manners
from tests.test_cli import SLOW, environment
from tests.workbench import command, rows, write_task

Capsys = pytest.CaptureFixture[str]
ARMS = ("--method", "bdpl", "--method", "empty")


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A task with a test split, in the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "test.tsv").write_text(rows(40, 300))
    return write_task(tmp_path, ('dev = "dev.tsv"', 'dev = "dev.tsv"\ntest = "test.tsv"'))


def document(folder: Path) -> dict[str, object]:
    found = orjson.loads((folder / "comparison.json").read_bytes())
    assert isinstance(found, dict)
    return found


def test_compare(task: Path, tmp_path: Path, capsys: Capsys) -> None:
    """A table on stdout, a line a run on stderr, comparison.json and a RUN_DIR an arm in --out."""
    done = command(capsys, "compare", task, *ARMS, "--seeds", "2", "--out", "out")
    assert done.code == 0
    assert done.out.startswith("tiny on simulated/x: accuracy, 40 test examples, 2 seeds\n")
    assert done.out.endswith(f"saved in {tmp_path / 'out'}\n")
    assert [line[:3] for line in done.err.splitlines()] == ["1/4", "2/4", "3/4", "4/4"]
    out = tmp_path / "out"
    folders = sorted(path.name for path in out.iterdir() if path.is_dir())
    assert folders == [f"simulated-x-{arm}-{seed}" for arm in ("bdpl", "empty") for seed in (0, 1)]
    assert all((out / name / "result.json").is_file() for name in folders)
    assert stat.S_IMODE((out / "comparison.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(out.stat().st_mode) == 0o700


def test_json(task: Path, tmp_path: Path, capsys: Capsys) -> None:
    """--json prints the document of comparison.json on stdout and nothing else there."""
    models = ("--model", "simulated/a", "--model", "simulated/b")
    done = command(
        capsys, "compare", task, *models, *ARMS, "--json", "--out", "out", "--ui", "none"
    )
    assert (done.code, done.err) == (0, "")
    assert orjson.loads(done.out) == document(tmp_path / "out")
    arms = orjson.loads(done.out)["arms"]
    assert [(arm["model"], arm["method"], arm["seed"]) for arm in arms] == [
        ("simulated/a", "bdpl", 0),
        ("simulated/a", "empty", 0),
        ("simulated/b", "bdpl", 0),
        ("simulated/b", "empty", 0),
    ]


def test_seed_and_seeds(task: Path, tmp_path: Path, capsys: Capsys) -> None:
    """--seed N is that one seed, --seeds N are 0..N-1; both together, or no seed, are refused."""
    one = command(capsys, "compare", task, *ARMS, "--seed", "5", "--json")
    assert {arm["seed"] for arm in orjson.loads(one.out)["arms"]} == {5}
    for arguments in (("--seed", "0", "--seeds", "2"), ("--seeds", "0")):
        refused = command(capsys, "compare", task, *ARMS, *arguments)
        assert (refused.code, refused.out) == (2, "")
        assert "--seeds" in refused.err
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.startswith("task-compare-")


def test_a_single_value_of_a_list_option(task: Path, capsys: Capsys) -> None:
    """--set optimizer.method=random is one method, as --method random is."""
    done = command(capsys, "compare", task, "--set", "optimizer.method=random", "--json")
    assert {arm["method"] for arm in orjson.loads(done.out)["arms"]} == {"random"}
    swapped = command(capsys, "compare", "--method", "random", str(task), "--json", "--out", "b")
    assert {arm["method"] for arm in orjson.loads(swapped.out)["arms"]} == {"random"}


def test_again(task: Path, tmp_path: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same command again sends nothing and comes to the same; another arm joins those there."""
    arguments = ("compare", task, "--seeds", "2", "--out", "out", *ARMS)
    first = command(capsys, *arguments)
    before = document(tmp_path / "out")
    with monkeypatch.context() as patch:
        patch.delattr(Simulated, "score")
        again = command(capsys, *arguments, "--ui", "none")
    assert (again.code, again.out, again.err) == (0, first.out, "")
    assert document(tmp_path / "out") == before
    more = command(capsys, *arguments, "--method", "random")
    assert more.code == 0
    assert len(orjson.loads((tmp_path / "out" / "comparison.json").read_bytes())["arms"]) == 6


def test_events_as_json(task: Path, tmp_path: Path, capsys: Capsys) -> None:
    """--ui json prints every event with its arm and seed, one a line, and the document last."""
    done = command(capsys, "compare", task, *ARMS, "--seeds", "2", "--out", "out", "--ui", "json")
    assert (done.code, done.err) == (0, "")
    *events, last = map(orjson.loads, done.out.splitlines())
    assert last == {"type": "compared", "comparison": document(tmp_path / "out")}
    runs = [(event["arm"], event["seed"]) for event in events if event["type"] == "finished"]
    assert runs == [
        ("simulated/x bdpl", 0),
        ("simulated/x empty", 0),
        ("simulated/x bdpl", 1),
        ("simulated/x empty", 1),
    ]
    for arm, seed in runs:
        mine = [e["type"] for e in events if (e["arm"], e["seed"]) == (arm, seed)]
        assert (mine[0], mine[-1]) == ("started", "finished")


def test_tables_for_spreadsheets(task: Path, tmp_path: Path, capsys: Capsys) -> None:
    """comparison.csv has a line an arm, comparison-runs.csv a line a run, private like the rest."""
    command(capsys, "compare", task, *ARMS, "--seeds", "2", "--out", "out")
    for name, lines in (("comparison.csv", 3), ("comparison-runs.csv", 5)):
        file = tmp_path / "out" / name
        assert len(file.read_text().splitlines()) == lines
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_comparison_is_read_back(task: Path, tmp_path: Path, capsys: Capsys) -> None:
    """What the command left is a comparison; what a run left is none."""
    command(capsys, "compare", task, *ARMS, "--out", "out")
    assert read_comparison(tmp_path / "out").document == document(tmp_path / "out")
    assert not is_comparison(tmp_path / "out" / "simulated-x-bdpl-0")


def test_no_screen_where_there_is_no_terminal(task: Path, capsys: Capsys) -> None:
    """--ui rich says why it cannot be and goes on with plain lines."""
    done = command(capsys, "compare", task, *ARMS, "--out", "out", "--ui", "rich")
    assert done.code == 0
    assert "plain lines instead of --ui rich: standard error is no terminal" in done.err
    assert "2/2  simulated/x empty" in done.err


def test_no_line_is_wider_than_a_usual_terminal(task: Path, capsys: Capsys) -> None:
    """In a pipe neither the table nor a progress line has more than eighty columns."""
    methods = [w for m in ("bdpl", "random", "greedy", "calibration") for w in ("--method", m)]
    done = command(capsys, "compare", task, *methods, "--seeds", "2", "--out", "out")
    lines = [*done.out.splitlines()[:-1], *done.err.splitlines()]  # the last names a folder
    assert max(map(len, lines)) <= 80


BAD: list[tuple[tuple[str, ...], int, str]] = [
    (("--address", "ray://h"), 2, "add --executor ray"),
    (("--ui", "json", "--json"), 2, "both want stdout"),
    (("--method", "nosuch"), 2, "--method"),
    (("--model", "nosuch/x"), 2, "unknown provider 'nosuch'"),
    (("--seeds", "x"), 2, "no whole number"),
    (("--seeds", "999999999999"), 2, "from 1 to 10,000"),
    (("--method", "empty", "--method", "bdpl", "--max-prompts", "20"), 4, "simulated/x bdpl: the"),
    (("--method", "empty", "--method", "manual"), 2, "prompt.manual"),
    (("--data", "nowhere"), 2, "nowhere"),
]


@pytest.mark.parametrize(("arguments", "code", "part"), BAD)
def test_bad_input(
    task: Path,
    tmp_path: Path,
    capsys: Capsys,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    code: int,
    part: str,
) -> None:
    """Each is refused by one message, before anything is sent or written."""
    monkeypatch.delattr(Simulated, "score")
    done = command(capsys, "compare", task, "--out", "out", *arguments)
    assert (done.code, done.out) == (code, "")
    assert part in done.err
    assert "Traceback" not in done.err
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_taken(task: Path, tmp_path: Path, capsys: Capsys) -> None:
    """--out is neither a run's folder nor a file, and an arm of other settings is not replaced."""
    command(capsys, "run", task, "--out", "run", "--ui", "none")
    assert "holds a run already" in command(capsys, "compare", task, "--out", "run").err
    (tmp_path / "file").write_text("x")
    for place in ("file", "file/below", "x" * 300):
        refused = command(capsys, "compare", task, "--out", place)
        assert (refused.code, refused.out) == (2, "")
        assert place.partition("/")[0] in refused.err
    assert command(capsys, "compare", task, *ARMS, "--out", "out").code == 0
    other = command(capsys, "compare", task, *ARMS, "--out", "out", "--steps", "1")
    assert other.code == 2
    assert "another configuration" in other.err


def test_two_at_once(task: Path, tmp_path: Path, capsys: Capsys) -> None:
    """Who comes second to a folder is refused, and spoils nothing there."""
    first = Claim(tmp_path / "out")
    second = command(capsys, "compare", task, *ARMS, "--out", "out")
    assert (second.code, second.out) == (2, "")
    assert "another process works there" in second.err
    first.close()
    assert command(capsys, "compare", task, *ARMS, "--out", "out").code == 0


def test_refused(task: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider that refuses ends it with 3 and how to go on; a rerun does what is left."""
    answer = Simulated.score
    arguments = ("compare", task, "--method", "empty", "--method", "bdpl", "--out", "out")

    def done_already() -> Iterator[Path]:
        return Path("out").glob("*/result.json")

    async def refuse(self: Simulated, request: Request) -> Reply:
        if any(done_already()):
            raise ProviderRefused("simulated/x: quota used up")
        return await answer(self, request)

    monkeypatch.setattr(Simulated, "score", refuse)
    done = command(capsys, *arguments)
    assert (done.code, done.out) == (3, "")
    assert "quota used up" in done.err
    assert f"1 of 2 runs are done; the same command with --out {Path('out').absolute()}" in done.err
    assert not Path("out", "comparison.json").exists()
    monkeypatch.setattr(Simulated, "score", answer)
    assert command(capsys, *arguments).code == 0


def test_help(capsys: Capsys) -> None:
    """--help lists what belongs to a comparison, and `compare` is no longer called unbuilt."""
    done = command(capsys, "compare", "--help")
    assert (done.code, done.err) == (0, "")
    for option in ("--seeds", "--executor", "--address", "--json", "--model", "--method"):
        assert option in done.out


@contextmanager
def started(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A comparison on the slow provider, under way; killed in the end."""
    site = folder / "site"
    info = site / "slow-1.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (site / "slow_provider.py").write_text(SLOW)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: slow\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[bdpl_async.providers]\nslow = slow_provider:Slow\n")
    words = ["-m", "bdpl_cli", "compare", "task.toml", "--model", "slow/0.01", "--out", "out"]
    process = subprocess.Popen(
        [sys.executable, *words, *arguments],
        env=environment(site),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.usefixtures("task")
@pytest.mark.parametrize("ui", ["plain", "none"])
def test_interrupted(tmp_path: Path, ui: str) -> None:
    """The first Ctrl-C halts the run that is under way, says how to go on, and exits with 130."""
    endless = ("--method", "empty", "--method", "bdpl", "--steps", "100000", "--ui", ui)
    with started(tmp_path, *endless) as process:
        events = Path("out", "slow-0.01-bdpl-0", "events.jsonl")
        deadline = time.monotonic() + 60
        while not events.is_file() or '"step"' not in events.read_text():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "")
    assert "1 of 2 runs are done; the same command with --out" in err
    assert "Traceback" not in err
    result = orjson.loads(Path("out", "slow-0.01-bdpl-0", "result.json").read_bytes())
    assert result["stop_reason"] == "interrupted"
    assert not Path("out", "comparison.json").exists()


TWO_SERVERS = """
[[models]]
name = "compatible/fake"
base_url = "{}"

[[models]]
name = "vllm/fake"
base_url = "{}"
"""


@pytest.fixture
def two_servers(task: Path) -> Iterator[tuple[FaultServer, FaultServer]]:
    """Two loopback servers, as the models of the task."""
    first, second = Manners(latency=0.01), Manners(latency=0.01)
    with FaultServer.in_thread(first) as a, FaultServer.in_thread(second) as b:
        task.write_text(task.read_text() + TWO_SERVERS.format(a.url, b.url))
        yield a, b


@pytest.mark.parametrize("signals", [1, 2])
def test_two_servers_interrupted(
    task: Path, two_servers: tuple[FaultServer, FaultServer], signals: int
) -> None:
    """The first Ctrl-C halts the runs on both servers, the second leaves at once."""
    words = ["-m", "bdpl_cli", "compare", task.name, "--out", "out", "--cache", "none"]
    folders = [Path("out", f"{name}-fake-bdpl-0") for name in ("compatible", "vllm")]
    with subprocess.Popen(
        [sys.executable, *words, "--steps", "100000"],
        env=environment(task.parent),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        deadline = time.monotonic() + 60
        while not all(_stepped(folder) for folder in folders):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        if signals == 2:
            for server in two_servers:
                server.manners.latency = 60.0
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        if signals == 2:
            time.sleep(0.1)
            process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "")
    assert "Traceback" not in err
    assert "saved in" in err
    if signals == 1:
        reasons = [orjson.loads((f / "result.json").read_bytes())["stop_reason"] for f in folders]
        assert reasons == ["interrupted", "interrupted"]
        assert "0 of 2 runs are done; the same command with --out" in err


def _stepped(folder: Path) -> bool:
    events = folder / "events.jsonl"
    return events.is_file() and '"step"' in events.read_text()


def test_one_of_two_servers_refuses(
    task: Path, two_servers: tuple[FaultServer, FaultServer], tmp_path: Path, capsys: Capsys
) -> None:
    """Exit 3 and its message; the other server's run is kept, and a rerun does what is left."""
    refusing, other = two_servers
    refusing.manners.key = "another"
    arguments = ("compare", task, "--out", "out", "--cache", "none")
    done = command(capsys, *arguments)
    assert (done.code, done.out) == (3, "")
    assert "compatible/fake" in done.err
    paid = other.books.prompts
    assert (tmp_path / "out" / "vllm-fake-bdpl-0" / "result.json").is_file()
    refusing.manners.key = None
    again = command(capsys, *arguments)
    assert (again.code, other.books.prompts) == (0, paid)
    arms = document(tmp_path / "out")["arms"]
    assert isinstance(arms, list)
    assert [arm["model"] for arm in arms] == ["compatible/fake", "vllm/fake"]
