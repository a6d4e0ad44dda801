"""The rules of `bdpl_async.studies.transferring`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from bdpl_async.config import BudgetTable, Config, ModelTable
from bdpl_async.errors import BudgetTooSmall, ConfigError, DataError, ProviderRefused
from bdpl_async.halt import Stopped
from bdpl_async.kept import Kept, read_run
from bdpl_async.records import Reply, Request, Text
from bdpl_async.scorer import Capabilities, Scorer
from bdpl_async.session import Session
from bdpl_async.studies.transferring import (
    Column,
    Watcher,
    entries,
    for_model,
    same_task,
    split_of,
    transfer,
)
from bdpl_async.task import Task
from bdpl_async.tuning import tune
from bdpl_providers.simulated import Simulated
from tests.workbench import rows, write_task

TESTED = ('dev = "dev.tsv"', 'dev = "dev.tsv"\ntest = "test.tsv"')


def made(folder: Path, *changes: tuple[str, str], more: str = "") -> Path:
    """A task with a test split."""
    folder.mkdir(exist_ok=True)
    (folder / "test.tsv").write_text(rows(16, 200))
    return write_task(folder, TESTED, *changes, more=more)


@pytest.fixture
async def run(tmp_path: Path) -> Kept:
    task = Task.from_toml(made(tmp_path))
    await tune(task, Simulated("a"), out=tmp_path / "run")
    return read_run(tmp_path / "run")


@pytest.fixture
def task(tmp_path: Path) -> Task:
    return Task.from_toml(made(tmp_path))


class Refusing(Simulated):
    """A model that is not there."""

    async def score(self, request: Request) -> Reply:
        """Never."""
        raise ProviderRefused("not for you", fate="refused")


class Counted(Simulated):
    """Counts what it is sent."""

    sent = 0

    async def score(self, request: Request) -> Reply:
        """By the simulated truth."""
        Counted.sent += len(request.texts)
        return await super().score(request)


class Lasting(Simulated):
    """Its answers may be kept."""

    sent = 0

    async def score(self, request: Request) -> Reply:
        """By the simulated truth."""
        Lasting.sent += len(request.texts)
        return await super().score(request)

    def key(self, text: Text, labels: tuple[str, ...]) -> bytes:
        """All that an answer depends on."""
        return repr((self.model, text, labels)).encode()


MODELS = {"simulated": Simulated, "refusing": Refusing, "counted": Counted, "lasting": Lasting}


@asynccontextmanager
async def connect(config: Config) -> AsyncIterator[Scorer]:
    provider, _, name = config.model.name.partition("/")
    yield MODELS[provider](name)


def configs(task: Task, *names: str) -> list[Config]:
    return [for_model(task.config, ModelTable(name=name)) for name in names]


async def scored(
    task: Task, kept: Sequence[Kept], *names: str, manual: str | None = None
) -> list[Column]:
    return await transfer(task, entries(kept, manual), "test", configs(task, *names), connect)


async def test_every_prompt_meets_every_model(run: Kept, task: Task) -> None:
    """A column a model, a mark a prompt: learned, empty, manual; the own model is marked."""
    found = await scored(task, [run], "simulated/a", "simulated/b", manual="warm and kind")
    assert [column.model for column in found] == ["simulated/a", "simulated/b"]
    assert [[mark.here for mark in column.marks] for column in found] == [
        [True, False, False],
        [False, False, False],
    ]
    assert {mark.evaluation.n for column in found for mark in column.marks} == {16}
    assert [entry.role for entry in entries([run], "x")] == ["learned", "empty", "manual"]
    assert [entry.role for entry in entries([run], None)] == ["learned", "empty"]


async def test_its_own_model_gives_the_scores_of_the_run(run: Kept, task: Task) -> None:
    """Scored anew on the same examples: score, interval, gain and p-value are those of the run."""
    (column,) = await scored(task, [run], "simulated/a")
    learned, empty = column.marks
    assert learned.evaluation == run.result.test
    assert empty.evaluation == run.result.baseline.test
    assert (learned.gain, empty.gain) == (run.result.gain, None)


async def test_what_was_paid_for_is_free_the_second_time(
    run: Kept, task: Task, tmp_path: Path
) -> None:
    """Where answers can be kept, the cache answers and nothing is sent; the scores are the same."""
    cached = task.config.run.model_copy(update={"cache": str(tmp_path / "cache.db")})
    task = replace(task, config=task.config.model_copy(update={"run": cached}))
    Lasting.sent = 0
    first = await scored(task, [run], "lasting/a")
    assert (first[0].usage.prompts, Lasting.sent) == (32, 32)
    again = await scored(task, [run], "lasting/a")
    assert (again[0].usage.prompts, Lasting.sent) == (0, 32)
    assert again[0].marks == first[0].marks


async def test_a_budget_holds_for_each_model(run: Kept, task: Task) -> None:
    """Two prompts on 16 examples are 32 answers a model: 32 is enough for any number of models."""
    enough = task.config.model_copy(update={"budget": BudgetTable(prompts=32)})
    both = [for_model(enough, ModelTable(name=f"simulated/{name}")) for name in "ab"]
    found = await transfer(task, entries([run], None), "test", both, connect)
    assert [column.usage.prompts for column in found] == [32, 32]


async def test_a_budget_too_small_is_refused_before_anything_is_sent(run: Kept, task: Task) -> None:
    """Also where only the last model's does not hold what it takes; the message says how much."""
    Counted.sent = 0
    first, last = configs(task, "counted/a", "counted/b")
    last = last.model_copy(update={"budget": BudgetTable(prompts=31)})
    with pytest.raises(
        BudgetTooSmall, match=r"simulated/b: the budget of 31 prompts .* takes 32 prompts"
    ):
        await transfer(task, entries([run], None), "test", [first, last], connect)
    assert Counted.sent == 0


