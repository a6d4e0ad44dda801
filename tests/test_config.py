"""TASK.toml and run.toml: what is read, what is refused, and how that is said."""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from bdpl_async.config import (
    Config,
    builtin_tasks,
    load_config,
    resolve_task,
)
from bdpl_async.errors import ConfigError
from bdpl_async.overrides import Value, parse_override
from tests.workbench import TASK, write_task

IN_PLACE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
WORD = st.text(min_size=1, max_size=20).filter(str.strip)
LABELS = st.dictionaries(WORD, WORD, min_size=2, max_size=4).filter(
    lambda labels: len({word.strip() for word in labels.values()}) == len(labels)
)
NUMBER = st.floats(min_value=1e-9, max_value=1e9)
COUNT = st.integers(1, 10**6)


def tables(**values: st.SearchStrategy[object]) -> st.SearchStrategy[dict[str, object]]:
    """A table in which any of the keys may be missing."""
    return st.fixed_dictionaries({}, optional=values)


PRICES = st.sampled_from([{}, {"price_in": 0.0, "price_out": 0.5}])
MODELS = st.builds(
    lambda table, price: {**table, **price}, tables(name=WORD, rpm=NUMBER, timeout=NUMBER), PRICES
)
CONFIGS = st.fixed_dictionaries(
    {
        "task": st.fixed_dictionaries(
            {
                "name": WORD,
                "train": WORD,
                "template": st.sampled_from(
                    ["{prompt} {text} {mask}", "{{é}} {a}{prompt}\n{mask}"]
                ),
                "labels": LABELS,
            },
            optional={
                "dev": WORD,
                "k_shot": COUNT,
                "causal": st.just("{prompt} {b} {mask}"),
                "protocol": st.sampled_from(["plain", "paper"]),
                "columns": st.just({"label": ["class"]}),
                "looks": st.just({}),
                "hub": tables(name=WORD, dev=WORD).map(lambda table: {"path": "x", **table}),
                "metric": st.sampled_from(["macro_f1", "mcc"]),
            },
        )
    },
    optional={
        "prompt": tables(length=st.integers(1, 1000), manual=st.text(), vocabulary=WORD),
        "optimizer": tables(samples=st.integers(2, 10_000), lr=NUMBER, loss=st.just("hinge")),
        "model": MODELS,
        "models": st.lists(tables(name=WORD, tpm=NUMBER), max_size=2),
        "budget": tables(requests=COUNT, usd=NUMBER, seconds=NUMBER),
        "run": tables(seed=st.integers(0, 2**63 - 1), out=WORD, yes=st.booleans()),
        "chat": tables(system=st.text(), ask=st.text()),
    },
)


@IN_PLACE
@given(found=CONFIGS)
def test_round_trip(tmp_path: Path, found: Mapping[str, object]) -> None:
    """What to_toml writes, load_config reads back as the same configuration."""
    config = Config.check(found, source="here")
    path = tmp_path / "run.toml"
    path.write_text(config.to_toml(), encoding="utf-8")
    assert load_config(path) == config


def test_frozen(tmp_path: Path) -> None:
    """A configuration cannot be changed after it was checked."""
    config = load_config(write_task(tmp_path))
    with pytest.raises(ValidationError):
        config.run.seed = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    "change", [lambda text: "\ufeff" + text, lambda t: t.replace("\n", "\r\n")]
)
def test_editors(tmp_path: Path, change: Callable[[str], str]) -> None:
    """A byte order mark and Windows line ends change nothing."""
    path = tmp_path / "task.toml"
    path.write_bytes(TASK.encode())
    plain = load_config(path)
    path.write_bytes(change(TASK).encode())
    assert load_config(path) == plain


