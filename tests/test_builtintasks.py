"""The tasks of the paper: words, templates, data as they come, and files of other tasks refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bdpl_async import Task
from bdpl_async.config import builtin_tasks, load_config
from bdpl_async.data.likeness import resembling
from bdpl_async.errors import ConfigError, DataError, UsageError
from bdpl_async.records import Prompt
from bdpl_cli.main import main
from tests.taskrows import FOLDERS, KINDS, SHARED, folder, table

PAPER = [name for name in builtin_tasks() if name != "reviews"]
K2: dict[str, str | int | float | bool | None] = {"task.k_shot": 2}
each_task = pytest.mark.parametrize("task", PAPER)


def real(task: str) -> Path:
    """The folder of the real data, if they are there."""
    there = SHARED / FOLDERS[task]
    if not there.exists():
        pytest.skip(f"needs the shared data set {there}")
    return there


# Words and templates

NO_YES = {"0": "no", "1": "yes"}
ENTAILED = {"not_entailment": "no", "entailment": "yes"}
NLI = {"contradiction": "no", "neutral": "maybe", "entailment": "yes"}
WORDS = {
    "sst2": {"0": "terrible", "1": "great"},
    "mnli": NLI,
    "mnli-mm": NLI,
    "qqp": NO_YES,
    "mrpc": NO_YES,
    "cola": NO_YES,
    "qnli": ENTAILED,
    "rte": ENTAILED,
    "ci": {
        "Background": "background",
        "CompareOrContrast": "comparison",
        "Extends": "extension",
        "Future": "future",
        "Motivation": "motivation",
        "Uses": "use",
    },
    "se": {
        "COMPARE": "comparison",
        "CONJUNCTION": "conjunction",
        "EVALUATE-FOR": "evaluation",
        "FEATURE-OF": "feature",
        "HYPONYM-OF": "kind",
        "PART-OF": "part",
        "USED-FOR": "function",
    },
    "rct": {
        "background": "background",
        "conclusions": "conclusion",
        "methods": "method",
        "objective": "objective",
        "results": "result",
    },
    "hp": {"false": "neutral", "true": "biased"},
}
METRICS = {"accuracy": "sst2 mnli mnli-mm qnli rte", "f1": "qqp mrpc", "mcc": "cola"}


@each_task
def test_the_words_are_the_right_way_round(task: str) -> None:
    """Each value has its word, with a leading space; the positive class of F1 stands second."""
    labels = load_config(builtin_tasks()[task]).task.labels
    assert labels == {value: f" {word}" for value, word in WORDS[task].items()}
    if load_config(builtin_tasks()[task]).task.metric == "f1":
        assert list(labels.values()) == [" no", " yes"]


@each_task
def test_metrics_and_protocol_are_the_papers(task: str) -> None:
    """16 a class, and the metric of the paper's tables; a manual prompt comes with it."""
    config = load_config(builtin_tasks()[task])
    metric = next((m for m, names in METRICS.items() if task in names.split()), "macro_f1")
    assert config.task.metric == metric
    assert (config.task.k_shot, config.task.protocol) == (16, "paper")
    assert config.prompt.manual
    assert config.task.name == task


@each_task
def test_causal_templates_end_in_the_mask(tmp_path: Path, task: str) -> None:
    """A model that reads up to the mask gets the prompt first, then every text, then nothing."""
    kind = "mnli" if task == "mnli-mm" else task
    loaded = Task.from_toml(task, data=folder(tmp_path, kind, train=4), overrides=K2)
    causal, example = loaded.facing(True), loaded.train.examples[0]
    text = causal.text(Prompt(("alpha",)), example)
    assert (text.after, text.before[:6]) == ("", "alpha ")
    assert all(value in text.before for value in example.columns.values())
    assert loaded.facing(False) == causal.facing(False) == loaded


def token_counts(words: list[str]) -> list[int]:
    """How many tokens of GPT-2 and RoBERTa each word is."""
    cache = SHARED / "tiktoken-cache"
    if not cache.exists():
        pytest.skip(f"needs the vocabulary in {cache}")
    tiktoken = pytest.importorskip("tiktoken")
    before = os.environ.get("TIKTOKEN_CACHE_DIR")
    os.environ["TIKTOKEN_CACHE_DIR"] = str(cache)
    try:
        encoding = tiktoken.get_encoding("r50k_base")
        return [len(encoding.encode(word)) for word in words]
    finally:
        if before is None:
            del os.environ["TIKTOKEN_CACHE_DIR"]
        else:
            os.environ["TIKTOKEN_CACHE_DIR"] = before


