"""How well each class is told apart: the confusion table of some answers, row by row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bdpl_async.answers import Answers
from bdpl_async.metrics import confusion

__all__ = ["ClassScore", "by_class"]


@dataclass(frozen=True, slots=True)
class ClassScore:
    """One class; shares are fractions, 0 where they would be 0/0.

    Attributes:
        value: its data value.
        n: examples of it.
        right: of these, so many were recognised.
        precision: share of right ones among all that were taken for it.
        recall: share of right ones among its examples.
        predicted: how often its examples were taken for each class, in the order of the labels;
            the last number counts those without a usable answer.
    """

    value: str
    n: int
    right: int
    precision: float
    recall: float
    f1: float
    predicted: tuple[int, ...]


def by_class(values: Sequence[str], answers: Answers) -> tuple[ClassScore, ...]:
    """Every class, in the order of the labels.

    Args:
        values: the data values of the labels.
        answers: to at least one example.
    """
    table = confusion(answers.predictions, answers.labels, len(values))
    found = []
    for place, value in enumerate(values):
        n, right = int(table[place].sum()), int(table[place, place])
        taken = int(table[:, place].sum())
        found.append(
            ClassScore(
                value=value,
                n=n,
                right=right,
                precision=right / taken if taken else 0.0,
                recall=right / n if n else 0.0,
                f1=2 * right / (n + taken) if n + taken else 0.0,
                predicted=tuple(table[place].tolist()),
            )
        )
    return tuple(found)