PLACES = [
    ('label = "label"', "k_shot = 0", "5: task.k_shot: ", "greater than or equal to 1"),
    ("samples = 4", "samples = 1", "14: optimizer.samples: ", "greater than or equal to 2"),
    ("samples = 4", "smaples = 4", "14: optimizer.smaples: ", "did you mean 'samples'"),
    ("length = 3", "length = 0", "10: prompt.length: ", "greater than or equal to 1"),
    ("[optimizer]", "[optimiser]", "13: optimiser: ", "did you mean 'optimizer'"),
    ('name = "tiny"', "", "1: task.name: ", "is needed and missing"),
    ('name = "tiny"', "name = 7", "2: task.name: ", "must be text"),
    ('"train.tsv"', '""', "3: task.train: ", "must not be empty"),
    ("{prompt} ", "", "6: task.template: ", "has no {prompt}"),
    ("{mask}", "", "6: task.template: ", "has no {mask}"),
    ("It was", "It } was", "6: task.template: ", "stray }"),
    ('{ "0" = " terrible", "1" = " great" }', "3", "7: task.labels: ", "must be a table"),
    ('train = "train.tsv"', "", "1: task.train: ", "is needed and missing"),
    ('label = "label"', 'causal = "{prompt} {mask}"', "5: task.causal: ", "uses no column"),
    ('label = "label"', 'looks.text = "(a+)+"', "1: task.looks: ", "'text': only lookaheads"),
    ('label = "label"', 'looks.txt = "a"', "1: task: ", "looks names 'txt'; there are: 'text'"),
    ('label = "label"', 'columns.txt = ["a"]', "1: task: ", "there are: 'text', 'label'"),
    ('label = "label"', "columns.text = []", "5: task.columns.text: ", "must not be empty"),
    ('label = "label"', 'values.bad = "2"', "1: task: ", "names '2'; there are: '0', '1'"),
    ('label = "label"', 'files.tain = ["a"]', "1: task: ", "there are: 'train', 'dev', 'test'"),
    ('label = "label"', 'hub = { path = "x", pth = "a" }', "5: task.hub.pth: ", "mean 'path'"),
    ('label = "label"', 'protocol = "papr"', "5: task.protocol: ", "input should be 'plain'"),
    (', "1" = " great"', "", "7: task.labels: ", "at least two"),
    ('" great"', '" "', "7: task.labels: ", "label word of '1' is empty"),
    ('" great"', '"terrible "', "7: task.labels: ", "'0' and '1' share the label word"),
    ('" great"', "1", "7: task.labels.1: ", "must be text"),
]


@pytest.mark.parametrize(("old", "new", "place", "problem"), PLACES)
def test_place(tmp_path: Path, old: str, new: str, place: str, problem: str) -> None:
    """An error names file, line and key, and says what is the matter."""
    path = write_task(tmp_path, (old, new))
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    first = str(caught.value).splitlines()[0]
    number, _, key = place.partition(": ")
    assert first.startswith(f"{path}:{number}: {key}")
    assert problem in str(caught.value)


def test_line_of_label_table(tmp_path: Path) -> None:
    """A key in a table of its own, [task.labels], is found on its own line."""
    change = ('labels = { "0" = " terrible", "1" = " great" }', '[task.labels]\n0 = " bad"\n1 = 5')
    path = write_task(tmp_path, change)
    with pytest.raises(ConfigError, match=r"task\.toml:9: task\.labels\.1: must be text"):
        load_config(path)


def test_several_problems(tmp_path: Path) -> None:
    """Several problems are told at once, four lines at most."""
    path = tmp_path / "task.toml"
    path.write_text("[prompt]\n" + "".join(f"key{i} = 1\n" for i in range(20)))
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert len(str(caught.value).splitlines()) == 4


@pytest.mark.parametrize("key", ["k" * 100_000, "\\u001b[31m", "a b", ""])
def test_strange_key(tmp_path: Path, key: str) -> None:
    """A key that is long or holds control characters is quoted, escaped and cut in the message."""
    path = write_task(tmp_path, more=f'[chat]\n"{key}" = 1\n')
    with pytest.raises(ConfigError, match="unknown key") as caught:
        load_config(path)
    message = str(caught.value)
    assert len(message) < len(str(path)) + 300
    assert message.isprintable()


