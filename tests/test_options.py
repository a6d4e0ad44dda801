"""Every option of the contract exists, and is one key of TASK.toml."""

from __future__ import annotations

import re
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import fields
from pathlib import Path

import pytest

from bdpl_async.config import Config, load_config
from bdpl_async.errors import ConfigError
from bdpl_cli.commands import app
from bdpl_cli.options import KEYS, Options
from bdpl_providers import Connection
from bdpl_providers.simulated import Simulated
from tests.workbench import command, write_task

CONTRACT = (
    "model base-url api-key-env readout method max-requests max-prompts max-tokens max-usd"
    " max-seconds steps seed concurrency batch-prompts rpm tpm timeout price-in price-out cache"
    " data out ui yes"
)
VALUES: dict[str, tuple[str, object]] = {
    "--base-url": ("http://h/v1", "http://h/v1"),
    "--api-key-env": ("KEY", "KEY"),
    "--readout": ("chat", "chat"),
    "--method": ("random", "random"),
    "--max-requests": ("500", 500),
    "--max-prompts": ("5000", 5000),
    "--max-tokens": ("500000", 500_000),
    "--max-usd": ("0.5", 0.5),
    "--max-seconds": ("60", 60.0),
    "--steps": ("1", 1),
    "--seed": ("0", 0),
    "--concurrency": ("3", 3),
    "--batch-prompts": ("7", 7),
    "--timeout": ("1.5", 1.5),
    "--rpm": ("6000", 6000.0),
    "--tpm": ("1e6", 1e6),
    "--cache": ("none", "none"),
    "--ui": ("none", "none"),
}


