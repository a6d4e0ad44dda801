"""A task: data, template and label words checked against each other."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bdpl_async import Task, UsageError
from bdpl_async.errors import ConfigError, DataError
from bdpl_async.records import Prompt
from tests.workbench import rows, write_task

IN_PLACE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
DEV = ('dev = "dev.tsv"\n', "")
LABELS = 'labels = { "0" = " terrible", "1" = " great" }'


def test_builtin() -> None:
    """The built-in example loads by its name, both labels balanced in all three splits."""
    task = Task.from_toml("reviews")
    assert task.words == (" terrible", " great")
    for split in (task.train, task.dev, task.test):
        assert 2 * sum(split.labels) == len(split) > 0


def test_from_toml(tmp_path: Path) -> None:
    """Values, words and label indices follow the order of task.labels."""
    change = ('{ "0" = " terrible", "1" = " great" }', '{ "1" = " great", "0" = " terrible" }')
    task = Task.from_toml(write_task(tmp_path, change))
    assert (task.values, task.words) == (("1", "0"), (" great", " terrible"))
    for example in task.train.examples:
        assert ("bad" in example.columns["text"]) == (example.label == 1)


def test_text(tmp_path: Path) -> None:
    """A prompt and a row fill the template; the mask parts what stands before and after it."""
    task = Task.from_toml(write_task(tmp_path))
    text = task.text(Prompt(("well", "so")), task.train.examples[0])
    assert text.before == f"well so {task.train.examples[0].columns['text']} It was "
    assert text.after == "."


def test_facing(tmp_path: Path) -> None:
    """A causal model reads the template that is for it, if there is one; nothing else changes."""
    plain = Task.from_toml(write_task(tmp_path))
    assert plain.facing(True) is plain.facing(False) is plain
    key = {"task.causal": "{prompt} {text} Verdict: {mask}"}
    task = Task.from_toml(write_task(tmp_path), overrides={**key})
    causal = task.facing(True)
    assert causal.template.text == "{prompt} {text} Verdict: {mask}"
    assert task.template.text == "{prompt} {text} It was {mask}."
    assert causal.facing(False) == task
    assert (causal.train, causal.data_sha256) == (task.train, plain.data_sha256)


def test_both_templates_find_their_columns(tmp_path: Path) -> None:
    """Rows keep the columns of either template, and the candidates come from all of them."""
    path = write_task(tmp_path)
    more = "text\tnote\tlabel\nsoup soup\tzebra zebra\t0\nsoup hat\tzebra fox\t1\n"
    (tmp_path / "train.tsv").write_text(more)
    (tmp_path / "dev.tsv").write_text(more)
    task = Task.from_toml(path, overrides={"task.causal": "{prompt} {note} {text} {mask}"})
    assert set(task.train.examples[0].columns) == {"text", "note"}
    assert {"zebra", "soup"} <= set(task.vocabulary())
    assert task.vocabulary() == task.facing(True).vocabulary()


def test_other_names_and_spellings(tmp_path: Path) -> None:
    """A user's own task may name other columns, values and files, and how its texts look."""
    more = (
        '[task.columns]\ntext = ["sentence"]\nlabel = ["class"]\n'
        '[task.values]\nbad = "0"\ngood = "1"\n'
        '[task.files]\ntrain = ["learn", "train"]\n'
        '[task.looks]\ntext = "[a-z ]+$(?#small letters)"\n'
    )
    path = write_task(tmp_path, more=more)
    folder = tmp_path / "data"
    folder.mkdir()
    lines = [f"soup {word}\t{word}\n" for word in ["good", "bad"] * 4]
    (folder / "learn.tsv").write_text("sentence\tclass\n" + "".join(lines))
    task = Task.from_toml(path, data=folder)
    for example in task.train.examples:
        assert example.columns["text"].endswith(("bad", "good")[example.label])
    (folder / "learn.tsv").write_text("sentence\tclass\n" + "".join(lines).replace("soup", "S"))
    with pytest.raises(DataError, match=r"0 of 8 rows look like those of tiny \(small letters\)"):
        Task.from_toml(path, data=folder)


