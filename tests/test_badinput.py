"""Bad input: exit 2, one clear message, nothing sent, nothing left behind."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

import pytest

from bdpl_async.records import Reply, Request
from bdpl_providers.simulated import Simulated
from tests.workbench import Outcome, command, rows, write_task

Change = tuple[str, str]
JUNK = bytes(range(256)) * 40
LABELS = '{ "0" = " terrible", "1" = " great" }'
LINES = 6
"""Four problems at most are told at once, and a hint or two."""


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """Every request that reaches a model."""
    requests: list[Request] = []

    async def score(self: Simulated, request: Request) -> Reply:
        requests.append(request)
        raise AssertionError("something was sent")

    monkeypatch.setattr(Simulated, "score", score)
    return requests


class Bench:
    """Runs the command in an empty folder and checks what holds for all bad input."""

    def __init__(
        self, folder: Path, capsys: pytest.CaptureFixture[str], sent: list[Request]
    ) -> None:
        self.folder = folder
        self._capsys = capsys
        self._sent = sent

    def run(self, *arguments: str | Path) -> Outcome:
        return command(self._capsys, "run", "task.toml", "--out", "run", *arguments)

    def refuses(self, *parts: str, arguments: tuple[str | Path, ...] = ()) -> None:
        """The run is refused with a message that names all `parts`."""
        self.refused(self.run(*arguments), *parts)

    def refused(self, done: Outcome, *parts: str) -> None:
        assert done.code == 2, done
        assert done.out == ""
        assert done.err.startswith("bdpl-async: ")
        assert done.err.count("bdpl-async: ") == 1
        assert len(done.err.splitlines()) <= LINES
        assert len(done.err) < 2000
        assert all(line.isprintable() for line in done.err.splitlines())
        for part in parts:
            assert part in done.err
        assert self._sent == []
        assert not (self.folder / "run").exists()
        assert not (self.folder / "runs").exists()


@pytest.fixture
def bench(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    sent: list[Request],
) -> Bench:
    monkeypatch.chdir(tmp_path)
    return Bench(tmp_path, capsys, sent)


TOML = [
    ("length = 3", "length = 0", "task.toml:10: prompt.length"),
    ("length = 3", "length = -1", "task.toml:10: prompt.length"),
    ("length = 3", "length = true", "task.toml:10: prompt.length"),
    ("size = 20", "size = 1", "task.toml:11: prompt.vocabulary_size"),
    ("samples = 4", "samples = 1", "task.toml:14: optimizer.samples"),
    ("samples = 4", "samples = 4\nlr = nan", "task.toml:15: optimizer.lr"),
    ("samples = 4", "samples = 4\nlr = inf", "task.toml:15: optimizer.lr"),
    ("samples = 4", 'loss = "hing"', "task.toml:14: optimizer.loss"),
    ("samples = 4", 'method = "bpdl"', "task.toml:14: optimizer.method"),
    ("samples = 4", "smaples = 4", "task.toml:14: optimizer.smaples: unknown key; did you mean"),
    ("samples = 4", '"\\u001b[2J" = 4', r"optimizer.'\x1b[2J': unknown key"),
    ("samples = 4", "samples = 4\nsamples = 5", "line 15"),
    ("[model]", "[budget]\nrequests = 0\n[model]", "task.toml:19: budget.requests"),
    ("[model]", "[budget]\nprompts = -1\n[model]", "task.toml:19: budget.prompts"),
    ("[model]", '[model]\nreadout = "tokens"', "task.toml:19: model.readout"),
    ('label = "label"', 'metric = "acuracy"', "task.toml:5: task.metric"),
    ('label = "label"', 'label = "lable"', "no column 'lable'"),
    ("{text}", "{txt}", "no column 'txt'"),
    (" {text}", "", "task.toml:6: task.template"),
    ("{mask}", "", "task.toml:6: task.template"),
    ("{prompt}", "", "task.toml:6: task.template"),
    ("{mask}", "{mask} {mask}", "task.toml:6: task.template"),
    ("It was", "It { was", "task.toml:6: task.template"),
    ("It was", "It } was", "task.toml:6: task.template"),
    (LABELS, "3", "task.toml:7: task.labels: must be a table"),
    (LABELS, '{ "0" = " terrible" }', "task.toml:7: task.labels: at least two"),
    ('" great"', '""', "task.toml:7: task.labels: the label word of '1' is empty"),
    ('" great"', '" terrible"', "task.toml:7: task.labels: '0' and '1' share"),
    ('"1" = ', '"2" = ', "which has no label word"),
    (", ", ', "2" = " fine", ', "no row has the label '2'"),
    ('"train.tsv"', '"missing.tsv"', "missing.tsv"),
    ('"train.tsv"', '"train.doc"', "train.doc"),
    ('"train.tsv"', '""', "task.toml:3: task.train"),
    ('"train.tsv"', '"nul\\u0000.tsv"', "cannot be read"),
    ('label = "label"', "k_shot = 50", "k_shot needs 50"),
    ('dev = "dev.tsv"', "k_shot = 50", "k_shot needs 100"),
    ("[task]", "[tasks]", "task: is needed and missing"),
    ('"simulated/x"', '"nope/x"', "unknown provider 'nope'"),
    ('"simulated/x"', '"simulated"', "model.name"),
    ('"simulated/x"', '"openai/x"', "OPENAI_API_KEY is unset or empty"),
    ('"simulated/x"', '"vllm/x"\nbase_url = "localhost"', "model.base_url"),
    ('"simulated/x"', '"vllm/x"\napi_key_env = "NO_KEY"', "model.api_key_env"),
    ('"simulated/x"', '"simulated/x"\nbase_url = "http://h"', "there is no server"),
    ('"simulated/x"', '"simulated/x"\nprice_in = 1.0', "price_in and price_out go together"),
    (
        "[model]",
        '[[models]]\nname = "simulated/y"\n[model]',
        "several models are for compare",
    ),
    ("size = 20", 'size = 20\nvocabulary = "no.txt"', "no.txt"),
    ("steps = 2", 'calibration = "much"', "optimizer.calibration"),
    (LABELS, LABELS + '\ncolumns = { text = "body" }', 'task.columns.text: must be a list, ["'),
    (LABELS, LABELS + "\ncolumns = { text = [] }", "task.columns.text: must not be empty"),
    (LABELS, LABELS + '\nhub = "x"', "task.hub: must be a table"),
    ("[model]", '[models]\nname = "x"\n[model]', "models: must be an array of tables, [[...]]"),
]


@pytest.mark.parametrize(("old", "new", "part"), TOML)
def test_toml(bench: Bench, old: str, new: str, part: str) -> None:
    """A TASK.toml that cannot be used is refused, naming file, line and key or the data's file."""
    write_task(bench.folder, (old, new))
    bench.refuses(part)


