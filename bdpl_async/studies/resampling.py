"""How sure means over seeds are, and differences between two arms: examples and seeds drawn anew.

Two things are left to chance, which examples were at hand and which seeds were drawn. Examples are
many, so they are resampled: with replacement for an interval, and for a p-value by exchanging the
two arms' answers to each example with the toss of a coin. Seeds are few, and resampling three of
them would make any interval too narrow; what they add to a mean follows Student's t with S - 1
degrees of freedom, its scale the standard error over the seeds. Where all seeds gave the same
answers, as for a fixed prompt, nothing is added, and what remains is the test of one pair.

A metric sees only how often each kind of example occurs (its label, and every seed's answers), so
counts of kinds are drawn, see `bdpl_async.intervals`. It knows nothing of arms or files.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bdpl_async.intervals import interval, mcnemar, paired_interval
from bdpl_async.metrics import METRICS

__all__ = ["Judged", "Verdict", "difference", "mean_interval", "scores"]

DRAWS: Final = 2000
TOSSES: Final = 4000
NOISES: Final = 10  # draws of what seeds add, for each draw of examples
LARGEST: Final = 4_000_000  # counts drawn at a time
SEED: Final = 0x5EED5
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Interval = tuple[float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """Answers of one arm beside the truth, a row per seed: both (S, n); an answer of -1 is none.

    Attributes:
        shared: whether column i is the same example for every seed.
    """

    labels: Ints
    answers: Ints
    shared: bool = True

    def first(self, count: int) -> Judged:
        """The same on the first `count` examples."""
        return Judged(self.labels[:, :count], self.answers[:, :count], self.shared)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A mean difference, its 95 % interval, and the p-value of there being none."""

    score: float
    ci95: Interval
    p_value: float


def scores(metric: str, judged: Judged) -> Floats:
    """(S,) the score of each seed."""
    pairs = zip(judged.answers, judged.labels, strict=True)
    return np.array([METRICS[metric](answers, labels) for answers, labels in pairs])


def mean_interval(metric: str, judged: Judged) -> tuple[float, Interval]:
    """The mean score over the seeds, and its 95 % interval.

    With one seed, or the same answers from all, it is the score's own.
    """
    rng = np.random.default_rng(SEED)
    each = scores(metric, judged)
    if _alike(judged):
        return float(each[0]), interval(metric, judged.answers[0], judged.labels[0], rng)
    drawn = np.concatenate([d[0] for d in _resampled(metric, [judged], rng, swap=False)])
    lowest = -1.0 if metric == "mcc" else 0.0
    return float(each.mean()), _percentiles(drawn, each, (lowest, 1.0), rng)


def difference(metric: str, first: Judged, second: Judged) -> Verdict:
    """What `first` scores above `second`, seed by seed on the same examples; the mean over seeds.

    The other way round it gives the same with the sign changed, exactly.

    Raises:
        ValueError: they are not of the same examples.
    """
    if not np.array_equal(first.labels, second.labels):
        raise ValueError("arms can be compared on the same examples only")
    if first.answers.tobytes() > second.answers.tobytes():
        found = difference(metric, second, first)
        low, high = found.ci95  # less from 0.0, of which there is no negative one
        return Verdict(0.0 - found.score, (0.0 - high, 0.0 - low), found.p_value)
    rng = np.random.default_rng(SEED)
    each = scores(metric, first) - scores(metric, second)
    if _alike(first) and _alike(second):
        sides = first.answers[0], second.answers[0], first.labels[0]
        ci95 = paired_interval(metric, *sides, rng)
        p_value = mcnemar(*sides) if metric == "accuracy" else _tossed(metric, first, second, each)
        return Verdict(float(each[0]), ci95, p_value)
    drawn = [a - b for a, b in _resampled(metric, [first, second], rng, swap=False)]
    widest = 2.0 if metric == "mcc" else 1.0
    ci95 = _percentiles(np.concatenate(drawn), each, (-widest, widest), rng)
    return Verdict(float(each.mean()), ci95, _tossed(metric, first, second, each))


def _alike(judged: Judged) -> bool:
    """Whether there is one seed, or none made a difference."""
    one = judged.shared and bool((judged.answers == judged.answers[:1]).all())
    return one or len(judged.answers) == 1


