"""init: a TASK.toml that runs, from data of all sorts; nothing overwritten, few questions."""

from __future__ import annotations

import csv
import io
import os
import pty
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

import orjson
import pytest

from bdpl_async.task import Task
from tests.workbench import Outcome, command

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data"
Capsys = pytest.CaptureFixture[str]
HAS = ("invoice", "charge", "parcel", "courier", "login", "screen", "broken", "late", "refund")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to be in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def text(i: int) -> str:
    return f"my {HAS[i % 9]} and the {HAS[(2 * i + 1) % 9]} number {i} are not as they should be"


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([header, *rows])
    return out.getvalue()


def tickets(count: int = 40) -> str:
    kinds = ["billing", "shipping", "technical"]
    return table(["id", "text", "category"], [[i, text(i), kinds[i % 3]] for i in range(count)])


def runs(capsys: Capsys, task: str = "task.toml", *more: str) -> dict[str, object]:
    """The result of a small run of the file as it is, but for the number of updates."""
    done = command(
        capsys, "run", task, "--ui", "none", "--out", "r", "--steps", "1", "--cache", "none", *more
    )
    assert done.code == 0, done.err
    found = orjson.loads(Path("r", "result.json").read_bytes())
    assert isinstance(found, dict)
    return found


def drafted(capsys: Capsys, *arguments: str | Path) -> Outcome:
    """What init says, having written a file that loads."""
    done = command(capsys, "init", *arguments)
    assert (done.code, done.err) == (0, "")
    assert all(len(line) < 80 for line in done.out.splitlines())
    return done


def test_csv(capsys: Capsys) -> None:
    """A csv file becomes a task that runs as it stands; what was guessed is told."""
    Path("my tickets.csv").write_text(tickets())
    done = drafted(capsys, "my tickets.csv", "--model", "simulated/x")
    for part in ("category: billing 14", "bdpl-async run task.toml", "no test set"):
        assert part in done.out
    task = Task.from_toml("task.toml")
    assert task.words == (" billing", " shipping", " technical")
    assert len(task.train) + len(task.dev) == 40
    assert command(capsys, "estimate", "task.toml").code == 0
    assert runs(capsys)["stop_reason"] == "steps"


def test_offline(capsys: Capsys) -> None:
    """Without a model it is the one that comes with the tool, with words that it can read."""
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    Path("t.csv").write_text(tickets(12))
    drafted(capsys, "t.csv")
    result = runs(capsys, "task.toml", "--set", "prompt.length=2", "--max-prompts", "400")
    assert result["model"] == "roberta/builtin"
    words = result["labels"]
    assert isinstance(words, dict)
    assert words["shipping"] in (" shipping", " B")


def test_example(here: Path, capsys: Capsys) -> None:
    """Where there are no data it writes an example of our own rows, which says so and runs."""
    done = drafted(capsys, "--model", "simulated/x")
    assert "an example: short reviews that we wrote ourselves" in done.out
    assert {file.name for file in here.iterdir()} == {
        "task.toml", "train.tsv", "dev.tsv", "test.tsv",
    }  # fmt: skip
    assert Task.from_toml("task.toml").words == (" terrible", " great")
    assert runs(capsys)["test"] is not None


def test_here(capsys: Capsys) -> None:
    """Without DATA the only data file here is taken, and of several none; train.* with its kin."""
    Path("a.csv").write_text(tickets())
    assert "a.csv, the data file in this folder" in drafted(capsys, "--model", "simulated/x").out
    Path("b.csv").write_text(tickets())
    done = command(capsys, "init", "--out", "other.toml")
    assert done.code == 2
    assert "'a.csv', 'b.csv'" in done.err
    Path("train.csv").write_text(tickets())
    Path("validation.csv").write_text(tickets(9))
    out = drafted(capsys, "--out", "other.toml", "--model", "simulated/x").out
    assert "train.csv, validation.csv in" in out
    assert len(Task.from_toml("other.toml").dev) == 9