FILES = {
    "empty": b"",
    "blank": b"\n \n",
    "no task": b"[prompt]\nlength = 3\n",
    "junk": JUNK,
    "utf-16": "[task]\n".encode("utf-16"),
    "a line of 10 MB": b"a = '" + b"x" * 10_000_000 + b"'\n",
    "a key of 900 kB": b"[task]\n" + b"k" * 900_000 + b" = 1\n",
    "deep": b"a = " + b"[" * 100_000,
    "long number": b"a = " + b"1" * 5000,
    "task is no table": b"task = 3\n",
    "tasks in a list": b'[[task]]\nname = "x"\n',
}


@pytest.mark.parametrize("content", FILES.values(), ids=FILES)
def test_toml_file(bench: Bench, content: bytes) -> None:
    """A file that is no TASK.toml at all is refused by its name."""
    (bench.folder / "task.toml").write_bytes(content)
    bench.refuses("task.toml")


DATA = {
    "empty": (b"", "is empty"),
    "header only": (b"text\tlabel\n", "has no rows"),
    "wrong column": (b"text\tlable\na\t0\n", "did you mean 'lable'?"),
    "another name": (b"body\tlabel\na\t0\n", 'task.columns = { text = ["ITS NAME"] }'),
    "semicolons": (b"text;label\na;0\n", "separated by semicolons"),
    "commas": (b"text,label\na,0\n", "rename it, so that its name ends in .csv"),
    "a near label": (b"text\tlabel\na\t0\nb\t01\n", "did you mean '1'? if not, say what it means:"),
    "unknown label": (b"text\tlabel\na\t0\nb\tgood\n", "row 2: column 'label' holds 'good'"),
    "ragged row": (b"text\tlabel\na\t0\nb\t1\t1\n", "line 3"),
    "junk": (JUNK, "line 1"),
    "not utf-8": (b"text\tlabel\ncaf\xe9\t1\n", "line 2"),
    "a line of 10 MB": (b"text\tlabel\n" + b"x" * 10_000_001 + b"\t1\n", "line 2"),
    "an escape": (b"text\tlabel\na\t\x1b[2J\n", "row 1: column 'label'"),
}


@pytest.mark.parametrize("name", ["train.tsv", "dev.tsv"])
@pytest.mark.parametrize(("content", "part"), DATA.values(), ids=DATA)
def test_data(bench: Bench, content: bytes, part: str, name: str) -> None:
    """A data file that cannot be used is refused by its name, with row, line or column."""
    write_task(bench.folder)
    (bench.folder / name).write_bytes(content)
    bench.refuses(str(bench.folder / name), part)


