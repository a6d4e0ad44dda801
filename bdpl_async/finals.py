"""The end of a run: choose among the finalists on dev, score the winner once on test.

The dev score of a winner of several is too good on average, by as much as its rivals were close:
it was chosen for it. So a result says from how many it was chosen, and test, which no choice and no
calibration looks at, is the score to believe.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bdpl_async.answers import Answers
from bdpl_async.calibration import Offsets, calibrated
from bdpl_async.records import Prompt
from bdpl_async.selection import halving, survivors
from bdpl_async.session import Session

__all__ = ["Choice", "choose", "final"]


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """The winner.

    Attributes:
        answers: its own on dev, less its offsets.
        offsets: frozen, from dev or from texts without content; None without calibration.
        of: finalists that there were.
    """

    prompt: Prompt
    answers: Answers
    offsets: Offsets | None
    of: int


async def choose(session: Session, finalists: Sequence[Prompt], count: int) -> Choice:
    """The winner of sequential halving on the first `count` dev examples.

    Of equals the one that stands earlier among the finalists wins, in every round.
    """
    split, calibration = session.task.dev, session.calibration
    examples, labels = split.examples[:count], split.labels[:count]
    alive = np.arange(len(finalists))
    classes = len(session.task.words)
    free = np.zeros((len(alive), 0, classes))  # answers to texts without content
    scored = np.zeros((len(alive), 0, classes))
    rounds = halving(len(alive), len(examples))
    for number, stage in enumerate(rounds):
        rows = examples[scored.shape[1] : stage.upto]
        extra = () if number else calibration.extra
        prompts = [finalists[i] for i in alive.tolist()]
        answers = await session.logprobs(prompts, [*rows, *extra])
        scored = np.concatenate([scored, answers[:, : len(rows)]], axis=1)
        free = np.concatenate([free, answers[:, len(rows) :]], axis=1)
        offsets = calibration.offsets(scored, free)
        adjusted = scored if offsets is None else calibrated(scored, offsets[:, np.newaxis])
        keep = rounds[number + 1].alive if number + 1 < len(rounds) else 1
        earliest = np.argsort(alive)  # so that ties go to the better guess
        best = survivors(session.loss(adjusted[earliest], labels[: stage.upto]), keep)
        order = earliest[best]
        alive, scored, free = alive[order], scored[order], free[order]
    winner = calibration.frozen(None if offsets is None else offsets[order[0]])
    found = Answers(labels, adjusted[order[0]])
    return Choice(finalists[int(alive[0])], found, winner, len(finalists))


async def final(session: Session, choice: Choice, count: int) -> tuple[Answers, Answers]:
    """What the learned and the empty prompt got on the first `count` test examples.

    The learned prompt's answers are less its frozen offsets, the empty one's as they came. Where
    the empty prompt won, one ask scores both: the same money buys twice as many examples.
    """
    split = session.task.test
    if not choice.prompt.text:
        count = min(2 * count, len(split))
    examples, labels = split.examples[:count], split.labels[:count]
    learned = (await session.logprobs([choice.prompt], examples))[0]
    empty = (await session.logprobs([Prompt()], examples))[0]
    if choice.offsets is not None:
        learned = choice.offsets.applied(learned)
    return Answers(labels, learned), Answers(labels, empty)