def test_folder(here: Path, capsys: Capsys) -> None:
    """A folder with splits is named relative to the file; a folder without train is refused."""
    folder = here / "my data"
    folder.mkdir()
    done = command(capsys, "init", folder)
    assert (done.code, "no train file" in done.err) == (2, True)
    for name, count in (("train", 30), ("test", 12)):
        (folder / f"{name}.csv").write_text(tickets(count))
    (here / "sub").mkdir()
    drafted(capsys, "my data", "--out", "sub/t.toml", "--model", "simulated/x")
    assert 'train = "../my data/train.csv"' in Path("sub/t.toml").read_text()
    assert len(Task.from_toml("sub/t.toml").test) == 12


def test_split(here: Path, capsys: Capsys) -> None:
    """From 100 rows on a test set is cut into new files; --no-split leaves that."""
    Path("t.csv").write_text(tickets(200))
    drafted(capsys, "t.csv", "--model", "simulated/x")
    task = Task.from_toml("task.toml")
    assert (len(task.test), len(task.train) + len(task.dev)) == (39, 161)
    drafted(capsys, "t.csv", "--no-split", "--out", "whole.toml", "--model", "simulated/x")
    assert len(Task.from_toml("whole.toml").test) == 0
    assert {file.name for file in here.iterdir()} == {
        "t.csv", "task.toml", "whole.toml", "t-train.csv", "t-test.csv",
    }  # fmt: skip


def test_what_is_taken(here: Path, capsys: Capsys) -> None:
    """Where names are taken all are told at once, with another OUT whose files are all free."""
    Path("t.csv").write_text(tickets(200))
    drafted(capsys, "t.csv", "--model", "simulated/x")
    done = command(capsys, "init", "t.csv")
    assert "task.toml: is there already" in done.err
    assert "--out task-2.toml is free" in done.err
    Path("task.toml").unlink()
    Path("task-2-test.csv").touch()
    done = command(capsys, "init", "t.csv")
    assert (done.code, "t-train.csv and t-test.csv: are there already" in done.err) == (2, True)
    assert "--no-split" in done.err
    assert "--out task-3.toml is free" in done.err
    drafted(capsys, "t.csv", "--out", "task-3.toml", "--model", "simulated/x")
    assert Path(str(Task.from_toml("task-3.toml").config.task.train)).name == "task-3-train.csv"


def test_a_private_file_stays_private(capsys: Capsys) -> None:
    """What is cut from a file that only its owner may read, others may not read either."""
    Path("t.csv").write_text(tickets(200))
    Path("t.csv").chmod(0o600)
    drafted(capsys, "t.csv", "--model", "simulated/x")
    assert {Path(f"t-{split}.csv").stat().st_mode & 0o777 for split in ("train", "test")} == {0o600}


@pytest.mark.parametrize("mark", [";", "\t"])
@pytest.mark.parametrize("count", [40, 200])
def test_other_separators(mark: str, count: int, here: Path, capsys: Capsys) -> None:
    """Semicolons and tabs in a csv file are read; what the task names has commas; it is said."""
    source = tickets(count).replace(",", mark)
    Path("t.csv").write_text(source)
    out = drafted(capsys, "t.csv", "--model", "simulated/x").out.replace("\n  ", " ")
    kind = "semicolons" if mark == ";" else "tabs"
    assert f"t.csv has {kind} between its columns" in out
    made = {"t-commas.csv"} if count < 100 else {"t-train.csv", "t-test.csv"}
    assert {file.name for file in here.iterdir()} == {"t.csv", "task.toml", *made}
    assert Path("t.csv").read_text() == source
    task = Task.from_toml("task.toml")
    assert len(task.train) + len(task.dev) + len(task.test) == count


def test_other_separators_in_a_folder(here: Path, capsys: Capsys) -> None:
    """Each split is looked at by itself; those that have commas are named as they are."""
    Path("train.csv").write_text(tickets().replace(",", ";"))
    Path("test.csv").write_text(tickets(12))
    drafted(capsys, "--out", "k.toml", "--model", "simulated/x")
    table = Task.from_toml("k.toml").config.task
    files = [Path(str(file)).name for file in (table.train, table.test)]
    assert files == ["k-train-commas.csv", "test.csv"]
    done = command(capsys, "init", "--out", "k.toml")
    assert "--out k-2.toml is free" in done.err


