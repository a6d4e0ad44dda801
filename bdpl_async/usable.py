"""Whether an answer can be used: a log-probability per label word, none impossible. Pure."""

from __future__ import annotations

from bdpl_async.errors import UnusableAnswer
from bdpl_async.memory import Outcome
from bdpl_async.records import Score

__all__ = ["LOW_MASS", "checked", "may_improve", "off_the_labels"]

LOW_MASS = 0.1  # label mass below which the model expects something else than a label word
NEVER = float("-inf")
ROUNDING = 1e-3  # nats above zero that a server's rounding may bring


def checked(outcome: Outcome, name: str, labels: int) -> Outcome:
    """`outcome`, or what is wrong with its numbers.

    Args:
        outcome: of one text.
        name: the scorer's, for messages.
        labels: how many label words there are.
    """
    if not isinstance(outcome, Score):
        return outcome
    values = outcome.logprobs
    if len(values) != labels:
        return UnusableAnswer(f"{name}: {len(values)} values for {labels} labels")
    # Written so that NaN fails it.
    if not all([value < ROUNDING for value in values]) or max(values) == NEVER:
        return UnusableAnswer(f"{name}: {values} are no log-probabilities")
    return outcome


def may_improve(outcome: Outcome) -> bool:
    """Whether the same question may bring a better answer."""
    return isinstance(outcome, UnusableAnswer) and outcome.retryable


def off_the_labels(outcome: Outcome) -> bool:
    """Whether the model said something else than a label word: an answer, and a wrong one."""
    return isinstance(outcome, UnusableAnswer) and not outcome.retryable