def test_unicode(tmp_path: Path) -> None:
    """Label values and words in any script are taken as they are."""
    path = write_task(tmp_path, ('"0" = " terrible", "1" = " great"', '"負" = "悪い", "é" = "bon"'))
    (tmp_path / "train.tsv").write_text("text\tlabel\nxまず\t負\nça va\té\n", encoding="utf-8")
    (tmp_path / "dev.tsv").write_text("text\tlabel\na\t負\nb\té\n", encoding="utf-8")
    task = Task.from_toml(path)
    assert task.values == ("負", "é")
    assert {e.columns["text"]: e.label for e in task.train.examples} == {"xまず": 0, "ça va": 1}


def test_paths_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative files count from the TASK.toml, and stand as absolute paths in the configuration."""
    path = write_task(tmp_path, more='[run]\nout = "there"\n')
    monkeypatch.chdir(tmp_path)
    near = Task.from_toml(path.name)
    monkeypatch.chdir("/")
    far = Task.from_toml(os.path.relpath(path))
    assert near.data_sha256 == far.data_sha256
    config = near.config
    for place in (config.task.train, config.task.dev, config.run.out):
        assert place is not None
        assert Path(place).is_absolute()
        assert Path(place).parent == tmp_path
    assert config.task.test is None


def test_reload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The resolved configuration, written elsewhere, loads the same examples."""
    task = Task.from_toml(write_task(tmp_path, DEV), seed=3)
    other = tmp_path / "elsewhere"
    other.mkdir()
    (other / "run.toml").write_text(task.config.to_toml())
    monkeypatch.chdir("/")
    again = Task.from_toml(other / "run.toml")
    assert again == task


def test_seed(tmp_path: Path) -> None:
    """A seed names one division of the rows; another seed is another, and 0 is one of them."""
    path = write_task(tmp_path, DEV)
    tasks = {seed: Task.from_toml(path, seed=seed) for seed in (0, 1, 2)}
    assert tasks[0] == Task.from_toml(path, overrides={"run.seed": 0}) == Task.from_toml(path)
    assert len({task.data_sha256 for task in tasks.values()}) == 3


def test_own_dev(tmp_path: Path) -> None:
    """Without a dev file a stratified dev split is cut from train, and no row is in both."""
    task = Task.from_toml(write_task(tmp_path, DEV))
    texts = [{e.columns["text"] for e in part.examples} for part in (task.train, task.dev)]
    assert not texts[0] & texts[1]
    assert len(texts[0] | texts[1]) == 12
    assert 2 * sum(task.dev.labels) == len(task.dev)


def test_k_shot(tmp_path: Path) -> None:
    """k_shot draws so many rows of each class, for train and for dev."""
    for change, k in ((DEV, 2), (("", ""), 4)):
        task = Task.from_toml(write_task(tmp_path, change), overrides={"task.k_shot": k})
        for part in (task.train, task.dev):
            assert sorted(part.labels) == [0] * k + [1] * k


def test_prefixes_are_fair(tmp_path: Path) -> None:
    """Every prefix of a split holds each class in its share, so a cut split is a fair sample."""
    task = Task.from_toml(write_task(tmp_path))
    labels = task.train.labels
    for count in range(1, len(labels) + 1):
        assert abs(2 * sum(labels[:count]) - count) <= 2


def test_data_folder(tmp_path: Path) -> None:
    """--data takes the place of all files that the task names, whatever their format."""
    path = write_task(tmp_path)
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "train.csv").write_text('text,label\n"one, two",0\nthree,1\nfour,0\nfive,1\n')
    (folder / "test.jsonl").write_text('{"text": "six", "label": 1}\n')
    task = Task.from_toml(path, data=folder)
    texts = {e.columns["text"] for part in (task.train, task.dev) for e in part.examples}
    assert texts == {"one, two", "three", "four", "five"}
    assert [(e.columns["text"], e.label) for e in task.test.examples] == [("six", 1)]
    assert task.config.run.data is None


