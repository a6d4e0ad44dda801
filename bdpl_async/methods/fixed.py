"""A prompt that is not searched for: what a person wrote, or nothing at all."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bdpl_async.policy import Snapshot
from bdpl_async.records import Prompt

__all__ = ["FixedPrompt"]


class FixedPrompt:
    """One prompt, no updates."""

    def __init__(self, prompt: Prompt) -> None:
        self._prompt = prompt

    def ask(self, rng: np.random.Generator, count: int) -> list[Prompt]:
        """Nothing to try."""
        return []

    def tell(self, losses: NDArray[np.float64]) -> float:
        """Nothing to learn."""
        return 0.0

    def best(self) -> Prompt:
        """The prompt."""
        return self._prompt

    def entropy(self) -> float:
        """There is no distribution."""
        return 0.0

    def finalists(self, rng: np.random.Generator, count: int) -> list[Prompt]:
        """The prompt alone."""
        return [self._prompt]

    def snapshot(self) -> Snapshot:
        """There is no state."""
        return {}

    def restore(self, snapshot: Snapshot) -> None:
        """There is no state."""
