"""What a run kept, read as an explanation of its prompt; nothing is asked.

    places   how sure the search was of each position
    flips    which examples the learned prompt gets right and the empty one wrong, and the reverse

Pure. What needs the model is in `dissection`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bdpl_async.answers import Answers
from bdpl_async.errors import ConfigError
from bdpl_async.kept import LearnedPolicy
from bdpl_async.losses import log_softmax

__all__ = ["Candidate", "Flip", "Flips", "Place", "flips", "places"]

TOP = 5  # candidates of a position that are told
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A token and its probability."""

    token: str
    probability: float


@dataclass(frozen=True, slots=True)
class Place:
    """What was learned about one position of the prompt.

    Attributes:
        position: from 1.
        token: what the prompt has there; None where its length is another.
        probability: of that token.
        top: the likeliest candidates, the likeliest first.
        entropy: nats.
        share: the entropy's share of log N, what no idea at all would be.
    """

    position: int
    token: str | None
    probability: float | None
    top: tuple[Candidate, ...]
    entropy: float
    share: float


def places(policy: LearnedPolicy, tokens: Sequence[str], top: int = TOP) -> tuple[Place, ...]:
    """The distribution of every position.

    Args:
        policy: (n, N) probabilities.
        tokens: of the learned prompt.
        top: candidates to tell for each.

    Raises:
        ConfigError: a row is no distribution.
    """
    rows, names = policy.probabilities, policy.vocabulary
    sums = rows.sum(axis=1)
    if not (np.isfinite(rows).all() and (rows >= 0).all() and np.allclose(sums, 1.0, atol=1e-6)):
        raise ConfigError("policy.json: its rows are no probability distributions")
    logs = np.log(np.where(rows > 0, rows, 1.0))
    entropies = np.maximum(0.0, -(rows * logs).sum(axis=1))
    most = math.log(len(names)) if len(names) > 1 else 1.0
    index = {name: j for j, name in enumerate(names)}
    told: list[str | None] = [*tokens] if len(tokens) == len(rows) else [None] * len(rows)
    found = []
    for i, token in enumerate(told):
        order = np.argsort(-rows[i], kind="stable")[:top]
        likely = tuple(Candidate(names[j], float(rows[i, j])) for j in order)
        own = None if token is None else float(rows[i, index[token]]) if token in index else 0.0
        share = float(entropies[i]) / most
        found.append(Place(i + 1, token, own, likely, float(entropies[i]), share))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Flip:
    """An example that one of the two prompts gets right.

    Attributes:
        row: from 1, in the split's fixed order.
        label: the true one; an index, like the predictions, of which -1 is no answer.
        margin: nats by which the learned prompt puts the true label above the likeliest wrong one;
            None without an answer.
        empty_margin: the same of the empty prompt.
    """

    row: int
    label: int
    empty: int
    learned: int
    margin: float | None
    empty_margin: float | None


@dataclass(frozen=True, slots=True)
class Flips:
    """What the learned prompt changed, on `n` examples.

    Attributes:
        gained: wrong without a prompt and right with it, the clearest first.
        lost: the reverse.
        by_label: label -> (examples, gained, lost).
    """

    n: int
    both_right: int
    both_wrong: int
    gained: tuple[Flip, ...]
    lost: tuple[Flip, ...]
    by_label: tuple[tuple[int, int, int], ...]


def flips(roles: Mapping[str, Answers]) -> Flips | None:
    """Compare the answers to the learned and to the empty prompt; None if one is not there."""
    if "learned" not in roles or "empty" not in roles:
        return None
    learned, empty = roles["learned"], roles["empty"]
    labels, classes = learned.labels, learned.logprobs.shape[1]
    if not len(labels) or empty.logprobs.shape != learned.logprobs.shape:
        return None
    right, before = learned.predictions == labels, empty.predictions == labels
    return Flips(
        n=len(labels),
        both_right=int((right & before).sum()),
        both_wrong=int((~right & ~before).sum()),
        gained=_listed(learned, empty, right & ~before),
        lost=_listed(learned, empty, before & ~right),
        by_label=tuple(
            (int(own.sum()), int((own & right & ~before).sum()), int((own & before & ~right).sum()))
            for own in (labels == label for label in range(classes))
        ),
    )


def _listed(learned: Answers, empty: Answers, flipped: Flags) -> tuple[Flip, ...]:
    margins, before = _margins(learned).tolist(), _margins(empty).tolist()
    order = sorted(np.flatnonzero(flipped).tolist(), key=lambda i: (-_weight(margins[i]), i))
    return tuple(
        Flip(
            row=i + 1,
            label=int(learned.labels[i]),
            empty=int(empty.predictions[i]),
            learned=int(learned.predictions[i]),
            margin=_number(margins[i]),
            empty_margin=_number(before[i]),
        )
        for i in order
    )


def _margins(answers: Answers) -> Floats:
    """(n,) nats of the true label above the likeliest wrong one; NaN without an answer."""
    normal = log_softmax(answers.logprobs)
    rows = np.arange(len(normal))
    right = normal[rows, answers.labels]
    wrong = normal.copy()
    wrong[rows, answers.labels] = -np.inf
    found: Floats = right - wrong.max(axis=1)
    return found


def _weight(margin: float) -> float:
    return abs(margin) if math.isfinite(margin) else -1.0


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
