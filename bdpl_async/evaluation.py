"""From a model's answers to numbers a person can trust: predictions, a metric, an interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bdpl_async.intervals import interval, mcnemar, paired_interval
from bdpl_async.metrics import METRICS
from bdpl_async.records import Score

__all__ = ["Evaluation", "Gain", "compare", "evaluate", "logprob_array", "predictions"]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One prompt on one split: the metric, its value, a 95 % interval, and on how many examples.

    `unanswered` of the `n` got no usable answer; they count as wrong.
    """

    metric: str
    score: float
    ci95: tuple[float, float]
    n: int
    unanswered: int = 0

    def _repr_html_(self) -> str:
        """For notebooks."""
        from bdpl_async.cards import evaluation_card

        return evaluation_card(self)


@dataclass(frozen=True, slots=True)
class Gain:
    """What one prompt scores above another on the same examples.

    `ci95` is the paired bootstrap interval of the difference; `p_value` is McNemar's, exact, for
    the hypothesis that both are equally often right.
    """

    score: float
    ci95: tuple[float, float]
    p_value: float

    def _repr_html_(self) -> str:
        """For notebooks."""
        from bdpl_async.cards import gain_card

        return gain_card(self)


def logprob_array(outcomes: Sequence[object], classes: int) -> NDArray[np.float64]:
    """(n, C) label log-probabilities; a text without a score is a row of NaN."""
    array = np.full((len(outcomes), classes), np.nan)
    for row, outcome in enumerate(outcomes):
        if isinstance(outcome, Score):
            array[row] = outcome.logprobs
    return array


def predictions(logprobs: NDArray[np.float64]) -> NDArray[np.int64]:
    """(n,) the likeliest label of each row; -1 where there is no answer, or all are at -inf."""
    answered = np.isfinite(logprobs.max(axis=1))  # at -inf: it said something, but no label
    return np.where(answered, np.argmax(np.nan_to_num(logprobs, nan=-np.inf), axis=1), -1)


def evaluate(
    metric: str, logprobs: NDArray[np.float64], labels: NDArray[np.int64], seed: int
) -> Evaluation:
    """Score one prompt; the same seed gives the same interval.

    Args:
        metric: a name of `METRICS`.
        logprobs: (n, C), NaN rows where the model gave no answer; those count as wrong.
        labels: (n,).
        seed: of the bootstrap.
    """
    predicted = predictions(logprobs)
    score = float(METRICS[metric](predicted, labels))
    low, high = interval(metric, predicted, labels, np.random.default_rng(seed))
    return Evaluation(metric, score, (low, high), len(labels), int((predicted < 0).sum()))


def compare(
    metric: str,
    logprobs: tuple[NDArray[np.float64], NDArray[np.float64]],
    labels: NDArray[np.int64],
    seed: int,
) -> Gain:
    """The first prompt's score less the second's; arguments as for `evaluate`."""
    first, second = map(predictions, logprobs)
    difference = METRICS[metric](first, labels) - METRICS[metric](second, labels)
    interval95 = paired_interval(metric, first, second, labels, np.random.default_rng(seed))
    return Gain(float(difference), interval95, mcnemar(first, second, labels))
