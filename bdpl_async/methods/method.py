"""What the run asks of a method: propose prompts, hear their losses, name the best."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from bdpl_async.policy import Snapshot
from bdpl_async.records import Prompt

__all__ = ["Distributed", "Lagging", "Method", "known"]


def known(losses: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(I,) which losses there are; none where they are too few to be compared."""
    finite: NDArray[np.bool_] = np.isfinite(losses)
    return finite if finite.sum() >= 2 else np.zeros_like(finite)


class Method(Protocol):
    """Ask and tell; it knows neither texts nor models, and never scores anything itself."""

    def ask(self, rng: np.random.Generator, count: int) -> list[Prompt]:
        """Prompts to score on the next minibatch; none: the method does not search.

        One whose updates may lag, see `Lagging`, is asked for more before it is
        told of these.
        """
        ...

    def tell(self, losses: NDArray[np.float64]) -> float:
        """Hear the losses (I,) of the prompts asked for longest ago and not told yet, in turn.

        NaN where there is none; where fewer than two are known, nothing moves.

        Returns:
            The KL moved (nats).
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
class Lagging(Protocol):
    """A method that may be asked for more before it is told what came of the last prompts."""

    @property
    def lags(self) -> bool:
        """Whether it makes as good use of what it is told then."""
        ...


@runtime_checkable
class Distributed(Protocol):
    """A method that can say how likely each candidate is at each position."""

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """(n, N), rows on the simplex; a copy."""
        ...
