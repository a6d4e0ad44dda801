"""Exact Euclidean projection onto the probability simplex, many rows at a time.

The paper's own optimiser moves probabilities off the simplex and projects them back (Diao et al.
2023, section 3.2). Knows nothing of prompts or losses.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["project"]


def project(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """The point of the simplex nearest to each row, by sorting (Duchi et al. 2008, figure 1).

    Rows that sum below one are repaired just like those above.

    Args:
        rows: (n, N) finite numbers.

    Returns:
        (n, N): each row is non-negative and sums to one within rounding; the input is not changed.
    """
    size = rows.shape[1]
    # The nearest point does not depend on a shift of the row; near zero the sums lose no digits.
    shifted = rows - rows.max(axis=1, keepdims=True)
    descending = -np.sort(-shifted, axis=1)
    excess = np.cumsum(descending, axis=1) - 1.0
    positive = descending * np.arange(1, size + 1) > excess
    last = size - 1 - np.argmax(positive[:, ::-1], axis=1)  # rho: the last index still positive
    threshold = np.take_along_axis(excess, last[:, None], axis=1) / (last[:, None] + 1)
    projected: NDArray[np.float64] = np.maximum(shifted - threshold, 0.0)
    projected /= projected.sum(axis=1, keepdims=True)
    return projected
