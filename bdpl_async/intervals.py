"""How sure a score is: 95 % confidence intervals, paired differences, McNemar's exact test.

The bootstrap draws n examples with replacement. A metric sees only how often each combination of
label and prediction occurs, and those counts are multinomial: so tables are drawn, not examples,
which is the same distribution at a cost that does not grow with n.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bdpl_async.metrics import METRICS, accuracy, confusion

__all__ = ["interval", "mcnemar", "paired_interval", "wilson"]

RESAMPLES: Final = 2000
"""Bootstrap draws: the ends of the interval then vary by about a twentieth of its length."""

UNSEEN: Final = 2.0
"""Examples that an outcome of every kind shares where draws score alike, as after none but
right answers: about what Wilson's interval adds on either side."""

_Z: Final = 1.959963984540054
"""The standard normal's 97.5 % point."""

Interval = tuple[float, float]


def interval(
    metric_name: str, predictions: ArrayLike, labels: ArrayLike, rng: np.random.Generator
) -> Interval:
    """The 95 % interval of a score; it always holds the score itself.

    Wilson's for accuracy, the percentile bootstrap for the other metrics, smoothed where its
    draws score alike. ValueError on n = 0.
    """
    metric = METRICS[metric_name]
    table = confusion(predictions, labels)
    if metric is accuracy:
        return wilson(int(np.trace(table)), int(table.sum()))
    actual, shape = float(metric.of_tables(table)), (RESAMPLES, *table.shape)
    scores = metric.of_tables(_resample(table.ravel(), rng).reshape(shape))
    low, high = _percentiles(scores, actual)
    if low < high:
        return low, high
    draws = _resample(table.ravel(), rng, UNSEEN / table.size)  # no draw has what was not seen
    return _percentiles(metric.of_tables(draws.reshape(shape)), actual)


def paired_interval(
    metric_name: str,
    first: ArrayLike,
    second: ArrayLike,
    labels: ArrayLike,
    rng: np.random.Generator,
) -> Interval:
    """The 95 % bootstrap interval of score(first) - score(second) on the same examples.

    Both are scored on the same draws, so what makes an example easy for both cancels out.
    """
    metric = METRICS[metric_name]
    classes = 1 + int(max(np.max(np.asarray(side)) for side in (first, second, labels)))
    tables = [confusion(side, labels, classes) for side in (first, second)]
    triples = np.stack([np.asarray(side, dtype=np.int64) for side in (labels, first, second)])
    kinds, counts = np.unique(triples, axis=1, return_counts=True)
    draws = _resample(counts, rng)
    scores = [
        metric.of_tables(_tables_of(draws, kinds[0], answers, classes)) for answers in kinds[1:]
    ]
    actual = float(metric.of_tables(tables[0]) - metric.of_tables(tables[1]))
    return _percentiles(scores[0] - scores[1], actual)


def mcnemar(first: ArrayLike, second: ArrayLike, labels: ArrayLike) -> float:
    """The exact two-sided p-value that both are equally often right, from where just one is.

    Under that hypothesis the discordant examples fall like fair coins. It is 1 without any.
    """
    truth = np.asarray(labels)
    right, also = np.asarray(first) == truth, np.asarray(second) == truth
    fewer, more = sorted((int((right & ~also).sum()), int((also & ~right).sum())))
    tosses = fewer + more
    term, tail = 1, 1
    for heads in range(fewer):
        term = term * (tosses - heads) // (heads + 1)  # C(tosses, heads + 1), exactly
        tail += term
    return min(1.0, float(2 * tail / (1 << tosses)))


def wilson(right: int, n: int) -> Interval:
    """Wilson's score interval (1927) of the rate `right` / `n`.

    Unlike p +- 1.96 s it stays within 0..1, and has a width where all answers are right.
    """
    if not 0 <= right <= n or n == 0:
        raise ValueError(f"an interval needs at least one example, got {right} of {n}")
    rate, shrink = right / n, _Z * _Z / n
    middle = (rate + shrink / 2) / (1 + shrink)
    half = _Z * math.sqrt(rate * (1 - rate) / n + shrink / (4 * n)) / (1 + shrink)
    return max(0.0, min(middle - half, rate)), min(1.0, max(middle + half, rate))


def _resample(
    counts: NDArray[np.int64], rng: np.random.Generator, unseen: float = 0.0
) -> NDArray[np.int64]:
    """`RESAMPLES` draws of as many examples as were counted, (cells,) to (RESAMPLES, cells).

    Every cell's odds are its count and `unseen`.
    """
    odds = counts + unseen
    return rng.multinomial(int(counts.sum()), odds / odds.sum(), size=RESAMPLES)


def _tables_of(
    draws: NDArray[np.int64],
    labels: NDArray[np.int64],
    answers: NDArray[np.int64],
    classes: int,
) -> NDArray[np.int64]:
    """Confusion tables (draws, C, C + 1) of counts of (label, answer) kinds, (draws, kinds)."""
    tables = np.zeros((classes, classes + 1, len(draws)), dtype=np.int64)
    column = np.where(answers < 0, classes, answers)
    np.add.at(tables, (labels, column), draws.T)
    return np.moveaxis(tables, -1, 0)


def _percentiles(scores: NDArray[np.float64], actual: float) -> Interval:
    """The middle 95 % of `scores`, stretched where need be to hold the actual one."""
    low, high = np.quantile(scores, (0.025, 0.975))
    return min(float(low), actual), max(float(high), actual)
