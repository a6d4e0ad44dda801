"""What proposes prompts: one categorical distribution over the candidates per position.

`ask` draws prompts as token indices, `tell` takes their losses and moves the distributions. Knows
no tokens, texts or models, and needs NumPy alone:

    policy = Policy(length=10, size=200)
    samples = policy.ask(rng, 20)            # (20, 10) indices into the vocabulary
    policy.tell(samples, losses)             # (20,) one loss per sampled prompt

Softmax logits, which no update can drive to NaN. `bdpl_async.paper` has the paper's own update,
probabilities that are projected back onto the simplex; what both share is here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from bdpl_async.estimator import logit_gradient, pooled

__all__ = [
    "Policy",
    "PromptPolicy",
    "Snapshot",
    "Update",
    "check_losses",
    "check_size",
    "divergence",
    "draw",
    "entropy",
    "max_kl_for",
]

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Snapshot = dict[str, Floats]

WANDER = 0.25  # of the way to a decision, by noise alone; see benchmarks/README.md
BOLDEST = 0.05  # nats; more in one step would trust twenty samples too far

LARGEST_LOSS = 1e100  # nats; beyond it, squares of gradients overflow


@dataclass(frozen=True, slots=True)
class Update:
    """What one `tell` did: KL(old || new) per position in nats, and the gradient's norm."""

    kl: float
    gradient_norm: float


class PromptPolicy(Protocol):
    """What a search needs of a policy."""

    @property
    def probabilities(self) -> Floats:
        """(n, N), rows on the simplex; a copy."""
        ...

    def ask(self, rng: np.random.Generator, count: int) -> Indices:
        """Draw `count` prompts: (count, n) indices."""
        ...

    def tell(self, samples: Indices, losses: Floats) -> Update:
        """Move towards the prompts with the lower losses."""
        ...

    def snapshot(self) -> Snapshot:
        """All state as arrays that later updates do not touch."""
        ...

    def restore(self, snapshot: Mapping[str, Floats]) -> None:
        """Be exactly as at `snapshot`."""
        ...


def draw(probabilities: Floats, rng: np.random.Generator, count: int) -> Indices:
    """Inverse-transform sampling, all samples of a position at once; zero odds are never drawn."""
    cumulative = np.cumsum(probabilities, axis=1)
    cumulative /= cumulative[:, -1:]
    uniform = rng.random((count, probabilities.shape[0]))
    columns = [
        np.searchsorted(row, uniform[:, i], side="right") for i, row in enumerate(cumulative)
    ]
    return np.stack(columns, axis=1).astype(np.int64)


def entropy(probabilities: Floats) -> float:
    """Mean entropy of the positions, in nats."""
    return float(-xlogx(probabilities).sum(axis=1).mean())


def xlogx(probabilities: Floats) -> Floats:
    """p log p of every p (nats), with 0 log 0 = 0."""
    logs: Floats = np.log(np.where(probabilities > 0, probabilities, 1.0))
    return probabilities * logs


def divergence(old: Floats, new: Floats) -> float:
    """Mean over the positions of KL(old || new), in nats; infinite where new forbids a token."""
    with np.errstate(divide="ignore"):
        ratio = np.where(old > 0, np.log(np.where(old > 0, old, 1.0)) - np.log(new), 0.0)
    return float((old * ratio).sum(axis=1).mean())


def max_kl_for(updates: int, size: int) -> float:
    """The cap on a step's KL for a run of so many updates.

    In the Fisher metric a step of KL d is about sqrt(2 d) long, and from the uniform distribution
    over N candidates to a single one it is ``2 arccos(1/sqrt(N))``. All-noise steps walk at
    random, sqrt(updates) step lengths far; the cap lets that be `WANDER` of the distance. So noise
    alone decides nothing, and a longer run, with its smaller steps, averages more of it out.

    Args:
        updates: planned, at least 1.
        size: N, the candidates.

    Returns:
        Nats per position and step, at most `BOLDEST`.
    """
    distance = 2.0 * float(np.arccos(1.0 / np.sqrt(size)))
    return min(BOLDEST, 0.5 * (WANDER * distance) ** 2 / updates)


def check_losses(
    samples: Indices, losses: Floats, shape: tuple[int, ...]
) -> tuple[Indices, Floats]:
    """What `tell` was given, as arrays; ValueError if it cannot be learned from."""
    length, size = shape
    indices, values = np.asarray(samples, np.int64), np.asarray(losses, np.float64)
    if indices.ndim != 2 or indices.shape[1] != length or values.shape != indices.shape[:1]:
        raise ValueError(
            f"samples must be (I, {length}) and losses (I,), not {indices.shape}, {values.shape}"
        )
    if len(values) < 2:
        raise ValueError("the leave-one-out baseline needs at least two samples")
    if not np.abs(values).max() < LARGEST_LOSS:  # NaN is not below it either
        raise ValueError("losses must be finite: drop the samples that have none")
    if not 0 <= indices.min() <= indices.max() < size:
        raise ValueError(f"samples must be token indices in 0..{size - 1}")
    return indices, values