def test_vocabulary_file(tmp_path: Path) -> None:
    """prompt.vocabulary names a file beside the TASK.toml, one candidate a line."""
    (tmp_path / "words.txt").write_text("alpha\nbeta gamma\n")
    path = write_task(tmp_path, ("vocabulary_size = 20", 'vocabulary = "words.txt"'))
    assert Task.from_toml(path).vocabulary() == ("alpha", "beta gamma")


def test_vocabulary_without_dev(tmp_path: Path) -> None:
    """Candidates come from the training text alone."""
    path = write_task(tmp_path)
    (tmp_path / "dev.tsv").write_text("text\tlabel\nzebra zebra\t0\nzebra zebra\t1\n")
    vocabulary = Task.from_toml(path).vocabulary()
    assert "zebra" not in vocabulary
    assert "soup" in vocabulary


DATA = [
    ("text\tlabel\n" + "a\t0\nb\t1\nc\t2\n", "row 3: column 'label' holds '2'"),
    ("text\tlabel\na\t0\nb\tl\n", "which has no label word"),
    ("text\tlabel\na\t0\nb\t0\n", "no row has the label '1'"),
    ("text\tlable\na\t0\n", "no column 'label'"),
    ("txt\tlabel\na\t0\n", "no column 'text'"),
    ("text\tlabel\na\t0\nb\n", "line 3"),
    ("text\tlabel\n", "has no rows"),
    ("", "is empty"),
]


@pytest.mark.parametrize(("content", "problem"), DATA)
def test_bad_data(tmp_path: Path, content: str, problem: str) -> None:
    """A data file that does not fit the task is refused by its name, with the row or column."""
    path = write_task(tmp_path)
    (tmp_path / "train.tsv").write_text(content)
    with pytest.raises(DataError) as caught:
        Task.from_toml(path)
    assert str(tmp_path / "train.tsv") in str(caught.value)
    assert problem in str(caught.value)


@pytest.mark.parametrize("change", [DEV, ("", "")])
def test_k_shot_too_large(tmp_path: Path, change: tuple[str, str]) -> None:
    """A k_shot that the data cannot give is refused, naming the file, the class and the key."""
    path = write_task(tmp_path, change)
    with pytest.raises(DataError, match=r"train\.tsv: class '0' has 6 rows, k_shot needs"):
        Task.from_toml(path, overrides={"task.k_shot": 50})


def test_too_few_rows(tmp_path: Path) -> None:
    """One row a class is too few to cut a dev split from, and the message says what to do."""
    path = write_task(tmp_path, DEV)
    (tmp_path / "train.tsv").write_text("text\tlabel\na\t0\nb\t1\n")
    with pytest.raises(DataError, match=r"train\.tsv: 2 rows are too few"):
        Task.from_toml(path)


FILES = ["missing.tsv", "nul\\u0000.tsv", "x" * 5000 + ".tsv", "loop.tsv", ".", "train.doc"]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("key", ["train", "dev"])
def test_bad_file_name(tmp_path: Path, name: str, key: str) -> None:
    """A file name that leads nowhere is a DataError, whatever it holds."""
    (tmp_path / "loop.tsv").symlink_to("loop.tsv")
    path = write_task(tmp_path, (f'{key} = "{key}.tsv"', f'{key} = "{name}"'))
    with pytest.raises(DataError):
        Task.from_toml(path)


@pytest.mark.parametrize("name", ["missing", "nul\0", "x" * 5000, "train.tsv"])
def test_bad_data_folder(tmp_path: Path, name: str) -> None:
    """A data folder that is not there is refused, and the message says what it should hold."""
    path = write_task(tmp_path)
    with pytest.raises(ConfigError, match="no train file"):
        Task.from_toml(path, data=tmp_path / name)