def test_own_files_are_no_data(capsys: Capsys) -> None:
    """Without DATA the files that earlier commands wrote are not offered."""
    Path("t.csv").write_text(tickets(200))
    drafted(capsys, "--out", "k.toml", "--model", "simulated/x")
    for name in ("comparison.csv", "comparison-runs.csv", "sweep.csv", "t-commas.csv"):
        Path(name).write_text("a,b\n1,2\n")
    out = drafted(capsys, "--out", "other.toml", "--model", "simulated/x").out
    assert "t.csv, the data file in this folder" in out
    Path("bus-train.csv").write_text(tickets())
    assert "'bus-train.csv', 't.csv'" in command(capsys, "init", "--out", "third.toml").err


@pytest.mark.parametrize(
    ("model", "causal"), [("vllm/x", True), ("openai/x", True), ("simulated/x", False)]
)
def test_one_template(model: str, causal: bool, capsys: Capsys) -> None:
    """One template stands in the file, the one in force, and it is the one that is printed."""
    Path("t.csv").write_text(tickets())
    out = drafted(capsys, "t.csv", "--model", model).out
    table = tomllib.loads(Path("task.toml").read_text())["task"]
    assert "causal" not in table
    assert table["template"].endswith("{mask}") == causal
    assert table["template"] in out
    assert ("# causal = " in Path("task.toml").read_text()) != causal


def test_the_template_for_servers(capsys: Capsys) -> None:
    """The line that is commented out for a masked model is valid as it stands."""
    Path("t.csv").write_text(tickets())
    drafted(capsys, "t.csv", "--model", "simulated/x")
    written = Path("task.toml").read_text()
    Path("task.toml").write_text(written.replace("# causal = ", "causal = "))
    assert str(Task.from_toml("task.toml").config.task.causal).endswith("{mask}")


MAIL = [[i, f"about {i % 9}", f"{text(2 * i)} again", "good", "xyz"[i % 3]] for i in range(40)]


def test_columns_that_were_not_taken(capsys: Capsys) -> None:
    """Columns that no template shows are named, with the options that would take them."""
    Path("t.csv").write_text(table(["id", "Subject line", "Body", "Mood", "Queue"], MAIL))
    out = drafted(capsys, "t.csv", "--model", "simulated/x").out
    assert "not used  id, Subject line, Mood (say --text 'Subject line' --text Body)" in out
    assert "--label and --text" in out
    rows = [[*row, "pq"[i % 2]] for i, row in enumerate(MAIL)]
    Path("u.csv").write_text(
        table(["id", "Subject line", "Body", "Mood", "Queue", "My label"], rows)
    )
    out = drafted(capsys, "u.csv", "--out", "u.toml", "--model", "simulated/x").out
    assert "or --label Queue)" in out.replace("\n            ", " ")


def test_a_label_column_of_one_class(capsys: Capsys) -> None:
    """A column that is called like a label and holds one class is told of, not passed over."""
    header = ["id", "Subject line", "Body", "Sentiment", "Queue"]
    Path("t.csv").write_text(table(header, MAIL))
    out = drafted(capsys, "t.csv", "--model", "simulated/x").out.replace("\n  ", " ")
    assert "column 'Sentiment' holds 'good' alone" in out
    out = drafted(capsys, "t.csv", "--label", "Queue", "--out", "u.toml").out
    assert "alone" not in out


@pytest.mark.parametrize(
    ("label", "words"), [("Sentiment", ("terrible", "great")), ("label", ("no", "yes"))]
)
def test_labels_that_are_numbers(label: str, words: tuple[str, str], capsys: Capsys) -> None:
    """What 0 and 1 are taken for is a guess in every case, and said to be one."""
    Path("t.csv").write_text(table(["text", label], [[text(i), i % 2] for i in range(40)]))
    out = drafted(capsys, "t.csv", "--model", "simulated/x").out.replace("\n  ", " ")
    assert f"see whether 0 means {words[0]} and 1 means {words[1]}" in out
    assert "see whether 0 means this" in Path("task.toml").read_text()


