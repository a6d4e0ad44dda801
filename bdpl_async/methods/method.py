"""What the run asks of a method: propose prompts, hear their losses, name the best."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from bdpl_async.policy import Snapshot
from bdpl_async.records import Prompt

__all__ = ["Distributed", "Method"]


class Method(Protocol):
    """Ask and tell; it knows neither texts nor models, and never scores anything itself."""

    def ask(self, rng: np.random.Generator, count: int) -> list[Prompt]:
        """Prompts to score on the next minibatch; none: the method does not search."""
        ...

    def tell(self, losses: NDArray[np.float64]) -> float:
        """Hear the losses (I,) of the prompts last asked, NaN where there is none; two or more are.

        Gives back the KL moved (nats).
        """
        ...

    def best(self) -> Prompt:
        """The present best guess."""
        ...

    def entropy(self) -> float:
        """Mean entropy of the positions (nats); 0 for a method without distributions."""
        ...

    def finalists(self, rng: np.random.Generator, count: int) -> list[Prompt]:
        """Up to `count` distinct prompts worth comparing on dev, best guess first."""
        ...

    def snapshot(self) -> Snapshot:
        """All state as arrays that later updates do not touch."""
        ...

    def restore(self, snapshot: Snapshot) -> None:
        """Be exactly as at `snapshot`."""
        ...


@runtime_checkable
class Distributed(Protocol):
    """A method that can say how likely each candidate is at each position."""

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """(n, N), rows on the simplex; a copy."""
        ...