@each_task
def test_every_word_is_one_token(task: str) -> None:
    """With its space each word is one token of GPT-2's vocabulary, which is RoBERTa's as well."""
    words = list(load_config(builtin_tasks()[task]).task.labels.values())
    assert token_counts(words) == [1] * len(words)


@each_task
def test_every_word_is_one_token_of_the_builtin_model(task: str) -> None:
    """With its space each word is one token of roberta/builtin."""
    tokenizers = pytest.importorskip("tokenizers", reason="needs the extra local")
    root = Path(__file__).parents[1] / "providers" / "bdpl_providers" / "builtin"
    tokenizer = tokenizers.Tokenizer.from_file(str(root / "tokenizer.json"))
    for word in load_config(builtin_tasks()[task]).task.labels.values():
        assert len(tokenizer.encode(word, add_special_tokens=False).ids) == 1


# Data of the task


@pytest.mark.parametrize("task", KINDS)
def test_the_official_layout(tmp_path: Path, task: str) -> None:
    """Train large, dev there: k-shot train and dev out of train, the dev file is the test set."""
    there = folder(tmp_path, task, train=5, dev=3)
    loaded = Task.from_toml(task, data=there, overrides=K2)
    classes = len(loaded.words)
    assert [len(p) for p in (loaded.train, loaded.dev, loaded.test)] == [
        2 * classes,
        2 * classes,
        3 * classes,
    ]
    (tmp_path / "run.toml").write_text(loaded.config.to_toml())
    assert Task.from_toml(tmp_path / "run.toml") == loaded


@pytest.mark.parametrize("task", FOLDERS)
def test_the_real_data(task: str) -> None:
    """Each data set loads as it lies there: 16 a class twice, and a whole test set."""
    loaded = Task.from_toml(task, data=real(task), seed=1)
    classes = len(loaded.words)
    assert len(loaded.train) == len(loaded.dev) == 16 * classes
    assert len(loaded.test) >= 65
    assert not {str(e.columns) for e in loaded.train.examples} & {
        str(e.columns) for e in loaded.dev.examples
    }


@pytest.mark.parametrize("name", ["SST-2", "MNLI", "QQP", "MRPC", "CoLA", "QNLI", "RTE"])
def test_the_real_k_shot_splits(name: str) -> None:
    """A k-shot split made elsewhere is used as it is, without a test set if it has none."""
    there = SHARED / "k-shot" / name / "16-13"
    if not there.exists():
        pytest.skip(f"needs the shared data set {there}")
    task = "sst2" if name == "SST-2" else name.lower()
    loaded = Task.from_toml(task, data=there)
    rows = (there / "train.tsv").read_text(encoding="utf-8").splitlines()[1:]
    texts = {"\t".join(example.columns.values()) for example in loaded.train.examples}
    assert texts == {row.rpartition("\t")[0] for row in rows}
    assert len(loaded.dev) == 16 * len(loaded.words)
    assert len(loaded.test) == 0


def test_matched_and_mismatched(tmp_path: Path) -> None:
    """mnli and mnli-mm take each its own dev file out of GLUE's folder, and its columns."""
    there = folder(tmp_path, "mnli", train=5, dev_matched=1, dev_mismatched=2)
    for file in there.iterdir():
        text = file.read_text().replace("text_a", "sentence1").replace("text_b", "sentence2")
        file.write_text(text.replace("\tlabel", "\tgold_label"))
    assert len(Task.from_toml("mnli", data=there, overrides=K2).test) == 3
    assert len(Task.from_toml("mnli-mm", data=there, overrides=K2).test) == 6


@pytest.mark.parametrize("change", [("\tBACKGROUND", "\tbackground"), ("\tMETHODS", "\tmethod")])
def test_spellings_of_rct(tmp_path: Path, change: tuple[str, str]) -> None:
    """The data of rct are spelled in several ways; each is known."""
    there = folder(tmp_path, "rct", train=5)
    before = Task.from_toml("rct", data=there, overrides=K2)
    (there / "train.tsv").write_text((there / "train.tsv").read_text().replace(*change))
    after = Task.from_toml("rct", data=there, overrides=K2)
    assert after.data_sha256 == before.data_sha256


# Data of another task


@pytest.mark.parametrize("task", PAPER)
@pytest.mark.parametrize("other", KINDS)
def test_rows_of_another_task_are_refused(tmp_path: Path, task: str, other: str) -> None:
    """Train rows of another task are refused, naming the file, what is wrong and the other task."""
    there = folder(tmp_path, other, train=5, dev=3)
    if other in (task, task.removesuffix("-mm")):
        Task.from_toml(task, data=there, overrides=K2)
        return
    message = refusal(task, there)
    assert str(there / "train.tsv") in message
    assert f"it looks like data of the built-in task {other}" in message