@pytest.mark.parametrize("out", ["task.toml", "no/task.toml"])
def test_never_overwrites(out: str, capsys: Capsys) -> None:
    """A file that is there stays as it is; a folder that is not there is not made."""
    Path("t.csv").write_text(tickets(200))
    Path("task.toml").write_text("mine")
    done = command(capsys, "init", "t.csv", "--out", out)
    assert (done.code, done.out) == (2, "")
    assert out in done.err
    assert Path("task.toml").read_text() == "mine"
    assert sorted(os.listdir()) == ["t.csv", "task.toml"]


def test_nothing_is_left_behind(here: Path, capsys: Capsys) -> None:
    """Where the outcome does not load, neither it nor the files cut for it stay."""
    rows = [[i, "same", ["a", "b"][i % 2]] for i in range(120)]
    Path("t.csv").write_text(table(["id", "text", "category"], rows))
    done = command(capsys, "init", "t.csv", "--text", "text", "--model", "simulated/x")
    assert (done.code, done.out) == (2, "")
    assert [file.name for file in here.iterdir()] == ["t.csv"]


ODD: dict[str, tuple[str, bytes, tuple[str, ...]]] = {
    "byte order mark": (
        "t.csv",
        b"\xef\xbb\xbf" + table(["text", "label"], [[text(i), i % 2] for i in range(20)]).encode(),
        (" no", " yes"),
    ),
    "unicode": (
        "données été.csv",
        table(["Überschrift", "catégorie"], [[text(i), ["été", "hiver"][i % 2]] for i in range(20)])
        .encode(),
        (" hiver", " été"),
    ),
    "quotes in labels": (
        "t.csv",
        table(["text", "label"], [[text(i), ['say "no"', "it's # fine"][i % 2]] for i in range(20)])
        .encode(),
        (" it's fine", " say no"),
    ),
    "numbers": (
        "t.tsv",
        "".join(["text\tlabel\n", *[f"{text(i)}\t{i % 3}\n" for i in range(30)]]).encode(),
        (" zero", " one", " two"),
    ),
    "awkward names": (
        "t.csv",
        table(["a.b [c]", "prompt", "label"], [[i, text(i), "ab"[i % 2]] for i in range(20)])
        .encode(),
        (" a", " b"),
    ),
    "windows": (
        "t.csv",
        table(["text", "label"], [[text(i), "ab"[i % 2]] for i in range(20)])
        .replace("\n", "\r\n").encode(),
        (" a", " b"),
    ),
    "jsonl": (
        "t.jsonl",
        b"\n".join(
            orjson.dumps({"text": text(i), "label": bool(i % 2), "more": [i]}) for i in range(20)
        ),
        (" no", " yes"),
    ),
    "a class of one row": (
        "t.csv",
        table(["text", "label"], [[text(i), "odd" if i == 3 else "ab"[i % 2]] for i in range(30)])
        .encode(),
        (" a", " b", " odd"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("odd", ODD)
def test_odd_files(odd: str, capsys: Capsys) -> None:
    """Marks, unicode, quotes, numbers, awkward names: the file loads and runs all the same."""
    name, content, words = ODD[odd]
    Path(name).write_bytes(content)
    drafted(capsys, name, "--yes", "--model", "simulated/x")
    assert set(Task.from_toml("task.toml").words) == set(words)
    assert runs(capsys)["stop_reason"] == "steps"


def test_many_classes_and_long_rows(capsys: Capsys) -> None:
    """More classes than a list of tokens holds, and texts beyond the window, are warned of."""
    rows = [
        [f"{text(i)} " * (80 if i == 5 else 1), f"topic {chr(97 + i % 26)}x"] for i in range(80)
    ]
    Path("t.csv").write_text(table(["text", "topic"], rows))
    out = drafted(capsys, "t.csv").out.replace("\n  ", " ")
    assert "26 classes" in out
    assert "the model reads 256 tokens" in out


def test_copies(capsys: Capsys) -> None:
    """A file of few different texts becomes a task all the same, with or without a test set."""
    for texts, tested in ((30, True), (2, False)):
        name = f"c{texts}.csv"
        rows = [[text(i % texts), "ab"[i % texts % 2]] for i in range(300)]
        Path(name).write_text(table(["text", "label"], rows))
        out = drafted(capsys, name, "--out", f"c{texts}.toml").out
        assert ("test set" in out) == (not tested)
        assert Path(f"c{texts}-test.csv").exists() == tested


def test_words_that_another_model_may_read(capsys: Capsys) -> None:
    """Letters stand in where the model has no token; what they stand for is told and written."""
    rows = [[text(i), ["zygote", "quasar"][i % 2]] for i in range(40)]
    Path("t.csv").write_text(table(["text", "label"], rows))
    out = drafted(capsys, "t.csv").out.replace("\n  ", " ")
    assert "stand-ins: A for 'quasar', B for 'zygote'; another model may read the words" in out
    assert "stands for 'quasar', which another model may read" in Path("task.toml").read_text()


def test_too_many_classes_for_the_model(capsys: Capsys) -> None:
    """Where neither words nor letters will do, it says so."""
    rows = [[text(i), f"kind {i % 60}"] for i in range(300)]
    Path("t.csv").write_text(table(["text", "label"], rows))
    out = drafted(capsys, "t.csv").out.replace("\n  ", " ")
    assert "cannot tell words for these 60 classes apart" in out
    out = drafted(capsys, "t.csv", "--out", "v.toml", "--no-split", "--model", "vllm/x").out
    assert "and 52 more" in out.replace("\n  ", " ")


def test_unseen_characters_are_spelled_out(capsys: Capsys) -> None:
    """What turns the direction of writing is escaped in the file, and read back as it was."""
    label = "la\u202ebel"
    Path("t.csv").write_text(table(["text", label], [[text(i), "ab"[i % 2]] for i in range(40)]))
    drafted(capsys, "t.csv")
    written = Path("task.toml").read_text()
    assert "\u202e" not in written
    assert tomllib.loads(written)["task"]["label"] == label


REFUSED: list[tuple[str, str, tuple[str, ...], str]] = [
    ("t.csv", "text;label\nfine words;1\nbad words\n", (), "t.csv: line 3: 1 instead of 2 fields"),
    (
        "t.csv",
        "text;label\nfine words;1\nbad words;\n",
        ("--label", "label"),
        "t.csv: row 2: no label in column",
    ),
    ("t.csv", tickets(), ("--label", "Category"), "did you mean 'category'?"),
    ("t.csv", tickets(), ("--text", "txt"), "did you mean 'text'?"),
    ("t.csv", tickets(), ("--label", "kind"), "columns there are: 'id', 'text', 'category'"),
    ("t.csv", tickets(), ("--text", "kind"), "--text 'kind'"),
    ("t.csv", tickets(), ("--model", "vllm"), "not PROVIDER/NAME"),
    ("t.csv", tickets(), ("--model", "nosuch/x"), "not PROVIDER/NAME"),
    ("t.csv", table(["text", "label"], [[text(i), i % 3 or ""] for i in range(9)]), (), "row 1"),
    ("t.csv", tickets(), ("--label", "id"), "no such class"),
    ("t.doc", "x", (), "unknown file ending"),
    ("t.json", "[]", (), "one object a line"),
    ("t.xlsx", "PK", (), "save the sheet as csv"),
    ("t.csv.gz", "x", (), "unpack it first"),
    ("t.jsonl", '{"text": "\\ud800", "label": "a"}\n' * 200, (), "200 rows without text"),
    ("t.jsonl", '{"te\\ud800xt": "a b c", "label": "a"}\n' * 200, (), "half a surrogate pair"),
    ("other.csv", tickets(), (), "t.csv: no such file"),
]


@pytest.mark.parametrize(("name", "content", "more", "part"), REFUSED)
def test_refused(name: str, content: str, more: tuple[str, ...], part: str, capsys: Capsys) -> None:
    """What cannot be a task is refused with exit 2, in words, and nothing is written."""
    Path(name).write_text(content)
    if part == "no such class":
        Path("test.csv").write_text(tickets(60))
        Path(name).rename("train.csv")
        more, name = ("--label", "id"), "train.csv"
    target = "t.csv" if name == "other.csv" else name
    done = command(capsys, "init", target, *more)
    assert (done.code, done.out) == (2, "")
    assert part in done.err
    assert not Path("task.toml").exists()
    assert "commas.csv" not in f"{done.err} {os.listdir()}"


def asked(*arguments: str, answers: str) -> tuple[int, str]:
    """init at a terminal, where somebody types the answers."""
    ours, theirs = pty.openpty()
    folders = (ROOT, ROOT / "providers", ROOT / "cli")
    process = subprocess.Popen(
        [sys.executable, "-m", "bdpl_cli", "init", *arguments],
        stdin=theirs,
        stderr=theirs,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))},
        text=True,
    )
    os.close(theirs)
    os.write(ours, answers.encode())
    out, _ = process.communicate(timeout=30)
    os.close(ours)
    return process.returncode, out


