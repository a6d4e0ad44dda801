"""Arms side by side: means over seeds, what each gains, and which differences are real.

Pure statistics: answers in, numbers out. Every arm has answered the same examples; where a budget
cut one short, all are judged on the examples that all have. A p-value is corrected by Holm's
method for all differences that are looked at, each counted once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bdpl_async.studies.resampling import Judged, difference, mean_interval

__all__ = ["BARE", "Comparison", "Contest", "Difference", "Mean", "compare_arms", "holm"]

BARE = "empty prompt"
LEVEL = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Contest:
    """One arm's answers: with the prompts it ended with, and with no prompt."""

    arm: str
    learned: Judged
    bare: Judged


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over seeds, its 95 % interval, and on how many examples (of each seed)."""

    mean: float
    ci95: tuple[float, float]
    n: int


@dataclass(frozen=True, slots=True)
class Difference:
    """What an arm scores above a reference, on the same examples.

    `p_value` is of there being no difference; `p_adjusted` is Holm's, over all differences of the
    comparison.
    """

    arm: str
    reference: str
    score: float
    ci95: tuple[float, float]
    p_value: float
    p_adjusted: float

    @property
    def real(self) -> bool:
        """Whether chance is a poor explanation, all that was compared considered."""
        return self.p_adjusted < LEVEL


@dataclass(frozen=True, slots=True)
class Comparison:
    """Means by arm, differences to the first arm, gains over the empty prompt; n examples each."""

    means: dict[str, Mean]
    differences: tuple[Difference, ...]
    gains: tuple[Difference, ...]
    n: int


def compare_arms(metric: str, contests: Sequence[Contest]) -> Comparison:
    """Means, differences and gains of arms, the first of which is the reference.

    Raises:
        ValueError: no arm, or arms that have not answered the same examples.
    """
    if not contests:
        raise ValueError("nothing to compare")
    count = min(c.learned.labels.shape[1] for c in contests)
    shared = [Contest(c.arm, c.learned.first(count), c.bare.first(count)) for c in contests]
    first, *others = shared
    means = {c.arm: Mean(*mean_interval(metric, c.learned), count) for c in shared}
    pairs = [(c.arm, first.arm, c.learned, first.learned) for c in others]
    pairs += [
        (c.arm, BARE, c.learned, c.bare)
        for c in shared
        if not np.array_equal(c.learned.answers, c.bare.answers)
    ]
    found = _corrected(metric, pairs)
    return Comparison(means, tuple(found[: len(others)]), tuple(found[len(others) :]), count)


def _corrected(metric: str, pairs: Sequence[tuple[str, str, Judged, Judged]]) -> list[Difference]:
    """The differences of (arm, reference, arm's, reference's answers), corrected together.

    The same two sets of answers are one question, however often they stand in the table.
    """
    verdicts = [difference(metric, arm, reference) for _, _, arm, reference in pairs]
    questions = [frozenset((a.answers.tobytes(), b.answers.tobytes())) for _, _, a, b in pairs]
    asked = {question: v.p_value for question, v in zip(questions, verdicts, strict=True)}
    adjusted = dict(zip(asked, holm(list(asked.values())), strict=True))
    return [
        Difference(arm, reference, v.score, v.ci95, v.p_value, adjusted[question])
        for (arm, reference, _, _), v, question in zip(pairs, verdicts, questions, strict=True)
    ]


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction (1979): the chance of any false find stays below the level."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, most = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(order):
        most = max(most, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = most
    return adjusted
