"""From a configuration to arms: the same examples for all, settings of their own, one run each."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from bdpl_async.config import Config
from bdpl_async.errors import BudgetTooSmall, ConfigError
from bdpl_async.kept import Kept
from bdpl_async.records import Reply, Request
from bdpl_async.scorer import Scorer
from bdpl_async.studies.arms import Arm, Wanted, plan_arms, rehearse
from bdpl_async.studies.sidebyside import SideBySide
from bdpl_async.task import Task
from bdpl_providers.simulated import Simulated
from tests.workbench import write_task

MODELS = """
[[models]]
name = "vllm/one"
base_url = "http://127.0.0.1:1/v1"
rpm = 7.0

[[models]]
name = "vllm/one"
readout = "text"

[[models]]
name = "simulated/two"
price_in = 1.0
price_out = 2.0
tokenizer = "words.json"
"""


class Connections:
    """Connects to the simulated model that a configuration names, and keeps what it was given."""

    def __init__(self) -> None:
        self.made: list[Config] = []
        self.requests = 0

    @asynccontextmanager
    async def __call__(self, config: Config) -> AsyncIterator[Scorer]:
        self.made.append(config)
        scorer = Simulated(config.model.name.partition("/")[2])
        answer = scorer.score

        async def counted(request: Request) -> Reply:
            self.requests += 1
            return await answer(request)

        scorer.score = counted  # type: ignore[method-assign]
        yield scorer


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A task with a manual prompt and two examples a class."""
    changes = (
        ("length = 3", 'length = 3\nmanual = "a film review:"'),
        ("labels =", "k_shot = 2\nlabels ="),
    )
    return write_task(tmp_path, *changes)


@pytest.fixture
def listed(path: Path) -> Path:
    """The same with [[models]]."""
    path.write_text(path.read_text() + MODELS)
    return path


USUAL = Wanted()


def planned(path: Path, wanted: Wanted = USUAL, **keys: str | float) -> tuple[Arm, ...]:
    overrides = {key.replace("__", "."): value for key, value in keys.items()}
    return plan_arms(path, overrides, wanted, path.parent / "out")


async def finished(arms: tuple[Arm, ...], connect: Connections) -> list[tuple[Arm, Kept]]:
    return [found async for found in SideBySide(arms, connect).runs()]


def test_without_a_method_the_usual_ones_compete(path: Path) -> None:
    """The file's method first, then random search, the manual prompt if there is one, the empty."""
    assert [arm.method for arm in planned(path)] == ["bdpl", "random", "manual", "empty"]
    paper = planned(path, optimizer__method="bdpl-paper")
    assert [arm.method for arm in paper] == ["bdpl-paper", "random", "manual", "empty"]
    path.write_text(path.read_text().replace('manual = "a film review:"', ""))
    assert [arm.method for arm in planned(path)] == ["bdpl", "random", "empty"]


def test_all_arms_of_a_seed_have_the_same_examples(path: Path) -> None:
    """Another seed draws other examples; another model or method does not."""
    arms = planned(path, Wanted(("simulated/a", "simulated/b"), ("bdpl", "empty"), (0, 1)))
    assert len(arms) == 4
    assert len({arm.name for arm in arms}) == 4
    for arm in arms:
        assert [cell.config.run.seed for cell in arm.cells] == [0, 1]
        assert [cell.task.data_sha256 for cell in arm.cells] == [
            Task.from_toml(path, seed=seed).data_sha256 for seed in (0, 1)
        ]
    assert arms[0].cells[0].task.data_sha256 != arms[0].cells[1].task.data_sha256


def test_every_run_has_a_folder_of_its_own(path: Path) -> None:
    """Names that look alike as folders are told apart, and none leaves the comparison's folder."""
    wanted = Wanted(("simulated/a-b", "simulated/a/b", "simulated/../../x"), ("bdpl",), (0, 1))
    folders = [cell.out for arm in planned(path, wanted) for cell in arm.cells]
    assert len(set(folders)) == 6
    assert {folder.parent for folder in folders} == {path.parent / "out"}


def test_a_folder_of_any_alphabet_is_short_enough(path: Path) -> None:
    """No file system takes a name of more than 255 bytes; names cut alike are still told apart."""
    wanted = Wanted(("simulated/" + "好" * 200, "simulated/x" + "好" * 200), ("bdpl",), (0,))
    names = [cell.out.name for arm in planned(path, wanted) for cell in arm.cells]
    assert len(set(names)) == 2
    assert max(len(name.encode()) for name in names) < 200


def test_an_arm_is_a_run_like_any_other(path: Path) -> None:
    """What its run.toml would say is one model, one method, one seed; and nothing of the view."""
    (arm,) = planned(
        path, Wanted(("simulated/a",), ("random",), (3,)), run__ui="none", run__out="x"
    )
    config = arm.cells[0].config
    assert (config.model.name, config.optimizer.method, config.run.seed) == (
        "simulated/a",
        "random",
        3,
    )
    assert config.models == []
    assert (config.run.out, config.run.ui) == (None, "auto")


