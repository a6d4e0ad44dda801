"""The paper's own update: probabilities, AdamW, projection onto the simplex.

As the released scripts of Diao et al. (2023) do it, free of their NaN. `bdpl_async.policy` has the
default.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from bdpl_async.estimator import probability_gradient
from bdpl_async.policy import (
    Floats,
    Indices,
    Snapshot,
    Update,
    check_losses,
    check_size,
    divergence,
    draw,
)
from bdpl_async.simplex import project

__all__ = ["PaperPolicy"]


class PaperPolicy:
    """Probabilities moved by AdamW and projected onto the simplex: the paper's own update.

    As the released scripts do it (clip the gradient's norm, AdamW, project), mended where they
    reach NaN: the derivative is taken in its one-hot form, the projection repairs every row.

    Args:
        length: n, the positions.
        size: N, the candidates.
        lr: the paper's 1e-4 by default; larger ones learn in fewer steps.
        weight_decay: decoupled, as in AdamW.
        clip: largest norm of the whole gradient.
    """

    BETAS: ClassVar[tuple[float, float]] = (0.9, 0.999)
    EPSILON: ClassVar[float] = 1e-8

    def __init__(
        self,
        length: int,
        size: int,
        *,
        lr: float | None = None,
        weight_decay: float = 0.1,
        clip: float = 3.0,
    ) -> None:
        check_size(length, size)
        self.lr = 1e-4 if lr is None else lr
        self.weight_decay = weight_decay
        self.clip = clip
        self._probabilities: Floats = np.full((length, size), 1.0 / size)
        self._first: Floats = np.zeros((length, size))
        self._second: Floats = np.zeros((length, size))
        self._steps = 0

    @property
    def probabilities(self) -> Floats:
        """(n, N), rows on the simplex; a copy."""
        return self._probabilities.copy()

    def ask(self, rng: np.random.Generator, count: int) -> Indices:
        """Draw `count` prompts: (count, n) indices."""
        return draw(self._probabilities, rng, count)

    def tell(self, samples: Indices, losses: Floats) -> Update:
        """One clipped AdamW step on the expected loss, then the projection.

        Args:
            samples: (I, n) as drawn by `ask` from the present state, I >= 2.
            losses: (I,) finite.

        Raises:
            ValueError: wrong shapes, or a loss that is not finite.
        """
        indices, values = check_losses(samples, losses, self._probabilities.shape)
        old = self._probabilities
        gradient = probability_gradient(indices, values, old)
        norm = float(np.linalg.norm(gradient))
        gradient *= min(1.0, self.clip / (norm + 1e-6))  # torch's clip_grad_norm_
        self._probabilities = project(old + self._adamw(gradient))
        return Update(divergence(old, self._probabilities), norm)

    def _adamw(self, gradient: Floats) -> Floats:
        """The change that AdamW makes (Loshchilov and Hutter 2019, algorithm 2)."""
        self._steps += 1
        beta1, beta2 = self.BETAS
        self._first = beta1 * self._first + (1 - beta1) * gradient
        self._second = beta2 * self._second + (1 - beta2) * gradient**2
        mean = self._first / (1 - beta1**self._steps)
        scale = np.sqrt(self._second / (1 - beta2**self._steps)) + self.EPSILON
        return -self.lr * (mean / scale + self.weight_decay * self._probabilities)

    def snapshot(self) -> Snapshot:
        """All state as arrays that later updates do not touch."""
        return {
            "probabilities": self._probabilities.copy(),
            "first": self._first.copy(),
            "second": self._second.copy(),
            "steps": np.array([float(self._steps)]),
        }

    def restore(self, snapshot: Mapping[str, Floats]) -> None:
        """Be exactly as at `snapshot`."""
        self._probabilities = np.array(snapshot["probabilities"], np.float64)
        self._first = np.array(snapshot["first"], np.float64)
        self._second = np.array(snapshot["second"], np.float64)
        self._steps = int(snapshot["steps"][0])
