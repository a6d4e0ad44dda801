"""The end of a run: the best finalist wins on dev, both prompts are scored on the same test."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
import pytest

from bdpl_async.answers import Answers
from bdpl_async.calibration import Offsets, offsets_of
from bdpl_async.finals import Choice, choose, final
from bdpl_async.records import Prompt, Reply, Request, Score
from bdpl_async.scorer import Capabilities
from bdpl_async.session import Session
from bdpl_async.task import Task
from bdpl_providers.simulated import Simulated
from tests.workbench import write_task

WORTH = {"north": 6.0, "east": 3.0, "west": -3.0}


def listening() -> Simulated:
    """A model that listens as far as the prompt is worth it."""
    return Simulated(utility=lambda word: WORTH.get(word, 0.0), bias=-1.0)


def chosen(words: str, offsets: Offsets | None = None) -> Choice:
    """A winner whose dev answers do not matter."""
    return Choice(Prompt.of(words), Answers(np.zeros(0, np.int64), np.zeros((0, 2))), offsets, 1)


async def test_the_best_finalist_wins_wherever_it_stands(tmp_path: Path) -> None:
    """Sequential halving finds the prompt with the lowest loss, first or last in the list."""
    task = Task.from_toml(write_task(tmp_path))
    session = await Session.open(task, listening(), task.config)
    names = ["west", "east", "", "north", "idle words", "west west"]
    for turn in range(len(names)):
        finalists = [Prompt.of(name) for name in [*names[turn:], *names[:turn]]]
        choice = await choose(session, finalists, len(task.dev))
        found = choice.answers
        assert (choice.prompt, choice.offsets) == (Prompt.of("north"), None)
        assert choice.of == len(finalists)
        assert len(found.labels) == len(found.logprobs) == len(task.dev)


async def test_a_lone_finalist_is_scored_on_all_of_dev(tmp_path: Path) -> None:
    """Without a choice to make, the score is that of a plain evaluation."""
    task = Task.from_toml(write_task(tmp_path))
    session = await Session.open(task, listening(), task.config)
    choice = await choose(session, [Prompt.of("east")], len(task.dev))
    assert (choice.prompt, choice.of) == (Prompt.of("east"), 1)
    expected = await session.evaluate(choice.prompt, task.dev)
    assert session.measure(choice.answers) == expected


async def test_the_gain_is_the_difference_on_the_same_examples(tmp_path: Path) -> None:
    """Learned less empty, with an interval that holds it and a p-value."""
    path = write_task(tmp_path, ('dev = "dev.tsv"', 'dev = "dev.tsv"\ntest = "dev.tsv"'))
    task = Task.from_toml(path)
    session = await Session.open(task, listening(), task.config)
    learned, empty = await final(session, chosen("north"), len(task.test))
    gain = session.gain(learned, empty)
    assert gain.score == session.measure(learned).score - session.measure(empty).score
    assert gain.ci95[0] <= gain.score <= gain.ci95[1]
    assert 0 <= gain.p_value <= 1
    same, bare = await final(session, chosen(""), len(task.test))
    nothing = session.gain(same, bare)
    assert session.measure(same) == session.measure(bare)
    assert (nothing.score, nothing.p_value) == (0.0, 1.0)


class Mistaken:
    """Says a label word and no probabilities; a prompt's first word has mistakes of its own."""

    name = "mine/mistaken"
    capabilities = Capabilities(readout="text")

    def __init__(self, mistakes: Mapping[str, Collection[str]]) -> None:
        self.mistakes = mistakes

    async def score(self, request: Request) -> Reply:
        """The words before the mask are the prompt, "row", its number, and its truth."""
        said = [text.before.split() for text in request.texts]
        good = [(words[3] == "good") != (words[2] in self.mistakes[words[0]]) for words in said]
        return Reply([Score((-2.3, -0.1) if one else (-0.1, -2.3)) for one in good])


def numbered(folder: Path) -> Task:
    """A task with 64 dev rows that say their number and their truth."""
    rows = (f"row {n} {'good' if n % 2 else 'bad'}\t{n % 2}\n" for n in range(64))
    path = write_task(folder)
    (folder / "dev.tsv").write_text("text\tlabel\n" + "".join(rows))
    return Task.from_toml(path)


async def test_of_equals_the_better_guess_wins(tmp_path: Path) -> None:
    """With losses of 0 and 1 ties are the rule: the earlier finalist is kept in every round."""
    task, names = numbered(tmp_path), "abcdefgh"
    session = await Session.open(task, Mistaken(dict.fromkeys(names, ())), task.config)
    finalists = [Prompt.of(name) for name in names]
    assert (await choose(session, finalists, len(task.dev))).prompt == finalists[0]


async def test_a_lead_that_is_made_up_for_counts_no_more(tmp_path: Path) -> None:
    """Who led on the first examples has no advantage once both are equal on all so far."""
    task = numbered(tmp_path)
    order = [example.columns["text"].split()[1] for example in task.dev.examples]
    mistakes = {"first": order[:3], "next": order[20:23], "x": order[:16], "y": order[:16]}
    session = await Session.open(task, Mistaken(mistakes), task.config)
    finalists = [Prompt.of(name) for name in mistakes]
    assert (await choose(session, finalists, len(task.dev))).prompt == finalists[0]


@pytest.mark.parametrize("kind", ["contextual", "batch"])
async def test_offsets_are_the_winners_own_and_frozen(tmp_path: Path, kind: str) -> None:
    """By dev or by texts without content; test is scored less the same, and empty as it came."""
    changes = ('dev = "dev.tsv"', 'dev = "dev.tsv"\ntest = "train.tsv"')
    task = Task.from_toml(write_task(tmp_path, changes), overrides={"optimizer.calibration": kind})
    session = await Session.open(task, listening(), task.config)
    finalists = [Prompt.of(name) for name in ("west", "north", "east")]
    choice = await choose(session, finalists, len(task.dev))
    assert choice.offsets is not None
    free = session.calibration.extra
    rows = free if kind == "contextual" else task.dev.examples
    raw = await session.logprobs([choice.prompt], rows)
    assert choice.offsets == Offsets(kind, tuple(offsets_of(raw[0]).tolist()))
    answers, own = await session.calibrated(choice.prompt, task.dev)
    assert own == choice.offsets
    assert np.array_equal(answers.logprobs, choice.answers.logprobs)
    learned, empty = await final(session, choice, len(task.test))
    bare = await session.logprobs([choice.prompt, Prompt()], task.test.examples)
    assert np.array_equal(learned.logprobs, choice.offsets.applied(bare[0]))
    assert np.array_equal(empty.logprobs, bare[1])


async def test_where_nothing_beats_the_empty_prompt_test_is_larger(tmp_path: Path) -> None:
    """One ask scores both then, so that the same money buys twice the examples, if there are."""
    changes = ('dev = "dev.tsv"', 'dev = "dev.tsv"\ntest = "train.tsv"')
    task = Task.from_toml(write_task(tmp_path, changes))
    session = await Session.open(task, listening(), task.config)
    for words, count, expected in [("", 5, 10), ("", 7, 12), ("north", 5, 5)]:
        learned, empty = await final(session, chosen(words), count)
        assert len(learned.labels) == len(empty.labels) == expected