def refusal(task: str, there: Path) -> str:
    with pytest.raises(DataError) as caught:
        Task.from_toml(task, data=there, overrides=K2)
    message = str(caught.value)
    assert "column" in message
    assert len(message.splitlines()) == 2
    return message


@pytest.mark.parametrize("other", FOLDERS)
def test_real_data_of_another_task_are_refused(other: str) -> None:
    """Every task refuses the real data of every other, and says whose they are."""
    there = real(other)
    for task in PAPER:
        if other not in (task, task.removesuffix("-mm")):
            assert f"the built-in task {other}" in refusal(task, there)


def test_what_looks_like_nothing_is_refused_all_the_same() -> None:
    """Abstracts of computer science are like those of medicine, but for a class too many."""
    there = SHARED / "csabstruct"
    if not there.exists():
        pytest.skip(f"needs the shared data set {there}")
    message = refusal("rct", there)
    assert "holds 'other', which has no label word" in message
    assert "looks like" not in message


@pytest.mark.parametrize("split", ["dev", "test"])
def test_every_file_that_is_read_is_looked_at(tmp_path: Path, split: str) -> None:
    """A dev or test file of another task is refused as a train file is."""
    there = folder(tmp_path, "sst2", train=5)
    (there / f"{split}.tsv").write_text(table("cola", 4))
    message = refusal("sst2", there)
    assert f"{split}.tsv: column 'text': 0 of 8 rows look like those of sst2" in message
    assert "in lower case" in message
    assert "row 1 does not: 'She put" in message


def test_who_knows_better_may(tmp_path: Path) -> None:
    """The message says how to use such data all the same, and that works."""
    there = folder(tmp_path, "cola", train=5)
    assert "--set 'task.looks.text=.*'" in refusal("sst2", there)
    Task.from_toml("sst2", data=there, overrides={**K2, "task.looks.text": ".*"})


def test_resembling(tmp_path: Path) -> None:
    """A file looks like the tasks that would take it; broken ones look like none."""
    for task in KINDS:
        found = resembling(folder(tmp_path, task, train=1) / "train.tsv")
        assert found == (["mnli", "mnli-mm"] if task == "mnli" else [task])
    (tmp_path / "x.tsv").write_text("\0")
    assert resembling(tmp_path / "x.tsv") == []


@pytest.mark.parametrize(
    "content", ["index\tsentence\n0\ta film\n", "sentence\tlabel\na film\t-1\n"]
)
def test_a_test_file_without_labels(tmp_path: Path, content: str) -> None:
    """GLUE's own test files have no labels: the message says to do without."""
    there = folder(tmp_path, "sst2", train=5, dev=2)
    (there / "test.tsv").write_text(content)
    message = refusal("sst2", there)
    assert "test.tsv: " in message
    assert "without that file the dev file is the test set" in message
    (there / "test.tsv").unlink()
    assert len(Task.from_toml("sst2", data=there, overrides=K2).test) == 4


def test_the_command_says_it_in_two_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the command line such data end with 2 and two lines on stderr, nothing on stdout."""
    there = folder(tmp_path, "qqp", train=40)
    with pytest.raises(SystemExit) as left:
        main(["run", "mrpc", "--data", str(there), "--model", "simulated/x"])
    said = capsys.readouterr()
    assert (left.value.code, said.out, len(said.err.splitlines())) == (2, "", 2)
    assert "built-in task qqp" in said.err


def test_a_plain_task_gets_no_protocol(tmp_path: Path) -> None:
    """A file of a user's own is refused as ever: no guess what else it might be."""
    (tmp_path / "train.tsv").write_text(table("cola", 4))
    (tmp_path / "task.toml").write_text(
        '[task]\nname = "x"\ntrain = "train.tsv"\nlabel = "label"\n'
        'template = "{prompt} {words} {mask}"\nlabels = { "0" = " a", "1" = " b" }\n'
    )
    with pytest.raises(UsageError) as caught:
        Task.from_toml(tmp_path / "task.toml")
    assert "looks like" not in str(caught.value)


def test_half_a_file_list(tmp_path: Path) -> None:
    """A dev or test file for a built-in task needs a train file beside it."""
    with pytest.raises(ConfigError, match=r"task\.dev is given, and task\.train is not"):
        Task.from_toml("sst2", overrides={"task.dev": str(tmp_path / "dev.tsv")})