NUMBERS = [
    ("optimizer", "samples", "true"),
    ("optimizer", "samples", "4.0"),
    ("optimizer", "samples", '"4"'),
    ("optimizer", "lr", "nan"),
    ("optimizer", "lr", "inf"),
    ("optimizer", "lr", "true"),
    ("optimizer", "lr", "-0.1"),
    ("optimizer", "lr", "1" + "0" * 400),
    ("budget", "requests", "0"),
    ("budget", "requests", "1.5"),
    ("budget", "prompts", "-1"),
    ("budget", "usd", "nan"),
    ("budget", "seconds", "inf"),
    ("budget", "usd", "0.0"),
    ("run", "seed", "-1"),
    ("run", "seed", "9223372036854775808"),
    ("model", "concurrency", "0"),
    ("model", "timeout", "0"),
    ("model", "price_in", "-1"),
    ("model", "rpm", "0"),
    ("model", "tpm", "-5.0"),
    ("model", "attempts", "0"),
    ("prompt", "vocabulary_size", "1"),
]


@pytest.mark.parametrize(("table", "key", "value"), NUMBERS)
def test_numbers(tmp_path: Path, table: str, key: str, value: str) -> None:
    """A number out of range, not finite, or of another type is refused by its key."""
    path = tmp_path / "task.toml"
    path.write_text(f"[{table}]\n{key} = {value}\n" + TASK.replace(f"[{table}]", "[chat]"))
    with pytest.raises(ConfigError, match=rf"task\.toml:2: {table}\.{key}: "):
        load_config(path)


@pytest.mark.parametrize("one", ["price_in", "price_out"])
def test_half_a_price(tmp_path: Path, one: str) -> None:
    """A price for one direction alone would bill the other at nothing, so it is refused."""
    path = write_task(tmp_path, ("[model]", f"[model]\n{one} = 0.5"))
    with pytest.raises(ConfigError, match=r"task\.toml:18: model: price_in and price_out go tog"):
        load_config(path)


@pytest.mark.parametrize(
    "text",
    [
        "x" * 500_000,
        "a = " + "[" * 100_000,
        "a = " + "1" * 5000,
        "a = 1\na = 2",
        "[a]\n[a]",
        "=",
        '"',
    ],
)
def test_no_toml(tmp_path: Path, text: str) -> None:
    """What is no TOML, however it is broken, is one short ConfigError."""
    path = tmp_path / "task.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match="not TOML") as caught:
        load_config(path)
    assert len(str(caught.value)) < len(str(path)) + 300


def test_endless_file() -> None:
    """A file without an end is refused, not read."""
    with pytest.raises(ConfigError, match="larger than"):
        load_config(Path("/dev/zero"))


@IN_PLACE
@given(content=st.binary(max_size=400))
def test_fuzz_bytes(tmp_path: Path, content: bytes) -> None:
    """Random bytes as a TASK.toml never give anything but a ConfigError."""
    path = tmp_path / "task.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError):
        load_config(path)


TOMLISH = st.sampled_from(
    [*string.punctuation, "\n", "true", "nan", "[[", "1e999", '"""', "é", "="]
)


@IN_PLACE
@given(cuts=st.lists(st.tuples(st.integers(0, len(TASK)), st.integers(0, 9), TOMLISH), max_size=4))
def test_fuzz_mutations(tmp_path: Path, cuts: list[tuple[int, int, str]]) -> None:
    """A good file with characters cut and put in is read or refused, and nothing else."""
    text = TASK
    for place, length, new in cuts:
        text = text[:place] + new + text[place + length :]
    path = tmp_path / "task.toml"
    path.write_text(text, encoding="utf-8")
    try:
        config = load_config(path)
    except ConfigError as error:
        assert len(str(error).splitlines()) <= 8  # noqa: PT017  either way is right
    else:
        assert len(config.task.labels) >= 2


