"""BDPL: a policy over prompts, moved by the losses of the prompts it draws."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from bdpl_async.methods.method import known
from bdpl_async.policy import Indices, Policy, PromptPolicy, Snapshot, draw, entropy
from bdpl_async.records import Prompt

__all__ = ["PolicySearch"]

DRAWS_PER_FINALIST = 8  # the likeliest of so many are a prompt near the top of the distribution


class PolicySearch:
    """The paper's method for any policy that asks and tells.

    Args:
        policy: the distributions and their update.
        vocabulary: N candidates; index j of the policy is ``vocabulary[j]``.
        start: the prompt that the policy begins around; it is always among the finalists.
    """

    def __init__(
        self, policy: PromptPolicy, vocabulary: tuple[str, ...], start: Prompt | None = None
    ) -> None:
        self._policy = policy
        self._vocabulary = vocabulary
        self._start = [] if start is None else [start]
        self._asked: deque[Indices] = deque()  # and not told yet

    def ask(self, rng: np.random.Generator, count: int) -> list[Prompt]:
        """Draw `count` prompts from the policy."""
        rows = self._policy.ask(rng, count)
        self._asked.append(rows)
        return [self._prompt(row) for row in rows]

    def tell(self, losses: NDArray[np.float64]) -> float:
        """One policy-gradient update by the prompts that have a loss."""
        rows, heard = self._asked.popleft(), known(losses)
        return self._policy.tell(rows[heard], losses[heard]).kl if heard.any() else 0.0

    def best(self) -> Prompt:
        """The likeliest token of every position."""
        return self._prompt(np.argmax(self._policy.probabilities, axis=1))

    @property
    def lags(self) -> bool:
        """A gradient in the logits is that of the draws, wherever the policy has moved since."""
        return isinstance(self._policy, Policy)

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """(n, N), rows on the simplex; a copy."""
        return self._policy.probabilities

    def entropy(self) -> float:
        """Mean entropy of the positions (nats)."""
        return entropy(self._policy.probabilities)

    def finalists(self, rng: np.random.Generator, count: int) -> list[Prompt]:
        """The argmax, then the likeliest of some draws from the final distribution.

        Never the luckiest prompt seen in training: that one is a winner's curse.
        """
        probabilities = self._policy.probabilities
        rows = draw(probabilities, rng, DRAWS_PER_FINALIST * count)
        with np.errstate(divide="ignore"):
            logs = np.log(probabilities)
        likelihood = logs[np.arange(rows.shape[1]), rows].sum(axis=1)
        ranked = [self._prompt(rows[i]) for i in np.argsort(-likelihood, kind="stable")]
        return list(dict.fromkeys([self.best(), *self._start, *ranked]))[:count]

    def snapshot(self) -> Snapshot:
        """All state as arrays that later updates do not touch."""
        return self._policy.snapshot()

    def restore(self, snapshot: Snapshot) -> None:
        """Be exactly as at `snapshot`."""
        self._policy.restore(snapshot)

    def _prompt(self, row: Indices) -> Prompt:
        return Prompt(tuple(self._vocabulary[j] for j in row))