@pytest.mark.parametrize("option", CONTRACT.split())
def test_help(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    """run --help lists each option of the contract with its TOML key."""
    _, *listed = command(capsys, "run", "--help").out.split("│ --")
    (told,) = [one for one in listed if one.startswith(f"{option} ")]
    assert f"[{KEYS[option.replace('-', '_')]}]" in told


def test_keys_exist() -> None:
    """Each option's key is a key of the configuration, and no two options share one."""
    known = {f"{table}.{key}" for table in Config.model_fields for key in keys_of(table)}
    assert set(KEYS.values()) <= known
    assert len(set(KEYS.values())) == len(KEYS)
    assert {field.name for field in fields(Options)} == {*KEYS, "set_"}


def keys_of(table: str) -> list[str]:
    annotation = Config.model_fields[table].annotation
    return list(getattr(annotation, "model_fields", ()))


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """What the provider is told; whatever that is, the simulated one answers."""
    heard: dict[str, object] = {}

    def connect(name: str, **options: object) -> AbstractAsyncContextManager[Simulated]:
        heard.update(options, name=name)
        return nullcontext(Simulated())

    monkeypatch.setattr("bdpl_cli.connecting.connect", connect)
    return heard


@pytest.mark.usefixtures("told")
@pytest.mark.parametrize("option", VALUES)
def test_lands(option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The value given stands under its key in run.toml, zeros included."""
    given, expected = VALUES[option]
    path = write_task(tmp_path)
    prices = ("--price-in", "0", "--price-out", "2.5")
    done = command(capsys, "run", path, "--out", tmp_path / "run", option, given, *prices)
    assert (done.code, done.err) == (0, "")
    config = load_config(tmp_path / "run" / "run.toml")
    table, _, key = KEYS[option.removeprefix("--").replace("-", "_")].partition(".")
    assert getattr(getattr(config, table), key) == expected
    assert (config.model.price_in, config.model.price_out) == (0.0, 2.5)


def test_the_provider_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], told: dict[str, object]
) -> None:
    """All that a connection can hold reaches the provider, from options and from the file."""
    chat = '[chat]\nsystem = "be brief"\nask = "Which?"\n'
    path = write_task(tmp_path, ("[model]", '[model]\ndevice = "cpu"\ndtype = "bf16"'), more=chat)
    expected: dict[str, tuple[str, object]] = {
        "model": ("some/model", "some/model"),
        "base_url": ("http://h/v1", "http://h/v1"),
        "api_key_env": ("KEY", "KEY"),
        "readout": ("chat", "chat"),
        "timeout": ("7", 7.0),
        "concurrency": ("3", 3),
        "batch_prompts": ("5", 5),
    }
    options = [
        part
        for name, (given, _) in expected.items()
        for part in (f"--{name.replace('_', '-')}", given)
    ]
    tokenizer = ("--set", "model.tokenizer=tokenizer.json")
    done = command(capsys, "eval", path, "--prompt", "", "--split", "dev", *options, *tokenizer)
    assert (done.code, done.err) == (0, "")
    known = {"name" if name == "model" else name: value for name, (_, value) in expected.items()}
    known |= {
        "device": "cpu",
        "dtype": "bf16",
        "workers": None,
        "system": "be brief",
        "ask": "Which?",
        "sends": True,
    }
    assert told == {**known, "tokenizer": str(Path("tokenizer.json").absolute())}
    assert {field.name for field in fields(Connection)} == {*told, "model"} - {"name"}


def test_none_given() -> None:
    """Options that are not given override nothing; --seed 0 and --yes are given."""
    assert Options().overrides() == {}
    assert Options(seed=0, yes=True).overrides() == {"run.seed": 0, "run.yes": True}


def test_option_beats_set() -> None:
    """A named option wins over --set; the last --set of a key wins over those before."""
    given = Options(seed=5, set_=("run.seed=1", "optimizer.batch=2", "optimizer.batch=3"))
    assert given.overrides() == {"run.seed": 5, "optimizer.batch": 3}


def test_set_is_checked() -> None:
    """A --set that is no assignment is refused."""
    with pytest.raises(ConfigError, match="--set seed"):
        Options(set_=("seed",)).overrides()


def test_paths_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path on the command line counts from where it is typed, not from the TASK.toml."""
    monkeypatch.chdir(tmp_path)
    given = Options(data="d", out="o", set_=("task.train=t.tsv", "prompt.vocabulary=v.txt"))
    assert given.overrides() == {
        "run.data": str(tmp_path / "d"),
        "run.out": str(tmp_path / "o"),
        "task.train": str(tmp_path / "t.tsv"),
        "prompt.vocabulary": str(tmp_path / "v.txt"),
    }
    assert Options(set_=("prompt.vocabulary=pmi",)).overrides() == {"prompt.vocabulary": "pmi"}


WHOLE = ["--seed", "--steps", "--max-prompts", "--concurrency"]


@pytest.mark.parametrize("option", WHOLE)
@pytest.mark.parametrize("value", ["1.5", "1.0", "1e3", "x", "", "true"])
def test_whole_numbers(option: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An option that counts takes whole numbers alone: 1.5 is refused, not rounded."""
    done = command(capsys, "run", f"{option}={value}")
    assert (done.code, done.out) == (2, "")
    assert f"Invalid value for {option}: {value!r} is no whole number" in done.err


def test_data_with_builtin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """--data beside a built-in task is a folder below the current one."""
    write_task(tmp_path)
    (tmp_path / "task.toml").unlink()
    monkeypatch.chdir(tmp_path.parent)
    done = command(
        capsys, "eval", "reviews", "--data", tmp_path.name, "--split", "train", "--prompt", "",
        "--model", "simulated/x",
    )  # fmt: skip
    assert (done.code, done.err) == (0, "")
    assert "n=12" in done.out


LISTED: list[tuple[str, str, str]] = [
    ("eval", "model seed data cache set", "out ui yes method steps seeds"),
    ("estimate", "model seed seeds method steps max-usd set", "out ui yes executor"),
    ("explain", "examples readout max-usd ui", "model out seed steps method yes"),
    ("transfer", "model out ui max-usd", "seed steps method yes"),
    ("vocab", "data seed out set", "model max-usd steps ui yes cache"),
    ("probe", "model data max-requests", "cache out ui yes method steps"),
    ("compare", "model method seeds out ui executor", "yes"),
    ("sweep", "method seeds out ui executor", "yes"),
    ("init", "label text out model yes", "steps set cache"),
]


@pytest.mark.parametrize(("name", "there", "absent"), LISTED)
def test_what_a_command_lists(
    name: str, there: str, absent: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A command lists the options that mean something to it, each once, and no others."""
    printed = command(capsys, name, "--help").out
    listed = [line.split()[1] for line in printed.splitlines() if line.startswith("│ --")]
    assert len(listed) == len(set(listed))
    assert {f"--{option}" for option in there.split()} <= set(listed)
    assert not {f"--{option}" for option in absent.split()} & set(listed)


BEHIND = {"transfer": "RUN_DIR", "explain": "RUN_DIR", "sweep": "SWEEP.toml"}


@pytest.mark.parametrize(
    "name", ["run", "eval", "compare", "estimate", "sweep", "transfer", "explain", "probe", "vocab"]
)
def test_each_command_understands_the_options_of_run(name: str) -> None:
    """Whatever stands behind `run` may stand behind each of them, also where it is not listed."""
    others = {"model": "simulated/x", "price-in": "1", "price-out": "1", "out": "x", "data": "x"}
    given = others | {option.strip("-"): value for option, (value, _) in VALUES.items()}
    options = [part for option in CONTRACT.split() for part in (f"--{option}", given.get(option))]
    words = [name, BEHIND.get(name, "reviews"), *(word for word in options if word is not None)]
    app.parse_args(words, exit_on_error=False, print_error=False)
    assert sum(word.startswith("--") for word in words) == 24


@pytest.mark.parametrize("name", ["eval", "vocab", "probe"])
def test_options_of_a_search_change_nothing_elsewhere(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A command that does not search takes the command line of a run, and says the same."""
    prompt = ("--prompt", "x", "--split", "dev", "--json") if name == "eval" else ()
    words = (name, write_task(tmp_path), *prompt)
    idle = ("--method", "random", "--steps", "7", "--ui", "none", "--yes", "--cache", "none")
    plain, busy = command(capsys, *words), command(capsys, *words, *idle)
    assert (busy.code, busy.err) == (0, "")
    seconds = re.compile(r'seconds": [0-9.e-]+')
    assert seconds.sub("", busy.out) == seconds.sub("", plain.out) != ""


@pytest.mark.parametrize("name", ["run", "compare"])
def test_estimate_takes_the_same(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command line of a run or a comparison can be estimated by changing its first word."""
    path = write_task(tmp_path)
    more = ("--executor", "local") if name == "compare" else ("--yes",)
    words = (path, "--out", tmp_path / "out", "--ui", "none", "--steps", "1", "--seed", "0", *more)
    assert command(capsys, "estimate", *words).code == 0
    assert not (tmp_path / "out").exists()
    assert command(capsys, name, *words).code == 0