def _tossed(metric: str, first: Judged, second: Judged, each: Floats) -> float:
    """The two-sided p-value: how often answers exchanged at random differ by as much."""
    rng = np.random.default_rng(SEED + 1)
    tossed = [a - b for a, b in _resampled(metric, [first, second], rng, swap=True)]
    chance = np.concatenate(tossed) + _seeds_add(each, TOSSES, rng)
    as_much = int((np.abs(chance) >= abs(each.mean()) - 1e-12).sum())
    return (1 + as_much) / (1 + TOSSES)


def _seeds_add(each: Floats, draws: int, rng: np.random.Generator) -> Floats:
    """(draws,) what other seeds would add to the mean."""
    count = len(each)
    if count == 1 or not np.ptp(each):
        return np.zeros(draws)
    scale = float(each.std(ddof=1)) / count**0.5
    return np.asarray(scale * rng.standard_t(count - 1, size=draws))


def _percentiles(
    drawn: Floats, each: Floats, bounds: Interval, rng: np.random.Generator
) -> Interval:
    """The middle 95 % of drawn means and what seeds add, within bounds, around the actual mean."""
    noise = _seeds_add(each, NOISES * len(drawn), rng).reshape(-1, NOISES)
    low, high = np.quantile(np.clip(drawn[:, None] + noise, *bounds), (0.025, 0.975))
    actual = float(each.mean())
    return min(float(low), actual), max(float(high), actual)


def _resampled(
    metric: str, sides: list[Judged], rng: np.random.Generator, *, swap: bool
) -> Iterator[list[Floats]]:
    """Mean scores of each side over the seeds, (draws,) a side, of examples drawn anew.

    With `swap` the examples stay, and each goes with its answers to the other side or not.
    """
    labels, answers = sides[0].labels, np.stack([side.answers for side in sides])
    if sides[0].shared:
        blocks = [_Kinds.of(labels[:1], answers)]
    else:
        blocks = [_Kinds.of(labels[s : s + 1], answers[:, s : s + 1]) for s in range(len(labels))]
    seeds, left = len(labels), TOSSES if swap else DRAWS
    at_a_time = max(1, LARGEST // max(len(block.counts) for block in blocks))
    while left:
        draws = min(left, at_a_time)
        found = [block.scores(metric, draws, rng, swap=swap) for block in blocks]
        yield list(np.sum(found, axis=0) / seeds)
        left -= draws


@dataclass(frozen=True, slots=True, eq=False)
class _Kinds:
    """Examples by kind: labels (K,), answers (sides, S, K), and how often each occurs, (K,)."""

    labels: Ints
    answers: Ints
    counts: Ints
    classes: int

    @classmethod
    def of(cls, labels: Ints, answers: Ints) -> _Kinds:
        """The kinds among n examples; labels (1, n), answers (sides, S, n)."""
        columns = np.concatenate([labels, answers.reshape(-1, answers.shape[-1])])
        kinds, counts = np.unique(columns, axis=1, return_counts=True)
        answered = kinds[1:].reshape(*answers.shape[:2], -1)
        return cls(kinds[0], answered, counts, 1 + int(columns.max()))

    def scores(
        self, metric: str, draws: int, rng: np.random.Generator, *, swap: bool
    ) -> list[Floats]:
        """Scores of each side, summed over the seeds, (draws,) a side."""
        if swap:
            size = (draws, len(self.counts))
            gone = rng.binomial(self.counts, 0.5, size=size)
            weights = [self.counts - gone, gone]
        else:
            total = int(self.counts.sum())
            weights = [rng.multinomial(total, self.counts / total, size=draws)]
        seeds = range(self.answers.shape[1])
        summed = []
        for side in range(len(self.answers)):
            others = (side, 1 - side)[: len(weights)]
            tables = [
                sum(
                    self._tables(w, self.answers[o, s])
                    for w, o in zip(weights, others, strict=True)
                )
                for s in seeds
            ]
            each = [METRICS[metric].of_tables(np.asarray(table)) for table in tables]
            summed.append(np.sum(each, axis=0))
        return summed

    def _tables(self, weights: Ints, answers: Ints) -> Ints:
        """Confusion tables (draws, C, C + 1) of examples that count so often, (draws, K)."""
        size = self.classes
        cells = self.labels * (size + 1) + np.where(answers < 0, size, answers)
        hot = np.zeros((len(cells), size * (size + 1)))
        hot[np.arange(len(cells)), cells] = 1.0
        return (weights @ hot).astype(np.int64).reshape(len(weights), size, size + 1)
