"""The cells of a sweep: checked first, run one after another, each like a run of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

import bdpl_async as bdpl
from bdpl_async.config import Config
from bdpl_async.errors import BudgetTooSmall, ConfigError, DataError, ProviderRefused
from bdpl_async.events import Event, Step
from bdpl_async.records import Reply, Request
from bdpl_async.result import Result
from bdpl_async.scorer import Capabilities, Scorer
from bdpl_async.studies.grid import Sweep
from bdpl_async.studies.gridfile import read_sweep
from bdpl_async.studies.sweeping import OneModel, Row, Sweeping, Tasks
from bdpl_async.task import Task
from bdpl_providers import connect
from bdpl_providers.simulated import Simulated
from tests.workbench import Length, write_task

GRID = 'task = "task.toml"\n[grid]\n"prompt.length" = [2, 3]\n"run.seed" = [0, 1]\n'


class Connections:
    """Connects to the simulated model that the configuration names, and counts."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.open = 0
        self.requests = 0

    @asynccontextmanager
    async def __call__(self, config: Config) -> AsyncIterator[Scorer]:
        self.made.append(config.model.name)
        self.open += 1
        yield self.scorer(config)
        self.open -= 1

    def scorer(self, config: Config) -> Scorer:
        outer = self

        class Counted(Simulated):
            async def score(self, request: Request) -> Reply:
                outer.requests += 1
                return await super().score(request)

        return Counted(config.model.name.partition("/")[2])


class Servers(Connections):
    """Connects to something that is not in this process."""

    def scorer(self, config: Config) -> Scorer:
        return Length()


def make(folder: Path, text: str = GRID) -> Sweep:
    write_task(folder)
    path = folder / "s.toml"
    path.write_text(text)
    return read_sweep(path)


async def go(sweep: Sweep, out: Path, connect: Connections) -> tuple[list[Row], list[Row], bool]:
    """Rows that were there, rows that came, and whether all did."""
    rows: list[Row] = []
    async with Sweeping(sweep, out, connect) as sweeping:
        done = await sweeping.check()
        whole = await sweeping.run(rows.append)
    return done, rows, whole


def gist(result: Result) -> Result:
    """A result without what a clock has a say in."""
    return replace(result, usage=replace(result.usage, seconds=0.0), latency=type(result.latency)())


async def test_a_cell_is_what_a_lone_run_is(tmp_path: Path) -> None:
    """Prompt, losses, scores, usage: all that a run with the same settings gives, whatever ran
    on the same model before."""
    _, rows, whole = await go(make(tmp_path), tmp_path / "out", Connections())
    assert whole
    assert len(rows) == 4
    for row in rows:
        task = Task.from_toml(tmp_path / "task.toml", overrides=row.point.values)
        lone = await bdpl.tune(task, Simulated("x"))
        assert gist(row.result) == gist(lone)


async def test_a_cell_on_a_real_model_is_what_a_lone_run_is(tmp_path: Path) -> None:
    """The same on the model that ships with the package, kept open from cell to cell."""
    pytest.importorskip("torch")
    text = (
        'task = "reviews"\n[set]\n"optimizer.steps" = 1\n"optimizer.samples" = 2\n'
        '"task.k_shot" = 4\n"budget.prompts" = 60\n[grid]\n"optimizer.loss" = ["hinge", "ce"]\n'
    )
    sweep = make(tmp_path, text)
    made = []

    @asynccontextmanager
    async def counted(config: Config) -> AsyncIterator[Scorer]:
        made.append(config.model.name)
        async with connect(config.model.name) as scorer:
            yield scorer

    rows: list[Row] = []
    async with Sweeping(sweep, tmp_path / "out", counted) as sweeping:
        await sweeping.check()
        await sweeping.run(rows.append)
    assert made == ["roberta/builtin"]
    overrides = {**sweep.shared, **rows[1].point.values}
    async with connect("roberta/builtin") as scorer:
        lone = await bdpl.tune(Task.from_toml("reviews", overrides=overrides), scorer)
    assert gist(rows[1].result) == gist(lone)


async def test_finished_cells_are_not_run_again(tmp_path: Path) -> None:
    """The second time no model is asked anything, and the same rows are there."""
    sweep, first = make(tmp_path), Connections()
    _, rows, _ = await go(sweep, tmp_path / "out", first)
    second = Connections()
    done, new, whole = await go(sweep, tmp_path / "out", second)
    assert (new, whole, second.made) == ([], True, [])
    assert [row.result for row in done] == [row.result for row in rows]


async def test_models_change_rarely(tmp_path: Path) -> None:
    """A model in this process is opened once for all its cells, though the grid alternates."""
    text = (
        'task = "task.toml"\n[grid]\n"run.seed" = [0, 1]\n'
        '"model.name" = ["simulated/a", "simulated/b"]\n'
    )
    connections = Connections()
    _, rows, _ = await go(make(tmp_path, text), tmp_path / "out", connections)
    assert [row.result.model[-1] for row in rows] == ["a", "a", "b", "b"]
    assert connections.made == ["simulated/a", "simulated/b"] * 2  # once to check, once to run
    assert connections.open == 0


async def test_servers_are_connected_to_anew() -> None:
    """What a server taught one cell does not reach the next; a local model stays open."""
    config = Task.from_toml("reviews").config
    for connections, times in ((Servers(), 2), (Connections(), 1)):
        models = OneModel(connections)
        for _ in range(2):
            async with models(config):
                assert connections.open == 1
        await models.close()
        assert (len(connections.made), connections.open) == (times, 0)