async def test_a_model_that_fails_leaves_the_others_standing(run: Kept, task: Task) -> None:
    """Its column holds the error and no marks."""
    failed, fine = await scored(task, [run], "refusing/a", "simulated/b")
    assert isinstance(failed.failure, ProviderRefused)
    assert failed.marks == ()
    assert (fine.failure, len(fine.marks)) == (None, 2)


async def test_a_halted_transfer_sends_nothing_more(run: Kept, task: Task) -> None:
    """Whoever holds the session can stop it, before the next model too."""

    def halt(session: Session) -> None:
        session.gate.halt()

    Counted.sent = 0
    asked = configs(task, "counted/a", "counted/b")
    with pytest.raises(Stopped):
        await transfer(task, entries([run], None), "test", asked, connect, Watcher(on_open=halt))
    assert Counted.sent == 0


async def test_the_cost_of_all_is_told_before_anything_is_sent(run: Kept, task: Task) -> None:
    """A line a model, in words."""
    told: list[tuple[str, int]] = []

    def tell(cost: str) -> None:
        told.append((cost, Counted.sent))

    Counted.sent = 0
    asked = configs(task, "counted/a", "counted/b")
    await transfer(task, entries([run], None), "test", asked, connect, Watcher(on_cost=tell))
    assert [sent for _, sent in told] == [0, 0]
    count = len(task.test)
    for model, (cost, _) in zip(("simulated/a", "simulated/b"), told, strict=True):
        assert f"2 prompts on {count} test examples by {model} takes at most {2 * count} " in cost


async def test_a_template_that_a_model_cannot_read_is_refused(tmp_path: Path) -> None:
    """A masked run's prompt behind the mask never reaches a causal model: nothing is sent."""
    behind = ("{prompt} {text} It was {mask}.", "{text} It was {mask}. {prompt}")
    task = Task.from_toml(made(tmp_path, behind))
    causal = Simulated("c")
    causal.capabilities = Capabilities(batch=64, local=True, causal=True)

    @asynccontextmanager
    async def reads_up_to_the_mask(config: Config) -> AsyncIterator[Scorer]:
        yield causal

    with pytest.raises(ConfigError, match=r"behind \{mask\}"):
        await transfer(
            task, entries([], None), "test", configs(task, "simulated/c"), reads_up_to_the_mask
        )


async def test_a_masked_prompt_can_be_read_by_a_causal_model(run: Kept, task: Task) -> None:
    """It is sent the text up to the mask, by the same label words."""
    seen: list[str] = []

    class Causal(Simulated):
        """Reads up to the mask."""

        async def score(self, request: Request) -> Reply:
            seen.extend(text.before for text in request.texts)
            assert request.labels == (" terrible", " great")
            return await super().score(request)

    @asynccontextmanager
    async def causal(config: Config) -> AsyncIterator[Scorer]:
        scorer = Causal("c")
        scorer.capabilities = Capabilities(batch=64, local=True, causal=True)
        yield scorer

    (column,) = await transfer(
        task, entries([run], None), "test", configs(task, "simulated/c"), causal
    )
    assert column.failure is None
    assert seen
    assert all(text.endswith("It was") for text in seen)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (('"1" = " great"', '"1" = " good"'), "label words"),
        (("{text} It was", "{text} All in all"), "templates"),
        (('label = "label"', 'label = "label"\nmetric = "mcc"'), "metrics"),
    ],
)
def test_prompts_of_different_tasks_are_refused(
    tmp_path: Path, task: Task, change: tuple[str, str], what: str
) -> None:
    """The message names the run and where it differs."""
    other = Task.from_toml(made(tmp_path / "other", change))
    with pytest.raises(ConfigError, match=f"second: another task than first: their {what} differ"):
        same_task([(Path("first"), task), (Path("second"), other)], "test")


def test_the_examples_must_be_the_same(tmp_path: Path, task: Task) -> None:
    """Other test rows are refused; other train and dev rows only where those are scored."""
    path = made(tmp_path / "other")
    (path.parent / "dev.tsv").write_text(rows(8, 300))
    pair = [(Path("first"), task), (Path("second"), Task.from_toml(path))]
    same_task(pair, "test")
    with pytest.raises(ConfigError, match="second: its dev examples are not those of first"):
        same_task(pair, "dev")


def test_a_split_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """The message says which there are."""
    bare = Task.from_toml(write_task(tmp_path))
    with pytest.raises(DataError) as refused:
        split_of(bare, "test")
    assert str(refused.value.hint) == "take --split train or dev"
    assert len(split_of(bare, "dev")) == 8


async def test_calibration_stays_with_the_run_that_learned_it(tmp_path: Path) -> None:
    """All models are scored as they answer, and the entry says that the run was calibrated."""
    task = Task.from_toml(made(tmp_path, ("samples = 4", 'samples = 4\ncalibration = "batch"')))
    await tune(task, Simulated("a"), out=tmp_path / "run")
    run = read_run(tmp_path / "run")
    (config,) = configs(task, "simulated/a")
    assert (config.optimizer.calibration, config.models) == ("none", [])
    assert entries([run], None)[0].calibrated
    (column,) = await scored(task, [run], "simulated/a")
    plain = await Session.open(task, Simulated("a"), config)
    expected = await plain.evaluate(entries([run], None)[0].prompt, task.test)
    assert column.marks[0].evaluation == expected