def test_two_train_files(tmp_path: Path) -> None:
    """A data folder with two train files is ambiguous and refused."""
    path = write_task(tmp_path)
    (tmp_path / "train.csv").write_text("text,label\na,0\n")
    with pytest.raises(ConfigError, match=r"train\.tsv and train\.csv"):
        Task.from_toml(path, data=tmp_path)


@pytest.mark.parametrize("name", ["missing.txt", "nul\\u0000", "x" * 5000, ".", "loop"])
def test_bad_vocabulary_file(tmp_path: Path, name: str) -> None:
    """A vocabulary file that cannot be read is a ConfigError."""
    (tmp_path / "loop").symlink_to("loop")
    path = write_task(tmp_path, ("vocabulary_size = 20", f'vocabulary = "{name}"'))
    with pytest.raises(ConfigError, match="cannot be read"):
        Task.from_toml(path).vocabulary()


@IN_PLACE
@given(content=st.binary(max_size=300), ending=st.sampled_from(["tsv", "csv", "jsonl"]))
def test_fuzz_data(tmp_path: Path, content: bytes, ending: str) -> None:
    """Random bytes as a data file never give anything but a UsageError."""
    path = write_task(tmp_path, ("train.tsv", f"train.{ending}"))
    (tmp_path / f"train.{ending}").write_bytes(content)
    with pytest.raises(UsageError):
        Task.from_toml(path)


DATAISH = st.sampled_from(["\t", "\n", '"', "\r", "\0", ",", "0", "é", "\u2028", "\ufeff", ""])


@IN_PLACE
@given(cuts=st.lists(st.tuples(st.integers(0, 200), st.integers(0, 9), DATAISH), max_size=4))
def test_fuzz_rows(tmp_path: Path, cuts: list[tuple[int, int, str]]) -> None:
    """A good file with characters cut and put in is read or refused, and nothing else."""
    text = rows(12)
    for place, length, new in cuts:
        text = text[:place] + new + text[place + length :]
    path = write_task(tmp_path)
    (tmp_path / "train.tsv").write_bytes(text.encode())
    try:
        task = Task.from_toml(path)
    except UsageError as error:
        assert str(tmp_path) in str(error)  # noqa: PT017  either way is right
    else:
        assert set(task.train.labels) == {0, 1}


def test_a_corpus_gives_the_candidates(tmp_path: Path) -> None:
    """With `prompt.corpus` the candidates are of that text and not of the training rows."""
    (tmp_path / "corpus.txt").write_text("plain harbour\n\nquiet harbour lights\n")
    task = Task.from_toml(write_task(tmp_path), overrides={"prompt.corpus": "corpus.txt"})
    assert set(task.vocabulary()) <= {"plain", "harbour", "quiet", "lights", "quiet harbour lights"}
    assert "harbour" in task.vocabulary()


def test_a_missing_corpus_is_named(tmp_path: Path) -> None:
    """A corpus that is not there is a DataError with its path."""
    task = Task.from_toml(write_task(tmp_path), overrides={"prompt.corpus": "nowhere.txt"})
    with pytest.raises(DataError, match=r"nowhere\.txt: cannot be read"):
        task.vocabulary()


def test_a_spelling_that_is_a_label_itself(tmp_path: Path) -> None:
    """It would have no effect, so it is refused; the label's own spelling does no harm."""
    path = write_task(tmp_path, (LABELS, f'{LABELS}\nvalues = {{ "0" = "0", "1" = "0" }}'))
    with pytest.raises(ConfigError, match="values: '1' is a label of its own"):
        Task.from_toml(path)


def test_what_a_value_means_can_be_told(tmp_path: Path) -> None:
    """The message about an unknown value says how, and that works."""
    path = write_task(tmp_path)
    (tmp_path / "train.tsv").write_text("text\tlabel\n" + "a\tyes\nb\t0\n" * 8)
    with pytest.raises(DataError, match=r"--set 'task\.values\.yes=\"LABEL\"'"):
        Task.from_toml(path)
    assert len(Task.from_toml(path, overrides={"task.values.yes": "1"}).train)
