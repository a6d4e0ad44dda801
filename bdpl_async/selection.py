"""Sequential halving: which of a few finalists is best, for a fraction of scoring all on all.

Every round scores the prompts still alive on more of the same examples and drops the worse half
(Karnin, Koren and Somekh 2013, with paired examples). Pure; the run does the scoring.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bdpl_async.records import Prompt

__all__ = ["Round", "evaluations", "halving", "luckiest", "paired_means", "survivors"]


@dataclass(frozen=True, slots=True)
class Round:
    """One round: so many prompts alive, each scored on the first `upto` examples by its end."""

    alive: int
    upto: int


def halving(finalists: int, examples: int, *, fewest: int = 16) -> list[Round]:
    """The rounds for so many finalists and dev examples.

    Args:
        finalists: prompts to choose from, at least 1.
        examples: dev examples, at least 1.
        fewest: no prompt is dropped on fewer examples than this, if there are as many.
    """
    alive = finalists
    upto = min(examples, max(fewest, -(-examples // finalists)))
    rounds = [Round(alive, upto)]
    while upto < examples:
        alive, upto = max(1, -(-alive // 2)), min(examples, 2 * upto)
        if alive == 1:
            upto = examples
        rounds.append(Round(alive, upto))
    return rounds


def evaluations(rounds: Sequence[Round]) -> list[int]:
    """New example evaluations that each round asks for."""
    before = [0, *(r.upto for r in rounds[:-1])]
    return [r.alive * (r.upto - done) for r, done in zip(rounds, before, strict=True)]


def paired_means(losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean loss of each prompt over the examples that all answered prompts share, (prompts,).

    A prompt with fewer than half as many answers as the best answered one is left out: its mean is
    NaN, and it takes no example away from the others. NaN for all if no example is shared.

    Args:
        losses: (prompts, examples); NaN where the model gave no answer.
    """
    answered = (~np.isnan(losses)).sum(axis=1)
    judged = 2 * answered >= max(1, answered.max(initial=0))
    means = np.full(len(losses), np.nan)
    shared = ~np.isnan(losses[judged]).any(axis=0)
    if judged.any() and shared.any():
        means[judged] = losses[judged][:, shared].mean(axis=1)
    return means


def survivors(losses: NDArray[np.float64], keep: int) -> list[int]:
    """The `keep` rows with the lowest `paired_means`, best first; ties go to the earlier row.

    Prompts without a mean come last; if none has one, the order stands.
    """
    means = np.nan_to_num(paired_means(losses), nan=np.inf)
    return [int(i) for i in np.argsort(means, kind="stable")[:keep]]


def luckiest(prompts: Sequence[Prompt], means: NDArray[np.float64]) -> dict[str, Any]:
    """The prompt with the least mean loss of an update."""
    if not np.isfinite(means).any():
        return {}
    place = int(np.nanargmin(means))
    return {"lowest": float(means[place]), "drawn": prompts[place].text}