def test_models_of_the_file(listed: Path) -> None:
    """[[models]] are the models, each with its settings; the command line's hold for all."""
    arms = planned(listed, Wanted(methods=("empty",)), model__timeout=9.0)
    assert [arm.model for arm in arms] == ["vllm/one", "vllm/one#2", "simulated/two"]
    first, second, third = (arm.cells[0].config.model for arm in arms)
    assert (first.rpm, first.base_url, first.readout) == (7.0, "http://127.0.0.1:1/v1", "auto")
    assert (second.rpm, second.readout) == (None, "text")
    assert (third.price_in, third.tokenizer) == (1.0, str(listed.parent / "words.json"))
    assert {model.timeout for model in (first, second, third)} == {9.0}


def test_models_of_the_command_line(listed: Path) -> None:
    """A model that is named has its settings from [[models]], or else those of [model]."""
    listed.write_text(listed.read_text().replace("[model]", "[model]\nrpm = 3.0"))
    names = ("simulated/two", "simulated/new", "simulated/two")
    arms = planned(listed, Wanted(names, ("empty",)))
    assert [arm.model for arm in arms] == ["simulated/two", "simulated/new"]
    two, new = (arm.cells[0].config.model for arm in arms)
    assert (two.price_in, two.rpm) == (1.0, None)
    assert (new.price_in, new.rpm) == (None, 3.0)


def test_an_unknown_method_is_refused(path: Path) -> None:
    """The message names the key and what it may be."""
    with pytest.raises(ConfigError, match="method"):
        planned(path, Wanted(methods=("bdpl", "nosuch")))


async def test_a_rehearsal_sends_nothing(path: Path) -> None:
    """One connection a model, no request."""
    connect = Connections()
    await rehearse(planned(path, Wanted(("simulated/a", "simulated/b"), (), (0, 1))), connect)
    assert [config.model.name for config in connect.made] == ["simulated/a", "simulated/b"]
    assert connect.requests == 0


@pytest.mark.parametrize(
    ("methods", "keys", "error"),
    [
        (("empty", "bdpl"), {"budget__prompts": 14}, BudgetTooSmall),
        (("empty", "manual"), {"prompt__manual": None}, ConfigError),
    ],
)
async def test_what_will_fail_is_refused_before_anything_runs(
    path: Path, methods: tuple[str, ...], keys: dict[str, int], error: type[Exception]
) -> None:
    """A later arm that its budget does not buy, or whose prompt is missing, stops all at once."""
    connect = Connections()
    await rehearse(planned(path, Wanted(methods=("empty",)), **keys), connect)
    with pytest.raises(error):
        await rehearse(planned(path, Wanted(methods=methods), **keys), connect)
    assert connect.requests == 0


async def test_a_missing_price_is_refused_before_anything_runs(listed: Path) -> None:
    """Under a budget in USD every model needs a price, the last one too."""

    @asynccontextmanager
    async def remote(config: Config) -> AsyncIterator[Scorer]:
        scorer = Simulated("x")
        scorer.capabilities = replace(scorer.capabilities, local=False)
        yield scorer

    arms = planned(listed, Wanted(("simulated/two",), ("empty",)), budget__usd=1)
    await rehearse(arms, remote)
    arms = planned(listed, Wanted(("simulated/two", "simulated/three"), ("empty",)), budget__usd=1)
    with pytest.raises(ConfigError, match="price"):
        await rehearse(arms, remote)


async def test_other_data_in_the_folder_is_refused(path: Path) -> None:
    """Where the examples have changed since, an arm's old run is no part of the comparison."""
    wanted = Wanted(("simulated/a",), ("empty",))
    await finished(planned(path, wanted), Connections())
    train = path.parent / "dev.tsv"
    train.write_text(train.read_text().replace(" and ", " beside "))
    with pytest.raises(ConfigError, match="other data"):
        await finished(planned(path, wanted), Connections())


@pytest.mark.parametrize("what", ["data", "settings", "answers"])
async def test_a_folder_in_the_way_is_refused_before_anything_runs(path: Path, what: str) -> None:
    """Whatever the last arm's folder holds instead of that arm's run, no other arm is run first."""
    await finished(planned(path, Wanted(methods=("empty",))), Connections())
    keys: dict[str, str | float] = {}
    if what == "data":
        file = path.parent / "dev.tsv"
        file.write_text(file.read_text().replace(" and ", " beside "))
    elif what == "settings":
        keys = {"model__timeout": 9.0}
    else:
        (file,) = path.parent.glob("out/*/answers.json")
        file.write_text(file.read_text().replace('"labels":[', '"labels":[7,', 1))
    arms = planned(path, Wanted(methods=("bdpl", "empty")), **keys)
    connect = Connections()
    with pytest.raises(ConfigError):
        await rehearse(arms, connect)
    assert connect.made == []
