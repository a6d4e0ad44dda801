"""Random search: prompts drawn uniformly; those that did best on their minibatch go to dev.

Minibatches differ in difficulty, so a prompt is judged by its loss less the mean of its step.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from bdpl_async.methods.method import known
from bdpl_async.policy import Indices, Snapshot
from bdpl_async.records import Prompt

__all__ = ["RandomSearch"]

KEPT = 256  # prompts remembered; finalists are at most so many


class RandomSearch:
    """The baseline that every search must beat at equal budget.

    Args:
        length: n, the positions.
        vocabulary: N candidates.
    """

    def __init__(self, length: int, vocabulary: tuple[str, ...]) -> None:
        self._vocabulary = vocabulary
        self._length = length
        self._asked: deque[Indices] = deque()  # and not told yet
        self._best: Indices = np.zeros((0, length), np.int64)
        self._excess: NDArray[np.float64] = np.zeros(0)

    def ask(self, rng: np.random.Generator, count: int) -> list[Prompt]:
        """Draw `count` prompts uniformly."""
        rows = rng.integers(len(self._vocabulary), size=(count, self._length))
        self._asked.append(rows)
        return [self._prompt(row) for row in rows]

    def tell(self, losses: NDArray[np.float64]) -> float:
        """Keep the best so far; nothing moves."""
        rows, heard = self._asked.popleft(), known(losses)
        if not heard.any():
            return 0.0
        excess = np.concatenate([self._excess, losses[heard] - losses[heard].mean()])
        rows = np.concatenate([self._best, rows[heard]])
        order = np.argsort(excess, kind="stable")[:KEPT]
        self._excess, self._best = excess[order], rows[order]
        return 0.0

    @property
    def lags(self) -> bool:
        """No draw depends on what came of another."""
        return True

    def best(self) -> Prompt:
        """The luckiest prompt so far; empty before the first step."""
        return self._prompt(self._best[0]) if len(self._best) else Prompt()

    def entropy(self) -> float:
        """Uniform for ever."""
        return float(np.log(len(self._vocabulary)))

    def finalists(self, rng: np.random.Generator, count: int) -> list[Prompt]:
        """The `count` best so far."""
        prompts = [self.best(), *(self._prompt(row) for row in self._best)]
        return list(dict.fromkeys(prompts))[:count]

    def snapshot(self) -> Snapshot:
        """All state as arrays that later updates do not touch."""
        return {"best": self._best.astype(np.float64), "excess": self._excess.copy()}

    def restore(self, snapshot: Snapshot) -> None:
        """Be exactly as at `snapshot`."""
        self._best = snapshot["best"].astype(np.int64)
        self._excess = snapshot["excess"].copy()

    def _prompt(self, row: Indices) -> Prompt:
        return Prompt(tuple(self._vocabulary[j] for j in row))