UNCLEAR = [[text(i), f"{text(2 * i)} again", "ab"[i % 2], "xyz"[i % 3]] for i in range(40)]


def test_asks_at_a_terminal() -> None:
    """At a terminal what is unclear is asked, and the model; the answers are taken."""
    Path("t.csv").write_text(table(["one", "two", "three", "four"], UNCLEAR))
    code, out = asked("t.csv", answers="2\none\nsimulated/x\n")
    assert code == 0
    task = Task.from_toml("task.toml")
    assert task.config.task.label == "three"
    assert task.config.task.texts == ("one",)
    assert task.config.model.name == "simulated/x"
    assert "guess;" not in out


def test_enter_takes_what_is_offered() -> None:
    """Enter to every question, or --yes and no question at all, come to the same file."""
    Path("t.csv").write_text(table(["one", "two", "three", "four"], UNCLEAR))
    assert asked("t.csv", answers="\n\n\n")[0] == 0
    assert asked("t.csv", "--yes", "--out", "yes.toml", answers="")[0] == 0
    assert Path("task.toml").read_text() == Path("yes.toml").read_text()


def test_nobody_is_asked(capsys: Capsys) -> None:
    """Without a terminal the guesses are taken, and the doubtful ones told as such."""
    Path("t.csv").write_text(table(["one", "two", "three", "four"], UNCLEAR))
    out = drafted(capsys, "t.csv", "--model", "simulated/x").out.replace("\n  ", " ")
    assert "'four' as the label is a guess; it might be 'three': see --label" in out
    assert "see --text" in out


def test_server(capsys: Capsys) -> None:
    """A model behind a server is written with its address, and probe is pointed at."""
    Path("t.csv").write_text(tickets())
    url = "http://127.0.0.1:9/v1"
    out = drafted(capsys, "t.csv", "--model", "vllm/some/model", "--base-url", url).out
    assert "bdpl-async probe" in out
    model = Task.from_toml("task.toml").config.model
    assert (model.name, model.base_url) == ("vllm/some/model", url)


SETS = ("cola", "citation_intent", "csabstruct", "hyperpartisan", "mnli", "qqp", "rte", "sciie")


@pytest.mark.parametrize("name", SETS)
def test_real_data(name: str, capsys: Capsys) -> None:
    """The public data sets become tasks whose estimate comes out, as they stand."""
    if not (DATA / name).is_dir():
        pytest.skip("the public data sets are not here")
    drafted(capsys, DATA / name, "--model", "simulated/x")
    assert command(capsys, "estimate", "task.toml", "--max-prompts", "3000").code == 0
