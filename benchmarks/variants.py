"""Searches that were tried and are not part of the package: each changes one thing of `Policy`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from studies import Arm

from bdpl_async.config import Config
from bdpl_async.estimator import pooled
from bdpl_async.methods import Maker, Method, make_method
from bdpl_async.methods.policy_search import PolicySearch
from bdpl_async.policy import Indices, Policy, Update, check_losses, divergence, max_kl_for
from bdpl_async.records import Prompt

__all__ = ["VARIANTS", "maker"]

Floats = NDArray[np.float64]


class EntropyBonus(Policy):
    """Adds to the loss a price on being decided, falling to nothing over the planned updates."""

    PRICE = 0.1  # of the losses' own spread, at the start

    def __init__(self, length: int, size: int, updates: int, share: float) -> None:
        super().__init__(length, size, max_kl=max_kl_for(updates, size), share=share)
        self._updates, self._told = updates, 0

    def tell(self, samples: Indices, losses: Floats) -> Update:
        """The loss of a prompt grows with its own log-probability."""
        price = self.PRICE * float(np.std(losses)) * max(0.0, 1 - self._told / self._updates)
        self._told += 1
        logs = np.log(self.probabilities)
        likelihood = logs[np.arange(samples.shape[1]), samples].mean(axis=1)
        return super().tell(samples, losses + price * likelihood)


class ControlVariate(Policy):
    """Subtracts from a loss what the other tokens of the prompt were worth so far, anywhere."""

    PRIOR = 3.0  # draws' worth of belief that a token is worth nothing

    def __init__(self, length: int, size: int, updates: int, share: float) -> None:
        super().__init__(length, size, max_kl=max_kl_for(updates, size), share=share)
        self._draws, self._worth = np.zeros(size), np.zeros(size)

    def tell(self, samples: Indices, losses: Floats) -> Update:
        """One step with residuals for losses, a residual for each position."""
        indices, values = check_losses(samples, losses, self._logits.shape)
        old, (count, length) = self.probabilities, indices.shape
        worth = (self._worth / (self._draws + self.PRIOR))[indices]
        others = worth.sum(axis=1, keepdims=True) - worth
        residuals = values[:, None] - others
        residuals = (residuals - residuals.mean(axis=0)) * (count / (count - 1))
        np.add.at(self._draws, indices, 1.0)
        np.add.at(self._worth, indices, residuals)
        gradient = np.zeros_like(old)
        np.add.at(gradient, (np.tile(np.arange(length), (count, 1)), indices), residuals / count)
        gradient = pooled(gradient, self.share)
        norm = float(np.linalg.norm(gradient))
        if norm == 0.0:
            return Update(0.0, 0.0)
        self._logits = self._step(gradient / norm, norm, old)
        return Update(divergence(old, self.probabilities), norm)


class Trail(PolicySearch):
    """Sends the best guesses of a quarter, half and three quarters of the way to dev as well."""

    def __init__(self, policy: Policy, vocabulary: tuple[str, ...], start: Prompt | None) -> None:
        super().__init__(policy, vocabulary, start)
        self._bests: list[Prompt] = []

    def tell(self, losses: NDArray[np.float64]) -> float:
        """Remembers the best guess."""
        moved = super().tell(losses)
        self._bests.append(self.best())
        return moved

    def finalists(self, rng: np.random.Generator, count: int) -> list[Prompt]:
        """The final best guess, those on the way, then likely prompts."""
        told = len(self._bests)
        on_the_way = [self._bests[told * part // 4] for part in (3, 2, 1) if told]
        likely = super().finalists(rng, count)
        return list(dict.fromkeys([likely[0], *on_the_way, *likely[1:]]))[:count]


VARIANTS: dict[str, Callable[[int, int, int, float], Policy]] = {
    "entropy": EntropyBonus,
    "variate": ControlVariate,
}


def maker(arm: Arm) -> Maker:
    """The package's own methods, one of `VARIANTS`, or another cap on a step's KL."""
    variant, times = arm.get("variant"), float(arm.get("kl", 1.0))

    def make(
        config: Config, vocabulary: tuple[str, ...], updates: int, start: Prompt | None
    ) -> Method:
        size, share = len(vocabulary), config.optimizer.share
        if variant == "trail":
            cap = max_kl_for(updates, size)
            plain = Policy(config.prompt.length, size, max_kl=cap, share=share)
            return Trail(plain, vocabulary, start)
        if isinstance(variant, str):
            policy = VARIANTS[variant](config.prompt.length, size, updates, share)
            return PolicySearch(policy, vocabulary, start)
        if times == 1.0:
            return make_method(config, vocabulary, updates, start)
        cap = {"max_kl": times * max_kl_for(updates, size)}
        optimizer = config.optimizer.model_copy(update=cap)
        config = config.model_copy(update={"optimizer": optimizer})
        return make_method(config, vocabulary, updates, start)

    return make