VOCABULARIES = {
    "empty": b"",
    "one word": b"only\n",
    "junk": JUNK,
    "a line of 10 MB": b"x" * 10_000_001,
    "a line of 1 MB": b"x" * 1_000_000,
}


@pytest.mark.parametrize("content", VOCABULARIES.values(), ids=VOCABULARIES)
def test_vocabulary(bench: Bench, content: bytes) -> None:
    """A vocabulary file that cannot be used is refused by its name."""
    write_task(bench.folder, ("vocabulary_size = 20", 'vocabulary = "words.txt"'))
    (bench.folder / "words.txt").write_bytes(content)
    bench.refuses("words.txt")


OPTIONS: list[tuple[tuple[str, ...], str]] = [
    (("--max-prompts", "-1"), "budget.prompts = -1"),
    (("--max-requests", "0"), "budget.requests = 0"),
    (("--max-usd", "nan"), "budget.usd = nan"),
    (("--max-seconds", "inf"), "budget.seconds = inf"),
    (("--seed", "-1"), "run.seed = -1"),
    (("--seed", "x"), "--seed"),
    (("--steps", "0"), "optimizer.steps = 0"),
    (("--timeout", "0"), "model.timeout"),
    (("--concurrency", "0"), "model.concurrency"),
    (("--ui", "bogus"), "--ui"),
    (("--readout", "bogus"), "--readout"),
    (("--method", "bogus"), 'Invalid value "bogus" for --method'),
    (("--method", "manual"), "prompt.manual"),
    (("--method", "calibration", "--readout", "text"), "no probabilities to calibrate"),
    (("--model", "nope/x"), "unknown provider 'nope'"),
    (("--model", "simulated"), "PROVIDER/MODEL"),
    (("--model", ""), "PROVIDER/MODEL"),
    (("--model", "vllm/x", "--cache", "two"), "run.cache"),
    (("--model", "vllm/x", "--cache", ""), "run.cache"),
    (("--model", "vllm/x", "--cache", "redis://:word@h"), "run.cache: holds a password"),
    (("--model", "vllm/x", "--max-usd", "1"), "budget.usd: no price is known for vllm/x"),
    (("--model", "vllm/x", "--set", "task.template={mask} {prompt} {text}"), "behind {mask}"),
    (("--model", "vllm/x", "--set", "task.template={prompt} {mask} {text}"), "no column of the"),
    (("--rpm", "0"), "model.rpm = 0.0"),
    (("--tpm", "-1"), "model.tpm = -1.0"),
    (("--price-in", "0"), "price_in and price_out go together"),
    (("--price-out", "1"), "price_in and price_out go together"),
    (("--price-in", "-1", "--price-out", "1"), "model.price_in = -1.0"),
    (("--set", "chat.aks=Which?"), "chat.aks = 'Which?': unknown key; did you mean 'ask'?"),
    (("--set", "samples"), "--set samples: not of the form"),
    (("--set", "optimizer.sample=3"), "optimizer.sample = 3: unknown key; did you mean 'samples'?"),
    (("--set", "optimiser.samples=3"), "optimiser.samples = 3: unknown key; did you mean"),
    (("--set", "prompt.manual=2024"), "prompt.manual = 2024: must be text"),
    (("--set", "run.seed=true"), "run.seed = True"),
    (("--set", "run.ui=bogus"), "run.ui = 'bogus'"),
    (("--set", "task.name=\udcff"), "task.name"),
    (("--set", "x" * 100_000), "--set xxx"),
    (("--data", "missing"), "missing: no train file"),
    (("--data", "two"), "which one?"),
    (("--data", ""), "run.data"),
    (("--bogus",), "--bogus"),
    (("more",), "more"),
    (("--set", "task.columns=x"), "task.columns = 'x': must be a table"),
    (("--set", "task.columns.text=body"), 'must be a list, ["...", "..."]'),
]


@pytest.mark.parametrize(("arguments", "part"), OPTIONS)
def test_options(bench: Bench, arguments: tuple[str, ...], part: str) -> None:
    """An option that cannot be used is refused, naming the option or its key."""
    write_task(bench.folder)
    (bench.folder / "two").mkdir()
    for ending in ("tsv", "csv"):
        (bench.folder / "two" / f"train.{ending}").write_text(rows(4))
    bench.refuses(part, arguments=arguments)


@pytest.mark.parametrize("name", ["missing.toml", "revews", "folder", "x" * 5000, ""])
def test_no_task(bench: Bench, capsys: pytest.CaptureFixture[str], name: str) -> None:
    """A TASK that is no file and not built in is refused; the built-in ones are named."""
    (bench.folder / "folder").mkdir()
    bench.refused(command(capsys, "run", name), "reviews")


