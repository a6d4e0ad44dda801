"""How good predictions are: accuracy, F1, macro-F1 and Matthews correlation.

A prediction is a class index, or -1 for a text that got no answer, which is wrong under every
metric. All four are functions of the table of labels against predictions, so that `intervals` can
resample tables, thousands at a time, instead of examples. Definitions as in scikit-learn, 0 where
a ratio is 0/0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["METRICS", "Metric", "accuracy", "confusion", "f1", "macro_f1", "mcc"]

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Metric:
    """A named score; higher is better.

    Attributes:
        name: as in TASK.toml.
        of_tables: scores of confusion tables, (..., C, C + 1) to (...).
    """

    name: str
    of_tables: Callable[[Counts], Floats]

    def __call__(self, predictions: ArrayLike, labels: ArrayLike) -> float:
        """The score of (n,) predictions against (n,) labels; ValueError if n is 0."""
        return float(self.of_tables(confusion(predictions, labels)))


def confusion(predictions: ArrayLike, labels: ArrayLike, classes: int | None = None) -> Counts:
    """How often label i met prediction j, shape (C, C + 1); the last column counts no answer.

    Raises:
        ValueError: no examples, lengths that differ, or an index out of range.
    """
    answers = np.asarray(predictions, dtype=np.int64)
    truth = np.asarray(labels, dtype=np.int64)
    if answers.shape != truth.shape or answers.ndim != 1 or not answers.size:
        raise ValueError("a metric needs as many predictions as labels, and at least one")
    largest = int(max(answers.max(), truth.max()))
    size = largest + 1 if classes is None else classes
    if truth.min() < 0 or answers.min() < -1 or largest >= size:
        raise ValueError("labels must lie in 0..C-1, predictions in -1..C-1")
    column = np.where(answers < 0, size, answers)
    flat = np.bincount(truth * (size + 1) + column, minlength=size * (size + 1))
    return flat.reshape(size, size + 1).astype(np.int64)


def _accuracy(tables: Counts) -> Floats:
    return _ratio(_hits(tables).sum(axis=-1), tables.sum(axis=(-2, -1)))


def _f1_each(tables: Counts) -> tuple[Floats, NDArray[np.bool_]]:
    """F1 of each class, (..., C), and whether the class occurs: as a label or a prediction."""
    hits = _hits(tables)
    occurrences = tables.sum(axis=-1) + tables[..., :-1].sum(axis=-2)
    return _ratio(2 * hits, occurrences), occurrences > 0


def _f1(tables: Counts) -> Floats:
    """F1 of class 1; with a single class in the table it does not occur."""
    each, _ = _f1_each(tables)
    return each[..., 1] if each.shape[-1] > 1 else np.zeros(each.shape[:-1])


def _macro_f1(tables: Counts) -> Floats:
    each, occurs = _f1_each(tables)
    return _ratio(each.sum(axis=-1), occurs.sum(axis=-1))


def _mcc(tables: Counts) -> Floats:
    """R_K of Gorodkin (2004), eq. 8; no answer is a class that is never right."""
    counts = tables.astype(np.float64)
    total = counts.sum(axis=(-2, -1))
    truth, answers = counts.sum(axis=-1), counts.sum(axis=-2)
    shared = _hits(counts).sum(axis=-1) * total - (truth * answers[..., :-1]).sum(axis=-1)
    spread = (total**2 - (truth**2).sum(axis=-1)) * (total**2 - (answers**2).sum(axis=-1))
    return _ratio(shared, np.sqrt(spread))


def _hits(tables: NDArray[np.int64] | Floats) -> Floats:
    """Right answers of each class, (..., C): the diagonal."""
    return np.diagonal(tables, axis1=-2, axis2=-1).astype(np.float64)


def _ratio(part: ArrayLike, whole: ArrayLike) -> Floats:
    """part / whole, and 0 where whole is 0."""
    below = np.asarray(whole, dtype=np.float64)
    return np.asarray(np.where(below == 0, 0.0, part / np.where(below == 0, 1.0, below)))


accuracy: Final = Metric("accuracy", _accuracy)
"""Share of right answers."""

f1: Final = Metric("f1", _f1)
"""F1 of the positive class, which is index 1."""

macro_f1: Final = Metric("macro_f1", _macro_f1)
"""Mean F1 of the classes that occur among labels or predictions."""

mcc: Final = Metric("mcc", _mcc)
"""Matthews correlation, for any number of classes."""

METRICS: Final[Mapping[str, Metric]] = MappingProxyType(
    {metric.name: metric for metric in (accuracy, f1, macro_f1, mcc)}
)
"""Metrics by the name they have in TASK.toml."""
