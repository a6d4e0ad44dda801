"""What a score costs: losses over the label words, in nats or margins, lower is better.

Arrays go in as (..., C) float64 log-probabilities of the C label words and (...) class indices;
losses come out as (...). Only differences between labels count, so it does not matter how much
probability the model keeps for other words. A NaN in a row is a text without an answer, and the
loss of that row is NaN. A model that says a label and no probabilities has the loss `zero_one`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["LOSSES", "Loss", "cross_entropy", "hinge", "log_softmax", "zero_one"]

Floats = NDArray[np.float64]
Loss = Callable[[ArrayLike, ArrayLike], Floats]

FLOOR: Final = -100.0
"""Least label log-probability, nats: exp(-100) is below what any read-out resolves, and an
infinite loss would make the gradient of a whole step NaN."""


def log_softmax(logprobs: ArrayLike) -> Floats:
    """Log-probabilities among the labels alone, shape (..., C), none below `FLOOR`.

    Where every label is at minus infinity none is preferred: all get log(1/C).
    """
    raw = np.asarray(logprobs, dtype=np.float64)
    top = raw.max(axis=-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):  # inf - inf is NaN: no answer
        shifted = np.where(np.isneginf(top), 0.0, raw - top)
        normal = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    floored: Floats = np.maximum(normal, FLOOR)
    return floored


def cross_entropy(logprobs: ArrayLike, labels: ArrayLike) -> Floats:
    """Negative log-probability of the right label among the labels, in nats."""
    normal = log_softmax(logprobs)
    return -_right(normal, _indices(labels, normal))[..., 0]


def hinge(logprobs: ArrayLike, labels: ArrayLike, margin: float = 1.0) -> Floats:
    """How far the right label falls short of leading every wrong one by `margin` nats.

    ``max(0, margin - (l_right - max l_wrong))``: raising the right label lowers the loss.
    """
    normal = log_softmax(logprobs)
    index = _indices(labels, normal)
    right = _right(normal, index)[..., 0]
    wrong = normal.copy()
    np.put_along_axis(wrong, index, -np.inf, axis=-1)
    short: Floats = np.maximum(0.0, margin - (right - wrong.max(axis=-1)))
    return short


def zero_one(logprobs: ArrayLike, labels: ArrayLike) -> Floats:
    """0 where the right label alone is likeliest, else 1; a row all at minus infinity is 1."""
    raw = np.asarray(logprobs, dtype=np.float64)
    index = _indices(labels, raw)
    right = _right(raw, index)[..., 0]
    wrong = raw.copy()
    np.put_along_axis(wrong, index, -np.inf, axis=-1)
    lost: Floats = np.where(right > wrong.max(axis=-1), 0.0, 1.0)
    lost[np.isnan(raw).any(axis=-1)] = np.nan
    return lost


LOSSES: Final[Mapping[str, Loss]] = MappingProxyType({"ce": cross_entropy, "hinge": hinge})
"""Losses by the name they have in TASK.toml."""


def _indices(labels: ArrayLike, logprobs: Floats) -> NDArray[np.intp]:
    """Labels spread over the leading axes of `logprobs`, shape (..., 1), checked."""
    classes = logprobs.shape[-1]
    index = np.broadcast_to(np.asarray(labels, dtype=np.intp), logprobs.shape[:-1])
    if classes < 2:
        raise ValueError("a loss needs at least two labels")
    if index.size and not 0 <= index.min() <= index.max() < classes:
        raise ValueError(f"labels must lie in 0..{classes - 1}")
    return index[..., np.newaxis]


def _right(logprobs: Floats, index: NDArray[np.intp]) -> Floats:
    """The right label's column, shape (..., 1)."""
    return np.take_along_axis(logprobs, index, axis=-1)