def check_size(length: int, size: int) -> None:
    """ValueError unless there is a position to fill and a choice to make."""
    if length < 1 or size < 2:
        raise ValueError(f"a policy needs length >= 1 and size >= 2, not {length} and {size}")


class Policy:
    """Softmax logits, moved along the leave-one-out policy gradient.

    Without `lr` the step is scaled so that the distributions move by `max_kl` nats on average over
    the positions: a trust region whose size does not depend on the scale of the losses. With `lr`
    the step is ``lr * gradient``, cut back to `max_kl` where it would go further.

    Args:
        length: n, the positions.
        size: N, the candidates.
        lr: learning rate; None leaves the step to `max_kl`.
        max_kl: nats per position and step.
        share: how much positions learn from each other, see `pooled`.
        start: (n,) or fewer tokens to begin around, each at odds of a half; None begins uniform.
    """

    # Odds of e^-30 are as good as never; below that, logits would only wander off.
    FLOOR: ClassVar[float] = -30.0
    # Without `lr` no logit moves further in one step, however little the policy would notice.
    LEAP: ClassVar[float] = 5.0

    def __init__(
        self,
        length: int,
        size: int,
        *,
        lr: float | None = None,
        max_kl: float = 0.02,
        share: float = 0.0,
        start: Sequence[int] = (),
    ) -> None:
        check_size(length, size)
        self.lr = lr
        self.max_kl = max_kl
        self.share = share
        self._logits: Floats = np.zeros((length, size))
        even = np.log(size - 1)  # as likely as all others together
        self._logits[np.arange(len(start)), list(start)] = even

    @property
    def probabilities(self) -> Floats:
        """(n, N), rows on the simplex; a copy."""
        return _softmax(self._logits)

    def ask(self, rng: np.random.Generator, count: int) -> Indices:
        """Draw `count` prompts: (count, n) indices."""
        return draw(self.probabilities, rng, count)

    def tell(self, samples: Indices, losses: Floats) -> Update:
        """One step of gradient descent on the expected loss.

        Args:
            samples: (I, n) as drawn by `ask`, I >= 2. If that was some steps ago, this is the
                gradient of then, which `logit_gradient` gives whatever the state is now.
            losses: (I,) finite.

        Raises:
            ValueError: wrong shapes, or a loss that is not finite.
        """
        indices, values = check_losses(samples, losses, self._logits.shape)
        old = self.probabilities
        gradient = pooled(logit_gradient(indices, values, old), self.share)
        norm = float(np.linalg.norm(gradient))
        # Equal losses up to rounding carry no news; scaling them up to the cap would be noise.
        if norm <= 1e-12 * float(np.abs(values).max()):
            return Update(0.0, norm)
        self._logits = self._step(gradient / norm, norm, old)
        return Update(divergence(old, self.probabilities), norm)

    def _step(self, direction: Floats, norm: float, old: Floats) -> Floats:
        """The logits one step on: `lr` times the gradient, or as far as `max_kl` allows."""
        if self.lr is not None:
            logits = self._moved(direction, self.lr * norm)
            if divergence(old, _softmax(logits)) <= self.max_kl:
                return logits
        # KL is half the direction's variance under the policy, times the distance squared.
        mean = (old * direction).sum(axis=1, keepdims=True)
        variance = float((old * (direction - mean) ** 2).sum(axis=1).mean())
        furthest = self.LEAP / float(np.abs(direction).max())
        distance = min(furthest, float(np.sqrt(2.0 * self.max_kl / max(variance, 1e-300))))
        for _ in range(4):  # the quadratic is a good first guess; four corrections settle it
            kl = divergence(old, _softmax(self._moved(direction, distance)))
            distance = min(furthest, distance * float(np.sqrt(self.max_kl / max(kl, 1e-300))))
        # Far from the quadratic (rare tokens, a large cap) the corrections may end beyond the cap.
        while divergence(old, _softmax(self._moved(direction, distance))) > 1.001 * self.max_kl:
            distance *= 0.9
        return self._moved(direction, distance)

    def _moved(self, direction: Floats, distance: float) -> Floats:
        logits = self._logits - distance * direction
        logits -= logits.max(axis=1, keepdims=True)
        return np.maximum(logits, self.FLOOR)

    def _repr_html_(self) -> str:
        """For notebooks."""
        from bdpl_async.cards import policy_card

        return policy_card(self.probabilities)

    def snapshot(self) -> Snapshot:
        """All state as arrays that later updates do not touch."""
        return {"logits": self._logits.copy()}

    def restore(self, snapshot: Mapping[str, Floats]) -> None:
        """Be exactly as at `snapshot`."""
        self._logits = np.array(snapshot["logits"], np.float64)


def _softmax(logits: Floats) -> Floats:
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    normalised: Floats = exponentials / exponentials.sum(axis=1, keepdims=True)
    return normalised
