"""The end of a run: the best finalist wins on dev, both prompts are scored on the same test."""

from __future__ import annotations

from pathlib import Path

from bdpl_async.finals import choose, final
from bdpl_async.records import Prompt
from bdpl_async.session import Session
from bdpl_async.task import Task
from bdpl_providers.simulated import Simulated
from tests.workbench import write_task

WORTH = {"north": 6.0, "east": 3.0, "west": -3.0}


def listening() -> Simulated:
    """A model that listens as far as the prompt is worth it."""
    return Simulated(utility=lambda word: WORTH.get(word, 0.0), bias=-1.0)


async def test_the_best_finalist_wins_wherever_it_stands(tmp_path: Path) -> None:
    """Sequential halving finds the prompt with the lowest loss, first or last in the list."""
    task = Task.from_toml(write_task(tmp_path))
    session = await Session.open(task, listening(), task.config)
    names = ["west", "east", "", "north", "idle words", "west west"]
    for turn in range(len(names)):
        finalists = [Prompt.of(name) for name in [*names[turn:], *names[:turn]]]
        winner, found = await choose(session, finalists, len(task.dev))
        assert winner == Prompt.of("north")
        assert len(found.labels) == len(found.logprobs) == len(task.dev)


async def test_a_lone_finalist_is_scored_on_all_of_dev(tmp_path: Path) -> None:
    """Without a choice to make, the score is that of a plain evaluation."""
    task = Task.from_toml(write_task(tmp_path))
    session = await Session.open(task, listening(), task.config)
    winner, found = await choose(session, [Prompt.of("east")], len(task.dev))
    assert winner == Prompt.of("east")
    assert session.measure(found) == await session.evaluate(winner, task.dev)


async def test_the_gain_is_the_difference_on_the_same_examples(tmp_path: Path) -> None:
    """Learned less empty, with an interval that holds it and a p-value."""
    path = write_task(tmp_path, ('dev = "dev.tsv"', 'dev = "dev.tsv"\ntest = "dev.tsv"'))
    task = Task.from_toml(path)
    session = await Session.open(task, listening(), task.config)
    learned, empty = await final(session, Prompt.of("north"), len(task.test))
    gain = session.gain(learned, empty)
    assert gain.score == session.measure(learned).score - session.measure(empty).score
    assert gain.ci95[0] <= gain.score <= gain.ci95[1]
    assert 0 <= gain.p_value <= 1
    same, bare = await final(session, Prompt(), len(task.test))
    nothing = session.gain(same, bare)
    assert session.measure(same) == session.measure(bare)
    assert (nothing.score, nothing.p_value) == (0.0, 1.0)