@pytest.mark.parametrize(
    ("text", "error", "part"),
    [
        ('"optimizer.stepz" = [1]', ConfigError, "s.toml: .*optimizer.stepz = 1: unknown key"),
        ('"optimizer.lr" = [0.1, -1.0]', ConfigError, "s.toml: lr=-1.0: optimizer.lr = -1.0"),
        ('"task.k_shot" = [2, 50]', DataError, "s.toml: k_shot=50: .*train.tsv"),
        ('"budget.prompts" = [5000, 20]', BudgetTooSmall, "s.toml: prompts=20: .*too small"),
        ('"optimizer.method" = ["bdpl", "manual"]', ConfigError, "prompt.manual"),
    ],
)
async def test_every_cell_is_checked_before_the_first_one_runs(
    tmp_path: Path, text: str, error: type[Exception], part: str
) -> None:
    """One cell that cannot be run, and nothing is sent; the message says which one it is."""
    sweep = make(tmp_path, f'task = "task.toml"\n[grid]\n{text}\n')
    connections = Connections()
    with pytest.raises(error, match=part):
        await go(sweep, tmp_path / "out", connections)
    assert connections.requests == 0
    assert not (tmp_path / "out").exists()


async def test_a_task_with_several_models_is_refused(tmp_path: Path) -> None:
    """[[models]] are for a comparison; a cell has one."""
    sweep = make(tmp_path)
    write_task(tmp_path, more='[[models]]\nname = "simulated/y"\n')
    with pytest.raises(ConfigError, match="models: a cell of a sweep has one model"):
        await go(sweep, tmp_path / "out", Connections())


async def test_checking_asks_a_server_nothing(tmp_path: Path) -> None:
    """What is not in this process is not sent anything until all cells are known to be good."""
    length = Length()

    @asynccontextmanager
    async def server(config: Config) -> AsyncIterator[Scorer]:
        yield length

    async with Sweeping(make(tmp_path), tmp_path / "out", server) as sweeping:
        assert await sweeping.check() == []
    assert length.requests == 0


async def test_other_data_than_before_is_refused(tmp_path: Path) -> None:
    """Cells on different data are not put into one table."""
    sweep = make(tmp_path)
    await go(sweep, tmp_path / "out", Connections())
    (tmp_path / "dev.tsv").write_text((tmp_path / "dev.tsv").read_text().replace("and", "or"))
    with pytest.raises(ConfigError, match="other data"):
        await go(sweep, tmp_path / "out", Connections())


async def test_a_halted_sweep_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """The cell at hand is given up, those before it stay, and the end is the same."""
    sweep = make(tmp_path)
    _, whole, _ = await go(sweep, tmp_path / "whole", Connections())
    rows: list[Row] = []
    steps = 0

    def stop(event: Event) -> None:
        nonlocal steps
        steps += isinstance(event, Step)
        if steps == 3:  # in the second cell
            sweeping.halt()

    async with Sweeping(sweep, tmp_path / "out", Connections(), stop) as sweeping:
        await sweeping.check()
        assert not await sweeping.run(rows.append)
    assert len(rows) == 1
    done, rest, ended = await go(sweep, tmp_path / "out", Connections())
    assert ended
    assert [gist(row.result) for row in (*done, *rest)] == [gist(row.result) for row in whole]


async def test_halted_after_a_cell_no_other_begins(tmp_path: Path) -> None:
    """A signal that comes when a cell has just ended is not lost."""
    rows: list[Row] = []

    def stop(event: Event) -> None:
        if event.type == "finished":
            sweeping.halt()

    async with Sweeping(make(tmp_path), tmp_path / "out", Connections(), stop) as sweeping:
        await sweeping.check()
        assert not await sweeping.run(rows.append)
    assert len(rows) == 1


class Refusing(Simulated):
    """Answers for a while, then refuses for good."""

    def __init__(self) -> None:
        super().__init__("x")
        self.capabilities = Capabilities(batch=64)
        self.left = 8

    async def score(self, request: Request) -> Reply:
        self.left -= 1
        if self.left < 0:
            raise ProviderRefused("the key is worth nothing any more", fate="refused")
        return await super().score(request)


async def test_a_provider_that_refuses_ends_the_sweep(tmp_path: Path) -> None:
    """The error names the cell, and the finished ones stay."""
    refusing = Refusing()

    @asynccontextmanager
    async def server(config: Config) -> AsyncIterator[Scorer]:
        yield refusing

    rows: list[Row] = []
    async with Sweeping(make(tmp_path), tmp_path / "out", server) as sweeping:
        await sweeping.check()
        with pytest.raises(ProviderRefused, match=r"length=\d seed=\d: .*worth nothing"):
            await sweeping.run(rows.append)
    assert 1 <= len(rows) < 4


def test_tasks_share_data_and_nothing_else(tmp_path: Path) -> None:
    """A task on shared data is, to the last key, the one that a lone run loads."""
    text = (
        'task = "task.toml"\n[set]\n"run.cache" = "none"\n[grid]\n"run.seed" = [0, 1]\n'
        '"task.k_shot" = [2, 3]\n"prompt.length" = [2, 3]\n"budget.prompts" = [90, 95]\n'
    )
    sweep = make(tmp_path, text)
    tasks = Tasks(sweep)
    splits = set()
    for point in sweep.points:
        task = tasks.load(point)
        splits.add(id(task.train))
        overrides = {**sweep.shared, **point.values}
        assert task == Task.from_toml(tmp_path / "task.toml", overrides=overrides)
    assert len(splits) <= 4


def test_what_belongs_to_a_lone_run_is_left_out(tmp_path: Path) -> None:
    """`out` and `ui` of the task's file do not make another cell of it."""
    sweep = make(tmp_path)
    plain = [Tasks(sweep).load(point).config for point in sweep.points]
    write_task(tmp_path, more='[run]\nout = "x"\nui = "plain"\n')
    assert [Tasks(sweep).load(point).config for point in sweep.points] == plain
