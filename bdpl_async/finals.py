"""The end of a run: choose among the finalists on dev, score the winner once on test."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bdpl_async.answers import Answers
from bdpl_async.records import Prompt
from bdpl_async.selection import halving, survivors
from bdpl_async.session import Session

__all__ = ["choose", "final"]


async def choose(
    session: Session, finalists: Sequence[Prompt], count: int
) -> tuple[Prompt, Answers]:
    """The winner of sequential halving on the first `count` dev examples, and its answers there."""
    split = session.task.dev
    examples, labels = split.examples[:count], split.labels[:count]
    alive = list(finalists)
    scored = np.zeros((len(alive), 0, len(session.task.words)))
    rounds = halving(len(alive), len(examples))
    for number, stage in enumerate(rounds):
        answers = await session.logprobs(alive, examples[scored.shape[1] : stage.upto])
        scored = np.concatenate([scored, answers], axis=1)
        keep = rounds[number + 1].alive if number + 1 < len(rounds) else 1
        order = survivors(session.loss(scored, labels[: stage.upto]), keep)
        alive, scored = [alive[i] for i in order], scored[order]
    return alive[0], Answers(labels, scored[0])


async def final(session: Session, prompt: Prompt, count: int) -> tuple[Answers, Answers]:
    """What the learned and the empty prompt got on the first `count` test examples."""
    split = session.task.test
    examples, labels = split.examples[:count], split.labels[:count]
    learned = (await session.logprobs([prompt], examples))[0]
    empty = (await session.logprobs([Prompt()], examples))[0]
    return Answers(labels, learned), Answers(labels, empty)
