"""The search of a run: when it ends, and why."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bdpl_async.budget import Budget
from bdpl_async.config import Config
from bdpl_async.errors import ConfigError
from bdpl_async.learning import LEG
from bdpl_async.methods import LAG, PER_LAG, Method, make_method
from bdpl_async.methods.random_search import RandomSearch
from bdpl_async.records import Prompt, Reply, Request
from bdpl_async.run import Run
from bdpl_async.scorer import Capabilities, Scorer
from bdpl_async.task import Task
from bdpl_async.tuning import follow, tune
from bdpl_providers.simulated import Simulated
from tests.workbench import write_task


async def test_early_stopping_ends_a_search_in_which_nothing_moves(tmp_path: Path) -> None:
    """With a patience, as many updates with the same best prompt end it, and it says converged."""
    task = Task.from_toml(write_task(tmp_path), overrides={"optimizer.steps": 5000})
    result = await tune(task, Simulated(), patience=40)
    assert result.stop_reason == "converged"
    assert 40 < result.steps_done < 5000


async def test_nobody_stops_early_unasked(tmp_path: Path) -> None:
    """Without a patience all steps are taken, however long nothing has moved."""
    task = Task.from_toml(write_task(tmp_path), overrides={"optimizer.steps": 400})
    result = await tune(task, Simulated())
    assert (result.stop_reason, result.steps_done) == ("steps", 400)


async def test_a_method_of_ones_own_takes_the_place_of_the_configured_one(tmp_path: Path) -> None:
    """`Run.open` takes whatever makes a method, and tells it what `make_method` is told."""
    told: list[tuple[int, int]] = []

    def make(
        config: Config, vocabulary: tuple[str, ...], updates: int, start: Prompt | None
    ) -> Method:
        told.append((len(vocabulary), updates))
        chosen = config.optimizer.model_copy(update={"method": "random"})
        return make_method(
            config.model_copy(update={"optimizer": chosen}), vocabulary, updates, start
        )

    task = Task.from_toml(write_task(tmp_path))
    run = await Run.open(task, Simulated(), make=make)
    result = await follow(run, None, lambda event: None)
    assert result.steps_done == 2
    assert told[-1] == (len(task.vocabulary()), 2)
    assert "policy.json" not in run.documents()


class Scattered:
    """The simulated model far away, whose answers take a number of turns drawn by `seed`."""

    name = "test/scattered"
    capabilities = Capabilities()

    def __init__(self, seed: int) -> None:
        self._inner, self._chance = Simulated("far"), random.Random(seed)

    async def score(self, request: Request) -> Reply:
        for _ in range(self._chance.randrange(200)):
            await asyncio.sleep(0)
        return await self._inner.score(request)


@pytest.mark.parametrize("method", ["bdpl", "random"])
@pytest.mark.parametrize("lag", [0, 1, 4])
@pytest.mark.parametrize(
    "ends", [{"optimizer.steps": 23}, {"optimizer.steps": None, "budget.prompts": 333}]
)
async def test_the_order_of_answers_decides_nothing(
    tmp_path: Path, ends: dict[str, int | None], lag: int, method: str
) -> None:
    """However many updates are under way: the same losses, prompt and costs, bit for bit."""
    over = {**ends, "optimizer.lag": lag, "optimizer.method": method}
    task = Task.from_toml(write_task(tmp_path), overrides=over)
    results = [await tune(task, Scattered(seed)) for seed in range(3)]
    for result in results[1:]:
        assert (result.losses, result.prompt, result.dev) == (
            results[0].losses,
            results[0].prompt,
            results[0].dev,
        )
        assert result.usage.prompts == results[0].usage.prompts
    assert results[0].steps_done > 15


@pytest.mark.parametrize("lag", [0, 1, 3])
async def test_a_lag_is_how_many_updates_a_draw_has_not_heard_of(tmp_path: Path, lag: int) -> None:
    """Update t is drawn with all updates before t - lag told, and none after, but for new legs."""
    log: list[str] = []

    class Listening(RandomSearch):
        def ask(self, rng: np.random.Generator, count: int) -> list[Prompt]:
            log.append("ask")
            return super().ask(rng, count)

        def tell(self, losses: NDArray[np.float64]) -> float:
            log.append("tell")
            return super().tell(losses)

    def make(
        config: Config, vocabulary: tuple[str, ...], updates: int, start: Prompt | None
    ) -> Method:
        return Listening(config.prompt.length, vocabulary)

    over = {"optimizer.lag": lag, "optimizer.steps": LEG + 2}
    task = Task.from_toml(write_task(tmp_path), overrides=over)
    await follow(await Run.open(task, Scattered(0), make=make), None, lambda event: None)
    unheard = [log[:place].count("ask") - log[:place].count("tell") for place in range(len(log))]
    drawn = [count for count, what in zip(unheard, log, strict=True) if what == "ask"]
    leg = [*range(lag), *[lag] * (LEG - lag)]
    assert drawn == [*leg, *[min(lag, place) for place in range(2)]]


async def test_a_lag_is_for_models_elsewhere_and_methods_that_can(tmp_path: Path) -> None:
    """Only a long run has one of its own accord; greedy and the paper's never have."""
    toml = write_task(tmp_path)

    async def lag(scorer: Scorer, **over: str | int) -> int:
        overrides = {f"optimizer.{name}": value for name, value in over.items()}
        run = await Run.open(Task.from_toml(toml, overrides=overrides), scorer)
        return run._course.learning.lag

    assert await lag(Scattered(0), steps=1000) == LAG > 1
    assert await lag(Scattered(0), steps=PER_LAG) == 1
    assert await lag(Scattered(0), steps=PER_LAG - 1) == 0
    assert await lag(Simulated(), steps=1000) == 0
    assert await lag(Simulated(), lag=2) == 2
    for method in ("greedy", "bdpl-paper"):
        assert await lag(Scattered(0), method=method, steps=1000) == 0
        with pytest.raises(ConfigError, match=r"optimizer\.lag: the method"):
            await lag(Scattered(0), method=method, lag=1)


async def test_a_fixed_prompt_ends_by_itself(tmp_path: Path) -> None:
    """What searches nothing is not ended by a budget that would not have bought an update."""
    task = Task.from_toml(write_task(tmp_path), overrides={"prompt.manual": "please"})
    result = await tune(task, Simulated(), method="manual", budget=Budget(prompts=16))
    assert (result.stop_reason, result.steps_done, result.usage.prompts) == ("steps", 0, 16)
