"""Ways to find a prompt, all behind one Protocol and on one ledger.

bdpl        softmax policy, leave-one-out policy gradient     policy_search
bdpl-paper  simplex policy, AdamW, projection: the paper's    policy_search
random      prompts drawn uniformly, the best kept            random_search
greedy      influence pruning, then one token at a time       greedy
manual      the prompt that a person wrote                    fixed
empty       no prompt at all                                  fixed
calibration the manual or the empty prompt, calibrated        fixed
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from bdpl_async.config import Config
from bdpl_async.errors import ConfigError
from bdpl_async.methods.fixed import FixedPrompt
from bdpl_async.methods.greedy import GreedySearch
from bdpl_async.methods.method import Distributed, Lagging, Method, known
from bdpl_async.methods.policy_search import PolicySearch
from bdpl_async.methods.random_search import RandomSearch
from bdpl_async.paper import PaperPolicy
from bdpl_async.policy import Policy, max_kl_for
from bdpl_async.records import Prompt

__all__ = [
    "FIXED",
    "Distributed",
    "Lagging",
    "Maker",
    "Method",
    "drawn",
    "known",
    "lag_for",
    "make_method",
    "searches",
]

FIXED = ("manual", "empty", "calibration")
LAG = 4  # at most, of a run on a model elsewhere: see benchmarks/wire.md
PER_LAG = 25  # updates that such a run has for each; short runs learn less with one
PROMPTS = 64  # drawn to see how many tokens a prompt takes
SAMPLE = 3  # names their random stream, apart from those of a run


def searches(config: Config) -> bool:
    """Whether the method asks for anything before the end."""
    return config.optimizer.method not in FIXED


Maker = Callable[[Config, tuple[str, ...], int, Prompt | None], Method]
"""What `make_method` does, for those who bring a method of their own."""


def make_method(
    config: Config, vocabulary: tuple[str, ...], updates: int, start: Prompt | None = None
) -> Method:
    """The method that ``optimizer.method`` names.

    Args:
        config: its settings.
        vocabulary: N candidates, the tokens of `start` among them.
        updates: how many updates are planned; a policy paces itself by it.
        start: a prompt to begin around, for the method bdpl.

    Raises:
        ConfigError: `manual` without ``prompt.manual``.
    """
    settings, length, size = config.optimizer, config.prompt.length, len(vocabulary)
    match settings.method:
        case "bdpl":
            return PolicySearch(_policy(config, vocabulary, updates, start), vocabulary, start)
        case "bdpl-paper":
            return PolicySearch(PaperPolicy(length, size, lr=settings.lr), vocabulary)
        case "random":
            return RandomSearch(length, vocabulary)
        case "greedy":
            return GreedySearch(length, vocabulary, updates)
        case _:  # one of FIXED
            return FixedPrompt(_fixed(config))


def lag_for(config: Config, method: Method, updates: int, *, local: bool) -> int:
    """Updates under way beside the one that is told next, see `bdpl_async.pipeline`.

    Args:
        config: may name a number.
        method: what is asked and told.
        updates: planned.
        local: the model is in this process, where nothing is gained by it.

    Raises:
        ConfigError: the method decides by its very last answers.
    """
    lag = config.optimizer.lag
    if not (isinstance(method, Lagging) and method.lags):
        if lag:
            name = config.optimizer.method
            raise ConfigError(
                f"optimizer.lag: the method {name!r} decides by its last answers",
                hint="remove lag, or set it to 0; bdpl and random can do with one",
            )
        return 0
    usual = 0 if local else min(LAG, updates // PER_LAG)
    return usual if lag is None else lag


def _fixed(config: Config) -> Prompt:
    """What a method sends that searches nothing; `calibration` is the session's work."""
    method, manual = config.optimizer.method, config.prompt.manual
    if method == "manual" and manual is None:
        raise ConfigError(
            "prompt.manual: the method 'manual' needs a prompt to send",
            hint='add manual = "..." under [prompt], or --set prompt.manual="..."',
        )
    return Prompt() if method == "empty" else Prompt.of(manual or "")


def _policy(
    config: Config, vocabulary: tuple[str, ...], updates: int, start: Prompt | None
) -> Policy:
    settings, size = config.optimizer, len(vocabulary)
    pace = max_kl_for(updates, size) if settings.max_kl is None else settings.max_kl
    tokens = () if start is None else start.tokens
    rows = [vocabulary.index(token) for token in tokens]
    share = settings.share
    return Policy(config.prompt.length, size, lr=settings.lr, max_kl=pace, share=share, start=rows)


def drawn(config: Config, vocabulary: Sequence[str]) -> list[Prompt]:
    """Some prompts as the run will send: drawn at random, or the one that is not learned."""
    if not vocabulary:
        manual = config.optimizer.method in ("manual", "calibration")
        return [Prompt.of(config.prompt.manual or "" if manual else "")]
    rng = np.random.default_rng([config.run.seed, SAMPLE])
    rows = rng.integers(len(vocabulary), size=(PROMPTS, config.prompt.length))
    return [Prompt(tuple(vocabulary[j] for j in row)) for row in rows]
