"""What a model answered to one prompt on the examples of a split, beside the truth.

Kept in RUN_DIR as answers.json, so that arms are compared, examples that flipped are listed and
classes counted without asking again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bdpl_async.evaluation import predictions

__all__ = ["Answers", "answers_document"]

SCHEMA = 1


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """Label log-probabilities (n, C), a row of NaN where there was none, and labels (n,)."""

    labels: NDArray[np.int64]
    logprobs: NDArray[np.float64]

    @property
    def predictions(self) -> NDArray[np.int64]:
        """(n,) the likeliest label of each row; -1 without an answer."""
        return predictions(self.logprobs)


def answers_document(
    values: tuple[str, ...], answers: Mapping[str, Mapping[str, Answers]]
) -> dict[str, Any]:
    """The document that answers.json holds: split -> labels, and role -> log-probabilities.

    Args:
        values: the data values of the labels, in the order of the columns.
        answers: split -> role (learned, empty) -> answers to the same examples.
    """
    splits = {
        split: {
            "labels": next(iter(roles.values())).labels.tolist(),
            **{role: found.logprobs.tolist() for role, found in roles.items()},
        }
        for split, roles in answers.items()
    }
    return {"schema": SCHEMA, "values": list(values), **splits}
