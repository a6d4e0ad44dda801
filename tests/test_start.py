"""Where a search starts: around a given prompt, which is never lost unnoticed."""

from __future__ import annotations

from pathlib import Path

import pytest

from bdpl_async.budget import Budget
from bdpl_async.errors import ConfigError
from bdpl_async.kept import read_run
from bdpl_async.records import Prompt
from bdpl_async.start import candidates_with, starting_prompt
from bdpl_async.task import Task
from bdpl_async.tuning import tune
from bdpl_providers.simulated import Simulated
from tests.workbench import write_task

WORTH = {"north": 6.0, "wind": 4.0}


def listening() -> Simulated:
    """A model that wants two words which no training text holds."""
    return Simulated(utility=lambda word: WORTH.get(word, -0.5), bias=-1.0)


def load(folder: Path, **keys: str | int) -> Task:
    overrides = {key.replace("__", "."): value for key, value in keys.items()}
    return Task.from_toml(write_task(folder), overrides=overrides)


async def test_a_start_is_found_again_though_the_vocabulary_lacks_its_words(tmp_path: Path) -> None:
    """The start's tokens join the candidates, and a search from a good start keeps them."""
    result = await tune(load(tmp_path, prompt__start="north wind"), listening())
    assert {"north", "wind"} <= set(result.tokens)


async def test_a_start_that_nothing_betters_is_the_result(tmp_path: Path) -> None:
    """The start as it was written is among the finalists, however the search wandered."""
    scorer = Simulated(utility=lambda word: {"north": -0.5}.get(word, -3.0), bias=2.0)
    result = await tune(load(tmp_path, prompt__start="north", optimizer__steps=1), scorer)
    assert result.prompt == "north"


async def test_another_runs_prompt_is_a_start(tmp_path: Path) -> None:
    """A RUN_DIR gives its learned tokens, phrases whole."""
    await tune(load(tmp_path), listening(), out=tmp_path / "first")
    kept = read_run(tmp_path / "first")
    task = load(tmp_path, prompt__start_from=str(tmp_path / "first"))
    assert starting_prompt(task.config) == Prompt(kept.result.tokens)
    assert await tune(task, listening(), budget=Budget(prompts=200))


async def test_a_run_to_start_from_counts_from_the_task_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Like every file name in a TASK.toml; so a resumed run finds it from any folder."""
    await tune(load(tmp_path), listening(), out=tmp_path / "first")
    monkeypatch.chdir("/")
    task = load(tmp_path, prompt__start_from="first")
    assert task.config.prompt.start_from == str(tmp_path / "first")
    assert starting_prompt(task.config) is not None


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"prompt__start": "one two three four"}, "4 tokens, prompt.length is 3"),
        ({"prompt__start": "a", "prompt__start_from": "b"}, "not both"),
        ({"prompt__start": "a", "optimizer__method": "random"}, "does not start from a prompt"),
        ({"prompt__start": "   "}, "is empty"),
        ({"prompt__start_from": "nowhere"}, "prompt.start_from: .*nowhere: no such folder"),
        ({"prompt__start_from": "."}, "prompt.start_from: .*no run.*\n  give the folder of a fin"),
    ],
)
async def test_a_start_that_cannot_be_is_refused(
    tmp_path: Path, keys: dict[str, str | int], message: str
) -> None:
    """One clear error naming the key, and nothing is asked."""
    scorer = listening()
    with pytest.raises(ConfigError, match=message):
        await tune(load(tmp_path, **keys), scorer)


def test_candidates_keep_their_order_behind_the_start() -> None:
    """The start's tokens come first, none twice."""
    assert candidates_with(Prompt(("b", "x")), ("a", "b")) == ("b", "x", "a")
    assert candidates_with(None, ("a", "b")) == ("a", "b")
