"""The search of a run: when it ends, and why."""

from __future__ import annotations

from pathlib import Path

from bdpl_async.budget import Budget
from bdpl_async.config import Config
from bdpl_async.methods import Method, make_method
from bdpl_async.records import Prompt
from bdpl_async.run import Run
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


async def test_a_fixed_prompt_ends_by_itself(tmp_path: Path) -> None:
    """What searches nothing is not ended by a budget that would not have bought an update."""
    task = Task.from_toml(write_task(tmp_path), overrides={"prompt.manual": "please"})
    result = await tune(task, Simulated(), method="manual", budget=Budget(prompts=16))
    assert (result.stop_reason, result.steps_done, result.usage.prompts) == ("steps", 0, 16)