OVERRIDES: list[tuple[str, tuple[str, Value]]] = [
    ("optimizer.samples=20", ("optimizer.samples", 20)),
    ("optimizer.lr=0.5", ("optimizer.lr", 0.5)),
    ("run.yes=true", ("run.yes", True)),
    ("prompt.manual=say: yes = good", ("prompt.manual", "say: yes = good")),
    ('prompt.manual="2024"', ("prompt.manual", "2024")),
    ("prompt.manual=2024-01-01", ("prompt.manual", "2024-01-01")),
    ("prompt.manual=1\nx=2", ("prompt.manual", "1\nx=2")),
    ("prompt.manual=", ("prompt.manual", "")),
    ("prompt.manual=# no comment", ("prompt.manual", "# no comment")),
    ("prompt.manual=[broken", ("prompt.manual", "[broken")),
    ('prompt.manual="half', ("prompt.manual", '"half')),
    ("prompt.manual=" + "[" * 100_000, ("prompt.manual", "[" * 100_000)),
    (" prompt.manual = x", ("prompt.manual", " x")),
    ("task.labels.0= bad", ("task.labels.0", " bad")),
]


@pytest.mark.parametrize(("assignment", "expected"), OVERRIDES)
def test_override(assignment: str, expected: tuple[str, Value]) -> None:
    """--set takes a TOML value, and as text what is none, line breaks and all."""
    assert parse_override(assignment) == expected


@pytest.mark.parametrize(
    "text", ["x", "=", "x=1", ".x=1", "a.=1", "a b.c=1", "run.seed", "a.b=[1]"]
)
def test_override_refused(text: str) -> None:
    """--set without a dotted key, an equals sign or a single value is refused and named."""
    with pytest.raises(ConfigError, match="--set"):
        parse_override(text)


def test_override_named(tmp_path: Path) -> None:
    """A bad override names itself and its value, not the file, also in an unknown table."""
    path = write_task(tmp_path)
    with pytest.raises(ConfigError, match=r"^optimizer\.samples = 1: "):
        load_config(path, {"optimizer.samples": 1})
    with pytest.raises(ConfigError, match=r"^nosuch\.key = 1: unknown key"):
        load_config(path, {"nosuch.key": 1})
    with pytest.raises(ConfigError, match=r"task\.name is not a table"):
        load_config(path, {"task.name.x": 1})


def test_override_wins(tmp_path: Path) -> None:
    """An override replaces the file's value; None takes the key out."""
    path = write_task(tmp_path)
    config = load_config(path, {"optimizer.samples": 9, "optimizer.steps": None, "run.seed": 0})
    assert (config.optimizer.samples, config.optimizer.steps, config.run.seed) == (9, None, 0)


def test_resolve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """TASK is a path or a built-in name; a folder of that name does not hide the task."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reviews").mkdir()
    assert resolve_task("reviews") == builtin_tasks()["reviews"]
    assert resolve_task("other.toml") == Path("other.toml")


@pytest.mark.parametrize("name", ["revews", "x" * 5000, "a\0b", ""])
def test_resolve_unknown(name: str) -> None:
    """A name that is neither a file nor built in is refused with the names there are."""
    with pytest.raises(ConfigError, match=r"built in: reviews"):
        load_config(resolve_task(name))


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet", "CSV"])
def test_a_data_file_is_no_task(tmp_path: Path, ending: str) -> None:
    """Given as TASK, it is told what makes a task of it; the command can be copied."""
    file = tmp_path / f"my tickets.{ending}"
    file.write_bytes(b"text,label\n\xff,1\n")
    with pytest.raises(ConfigError) as caught:
        load_config(resolve_task(str(file)))
    said = str(caught.value)
    assert said.startswith(f"{file} holds data")
    assert f"make a task of it: bdpl-async init '{file}'" in said
    with pytest.raises(ConfigError, match="neither a file nor a built-in task"):
        resolve_task(f"{tmp_path}/none.{ending}")
