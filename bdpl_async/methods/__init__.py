"""Ways to find a prompt, all behind one Protocol and on one ledger.

bdpl        softmax policy, leave-one-out policy gradient     policy_search
bdpl-paper  simplex policy, AdamW, projection: the paper's    policy_search
random      prompts drawn uniformly, the best kept            random_search
manual      the prompt that a person wrote                    fixed
empty       no prompt at all                                  fixed
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bdpl_async.config import Config
from bdpl_async.errors import ConfigError
from bdpl_async.methods.fixed import FixedPrompt
from bdpl_async.methods.method import Distributed, Method
from bdpl_async.methods.policy_search import PolicySearch
from bdpl_async.methods.random_search import RandomSearch
from bdpl_async.paper import PaperPolicy
from bdpl_async.policy import Policy, max_kl_for
from bdpl_async.records import Prompt

__all__ = ["Distributed", "Method", "drawn", "make_method", "searches"]

FIXED = ("manual", "empty")
PROMPTS = 64  # drawn to see how many tokens a prompt takes
SAMPLE = 3  # names their random stream, apart from those of a run


def searches(config: Config) -> bool:
    """Whether the method asks for anything before the end."""
    return config.optimizer.method not in FIXED


def make_method(config: Config, vocabulary: tuple[str, ...], updates: int) -> Method:
    """The method that ``optimizer.method`` names.

    Args:
        config: its settings.
        vocabulary: N candidates.
        updates: how many updates are planned; a policy paces itself by it.

    Raises:
        ConfigError: `manual` without ``prompt.manual``, or a method that is not built yet.
    """
    settings, length, size = config.optimizer, config.prompt.length, len(vocabulary)
    match settings.method:
        case "bdpl":
            pace = max_kl_for(updates, size) if settings.max_kl is None else settings.max_kl
            policy = Policy(length, size, lr=settings.lr, max_kl=pace)
            return PolicySearch(policy, vocabulary)
        case "bdpl-paper":
            return PolicySearch(PaperPolicy(length, size, lr=settings.lr), vocabulary)
        case "random":
            return RandomSearch(length, vocabulary)
        case "empty":
            return FixedPrompt(Prompt())
        case "manual":
            if config.prompt.manual is None:
                raise ConfigError(
                    "prompt.manual: the method 'manual' needs a prompt to send",
                    hint='add manual = "..." under [prompt], or --set prompt.manual="..."',
                )
            return FixedPrompt(Prompt.of(config.prompt.manual))
        case other:
            raise ConfigError(f"optimizer.method: {other!r} is not built yet")


def drawn(config: Config, vocabulary: Sequence[str]) -> list[Prompt]:
    """Some prompts as the run will send: drawn at random, or the one that is not learned."""
    if not vocabulary:
        manual = config.optimizer.method == "manual"
        return [Prompt.of(config.prompt.manual or "" if manual else "")]
    rng = np.random.default_rng([config.run.seed, SAMPLE])
    rows = rng.integers(len(vocabulary), size=(PROMPTS, config.prompt.length))
    return [Prompt(tuple(vocabulary[j] for j in row)) for row in rows]
