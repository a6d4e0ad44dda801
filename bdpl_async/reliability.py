"""Whether a model is as often right as it is sure: bins of confidence, and the calibration error.

Confidence is the likeliest label's probability among the label words. The bins hold about as many
examples each, since answers crowd where a model is sure, and examples of equal confidence stay
together; so the error is the one that is called adaptive, of Nixon et al. (2019).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from bdpl_async.answers import Answers
from bdpl_async.losses import log_softmax

__all__ = ["BINS", "Bin", "Reliability", "reliability_of"]

BINS: Final = 10
FEWEST: Final = 5  # examples that a bin is made for


@dataclass(frozen=True, slots=True)
class Bin:
    """Examples of about the same confidence.

    Attributes:
        confidence: the mean of theirs, 0 to 1.
        accuracy: share of them that are right.
        count: how many.
    """

    confidence: float
    accuracy: float
    count: int


@dataclass(frozen=True, slots=True)
class Reliability:
    """Bins from the least sure to the surest.

    Attributes:
        ece: expected calibration error, 0 to 1: how far accuracy lies from confidence, on average.
        n: examples with an answer.
    """

    bins: tuple[Bin, ...]
    ece: float
    n: int


def reliability_of(answers: Answers, bins: int = BINS) -> Reliability | None:
    """How reliable the probabilities of some answers are; None if there is no answer.

    Rows without an answer, and those that name no label at all, are left out.

    Args:
        answers: to n examples of C labels.
        bins: at most so many; fewer where examples are few.

    Raises:
        ValueError: `bins` is below 1.
    """
    if bins < 1:
        raise ValueError("a reliability diagram needs at least one bin")
    predicted = answers.predictions
    answered = predicted >= 0
    if not answered.any():
        return None
    logprobs = answers.logprobs[answered]
    sure = np.exp(log_softmax(logprobs).max(axis=1))
    right = (predicted == answers.labels)[answered]
    count = max(1, min(bins, len(sure) // FEWEST))
    edges = np.unique(np.quantile(sure, np.linspace(0, 1, count + 1)[1:-1], method="higher"))
    home = np.searchsorted(edges, sure, side="right")
    found = tuple(
        Bin(float(sure[mine].mean()), float(right[mine].mean()), int(mine.sum()))
        for mine in (home == place for place in range(len(edges) + 1))
        if mine.any()
    )
    error = sum(part.count * abs(part.accuracy - part.confidence) for part in found) / len(sure)
    return Reliability(found, float(error), len(sure))
