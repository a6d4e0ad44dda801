"""The rules of `bdpl_async.classes`."""

from __future__ import annotations

import numpy as np

from bdpl_async.answers import Answers
from bdpl_async.classes import by_class


def answers(labels: list[int], predicted: list[int], classes: int) -> Answers:
    """Such as predict that; -1 is no answer."""
    rows = [
        np.full(classes, np.nan) if p < 0 else np.log(np.eye(classes)[p] + 0.1) for p in predicted
    ]
    return Answers(np.array(labels), np.array(rows))


def test_counts_and_shares() -> None:
    """Recall by the examples of a class, precision by what was taken for it, and both as F1."""
    found = answers([0, 0, 0, 1, 1], [0, 0, 1, 1, -1], 2)
    first, second = by_class(("no", "yes"), found)
    assert (first.value, first.n, first.right, first.predicted) == ("no", 3, 2, (2, 1, 0))
    assert (first.precision, first.recall, first.f1) == (1.0, 2 / 3, 0.8)
    assert (second.n, second.right, second.predicted) == (2, 1, (0, 1, 1))
    assert (second.precision, second.recall, second.f1) == (0.5, 0.5, 0.5)


def test_a_class_that_never_occurs_scores_nothing() -> None:
    """No share of nothing."""
    *_, absent = by_class(("a", "b", "c"), answers([0, 1], [0, 0], 3))
    assert (absent.n, absent.precision, absent.recall, absent.f1) == (0, 0.0, 0.0, 0.0)
    assert absent.predicted == (0, 0, 0, 0)
