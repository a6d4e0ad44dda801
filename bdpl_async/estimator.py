"""The variance-reduced policy gradient: from sampled prompts and their losses to a direction.

Letters as in Diao et al. 2023 (arXiv 2201.08531, section 3.3): I prompts are drawn, prompt k has
token ``j[k, i]`` at position i and loss ``L[k]``. All arrays are float64; no Python loop runs over
samples. Knows nothing of optimisers, tokens or requests.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "leave_one_out",
    "logit_gradient",
    "pooled",
    "probability_gradient",
    "sampled_weight",
]

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


def leave_one_out(losses: Floats) -> Floats:
    """Each loss less the mean of the others: the paper's baseline under its usual name.

    ``L_k - mean_{l != k} L_l = I/(I-1) (L_k - L_avg)``: the weight 1/(I-1) of the paper's eq. 8
    is this advantage divided by I. The result sums to zero within rounding.

    Args:
        losses: (I,) finite, I >= 2.
    """
    count = losses.shape[0]
    advantages: Floats = (losses - losses.mean()) * (count / (count - 1))
    return advantages


def sampled_weight(samples: Indices, advantages: Floats, size: int) -> Floats:
    """``W[i, j] = 1/I sum_k A_k 1[j_ki = j]``: what each token was worth where it was drawn.

    A token that was not drawn gets exactly zero, so that no optimiser can move on rounding residue.

    Args:
        samples: (I, n) token indices.
        advantages: (I,).
        size: N, the number of candidates.

    Returns:
        (n, N).
    """
    count, length = samples.shape
    cells = samples + size * np.arange(length)
    weights = np.broadcast_to(advantages[:, None] / count, (count, length))
    summed = np.bincount(cells.ravel(), weights.ravel(), minlength=length * size)
    return summed.reshape(length, size).astype(np.float64, copy=False)


def logit_gradient(samples: Indices, losses: Floats, probabilities: Floats) -> Floats:
    """Unbiased estimate of d E[L] / d logits for softmax rows (REINFORCE with leave-one-out).

    ``d log softmax(z)_j / d z_m = 1[j = m] - p_m``; the second term meets advantages that sum to
    zero and drops out but for rounding, so it is left out: what was not drawn does not move.

    Args:
        samples: (I, n); losses: (I,); probabilities: (n, N).

    Returns:
        (n, N).
    """
    return sampled_weight(samples, leave_one_out(losses), probabilities.shape[1])


def pooled(gradient: Floats, share: float) -> Floats:
    """The gradient as positions learn from each other: `share` times their mean is added to each.

    It is the gradient step on logits ``z_ij = sqrt(share / n) s_j + d_ij``: what a token is worth
    wherever it stands, and what it is worth at position i besides. ``I + (share / n) 1 1^T`` is
    positive definite, so this points downhill wherever the gradient does; what all positions have
    in common counts 1 + share times as much, and a position without news of a token believes the
    others.

    Args:
        gradient: (n, N); share: 0 or more, 0 leaves every position to itself.

    Returns:
        (n, N).
    """
    together: Floats = gradient + share * gradient.mean(axis=0, keepdims=True)
    return together


def probability_gradient(samples: Indices, losses: Floats, probabilities: Floats) -> Floats:
    """The paper's VR-PGE estimate on the simplex (eq. 8): its derivative is +1/p or -1/p.

    ``sum_k w_k (+1/p_j if j_ki = j else -1/p_j) = (2 sum_{k: j_ki = j} w_k - sum_k w_k) / p_j`` and
    the weights sum to zero, so this is exactly twice the one-hot score. In that form a probability
    of zero does no harm: its token is never drawn.

    Args:
        samples: (I, n); losses: (I,); probabilities: (n, N), rows on the simplex.

    Returns:
        (n, N), finite.
    """
    drawn = sampled_weight(samples, leave_one_out(losses), probabilities.shape[1])
    # The floor only guards a token that was drawn at odds below 1e-12.
    return 2.0 * drawn / np.maximum(probabilities, 1e-12)