@pytest.mark.parametrize("name", ["task.toml", "train.tsv", "words.txt"])
def test_unreadable(bench: Bench, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A file that may not be read is refused by its name."""
    write_task(bench.folder, ("vocabulary_size = 20", 'vocabulary = "words.txt"'))
    really = Path.open

    def guarded(path: Path, mode: str = "r") -> IO[Any]:  # root reads everything, so pretend
        if path.name == name:
            raise PermissionError(13, "Permission denied", str(path))
        return really(path, mode)

    monkeypatch.setattr(Path, "open", guarded)
    bench.refuses(name, "Permission denied")


WORDS: list[tuple[tuple[str, ...], str]] = [
    (("resume", "runs/a"), "runs/a: no such folder"),
    (("resume",), "RUN_DIR"),
    (("nosuch", "task.toml"), "no command 'nosuch'\n  see bdpl-async --help"),
    (("rum",), "no command 'rum'\n  did you mean run? see"),
    (("x" * 10_000,), "no command 'xxx"),
    (
        ("run", "--max-request", "5"),
        "run has no option --max-request; did you mean --max-requests?",
    ),
    (("run", "--max-request=5"), "--max-request; did you mean --max-requests?"),
    (("run", "--bogus"), "run has no option --bogus\n  see bdpl-async run --help"),
    (("run", "a", "b"), "run: 'b' is one word too many"),
    (("tasks", "--steps", "3"), "tasks has no option --steps\n"),
    (("cache", "stats", "--jsn"), "cache stats has no option --jsn; did you mean --json?"),
    (("cache", "prun"), 'Did you mean "prune"?'),
    (("--bogus",), "--bogus"),
    (("run", "--method", "rnadom"), 'Did you mean "random"?'),
]


@pytest.mark.parametrize(("words", "part"), WORDS)
def test_words(
    bench: Bench, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], part: str
) -> None:
    """A command, option or word that there is not is refused, naming the nearest that there is."""
    bench.refused(command(capsys, *words), part)


EVALS: list[tuple[tuple[str, ...], str]] = [
    ((), "--prompt TEXT or --run RUN_DIR"),
    (("--prompt", "x", "--run", "y"), "--prompt TEXT or --run RUN_DIR"),
    (("--run", "missing"), "missing: no such folder"),
    (("--run", "bad"), "bad/result.json: not JSON"),
    (("--run", "list"), "list/result.json: not the JSON document"),
    (("--run", "null"), "null/result.json: not as a run writes it"),
    (("--prompt", "x", "--split", "test"), "task.test"),
    (("--prompt", "x", "--split", "bogus"), "--split"),
    (("--prompt", "x", "--split", "dev", "--rpm", "0"), "model.rpm = 0.0"),
]


@pytest.mark.parametrize(("arguments", "part"), EVALS)
@pytest.mark.parametrize("json", [(), ("--json",)])
def test_eval(
    bench: Bench,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    part: str,
    json: tuple[str, ...],
) -> None:
    """eval refuses what it cannot score, and prints no half document."""
    path = write_task(bench.folder)
    for name, content in (("bad", "{"), ("list", "[]"), ("null", '{"prompt": null}')):
        (bench.folder / name).mkdir()
        (bench.folder / name / "run.toml").write_text(path.read_text())
        (bench.folder / name / "result.json").write_text(content)
    bench.refused(command(capsys, "eval", "task.toml", *arguments, *json), part)


def test_vocab(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """vocab refuses a file that it cannot write, and a task that it cannot read."""
    write_task(bench.folder)
    bench.refused(command(capsys, "vocab", "task.toml", "--out", "no/such.txt"), "no/such.txt")
    bench.refused(command(capsys, "vocab", "missing.toml"), "missing.toml")


@pytest.mark.parametrize("out", ["file", "file/below", "taken"])
def test_out(bench: Bench, capsys: pytest.CaptureFixture[str], out: str) -> None:
    """An --out where a file or another run stands is refused, and what stands there is kept."""
    path = write_task(bench.folder)
    (bench.folder / "file").write_text("mine")
    (bench.folder / "taken").mkdir()
    (bench.folder / "taken" / "run.toml").write_text("mine")
    bench.refused(command(capsys, "run", path, "--out", out), str(bench.folder / out[:5]))
    assert (bench.folder / "file").read_text() == "mine"
    assert [file.name for file in (bench.folder / "taken").iterdir()] == ["run.toml"]
    assert (bench.folder / "taken" / "run.toml").read_text() == "mine"


@pytest.mark.parametrize("name", ["train.tsv", "task.toml"])
def test_a_directory(bench: Bench, name: str) -> None:
    """A directory where a file should be is refused by its name."""
    write_task(bench.folder)
    (bench.folder / name).unlink()
    (bench.folder / name).mkdir()
    bench.refuses(name)
