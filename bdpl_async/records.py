"""The nouns that flow through a run: frozen, small, free of behaviour.

    Prompt + Example --Template--> Text --gate--> Request --Scorer--> Reply(Score, ...)

This module knows no model, no file format and no clock.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, Protocol

from bdpl_async.errors import ProviderError, UnusableAnswer

__all__ = [
    "Billed",
    "Example",
    "Price",
    "Prompt",
    "Quota",
    "Reply",
    "Request",
    "Score",
    "Text",
    "Usage",
]

GRAIN: Final = 2.0**-40
"""The smallest amount of money we count, in USD: about a millionth of a millionth."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What stands at ``{prompt}``: tokens joined by single spaces. No tokens: the empty prompt."""

    tokens: tuple[str, ...] = ()

    @classmethod
    def of(cls, text: str) -> Prompt:
        """The prompt that reads exactly `text`; its tokens are the words at single spaces."""
        return cls(tuple(text.split(" "))) if text else cls()

    @property
    def text(self) -> str:
        """The string as sent."""
        return " ".join(self.tokens)


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled row: its columns as text, and the index of its label word."""

    columns: Mapping[str, str]
    label: int


class Text(NamedTuple):
    """One filled template, cut at the mask.

    A masked model reads ``before``, its mask token, ``after``; a causal model reads ``before``
    without trailing space. `cuttable` holds the character spans (start, end), counted in
    ``before + after``, that came from data columns: what a model with a short window may shorten.
    Prompt and template are never cut. A tuple, since texts are keys on the hot path.
    """

    before: str
    after: str = ""
    cuttable: tuple[tuple[int, int], ...] = ()

    @property
    def causal(self) -> str:
        """What a causal or chat model is sent: the text up to the mask, without trailing space."""
        return self.before.rstrip(" ")


@dataclass(frozen=True, slots=True)
class Request:
    """Texts that travel to the model together, and the label words to weigh after each.

    A causal label word carries its leading space; the order of `labels` is the order of every
    `Score.logprobs`.
    """

    texts: tuple[Text, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Usage:
    """What one request consumed, as the model's side reports it."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float = 0.0

    def shares(self, count: int) -> list[tuple[int, int]]:
        """(prompt, completion) tokens of each of `count` texts; they add up to the whole."""
        if count == 1:
            return [(self.prompt_tokens, self.completion_tokens)]
        prompt, odd = divmod(self.prompt_tokens, count)
        written, odd_written = divmod(self.completion_tokens, count)
        return [(prompt + (i < odd), written + (i < odd_written)) for i in range(count)]


@dataclass(frozen=True, slots=True)
class Price:
    """USD per million tokens."""

    prompt: float
    completion: float

    def usd(self, prompt_tokens: int, completion_tokens: int) -> float:
        """What so many tokens cost, rounded up to the `GRAIN`.

        Sums of grains are exact up to thousands of dollars, so that a total never depends on the
        order in which answers arrive.
        """
        cost = (prompt_tokens * self.prompt + completion_tokens * self.completion) / 1e6
        return math.ceil(cost / GRAIN) * GRAIN


@dataclass(frozen=True, slots=True)
class Quota:
    """What a provider's newest answer says of one of its limits.

    Attributes:
        unit: what is limited.
        limit: how many in the provider's window, if it says so.
        remaining: how many are left now.
        reset: seconds until the limit is whole again, from the moment of the answer.
    """

    unit: Literal["requests", "tokens"]
    limit: float | None = None
    remaining: float | None = None
    reset: float | None = None


class Billed(Protocol):
    """An answer that says what it consumed."""

    @property
    def usage(self) -> Usage:
        """Tokens as reported; zeros where the other side reports none."""
        ...

    @property
    def quotas(self) -> tuple[Quota, ...]:
        """What is left of the provider's limits; empty where it says nothing."""
        ...

    @property
    def answered(self) -> int | None:
        """How many texts the model answered, usably or not; None for all that were sent."""
        ...


@dataclass(frozen=True, slots=True)
class Score:
    """Log-probabilities (nats) of the label words at the mask of one text.

    They are of the model's whole vocabulary, so ``mass``, the sum of their exponentials, says how
    much of its belief the model puts on the labels at all. ``censored[c]`` marks a label that the
    model did not report and whose value is an upper bound.
    """

    logprobs: tuple[float, ...]
    mass: float | None = None
    censored: tuple[bool, ...] = ()


ANSWERED = (Score, UnusableAnswer)


@dataclass(frozen=True, slots=True)
class Reply:
    """One outcome per text of the request, in its order, and what the request consumed.

    A text that failed alone stands as its error, so that it never fails its neighbours.
    """

    scores: Sequence[Score | ProviderError]
    usage: Usage = field(default_factory=Usage)
    quotas: tuple[Quota, ...] = ()

    @property
    def answered(self) -> int:
        """How many texts the model answered, usably or not."""
        return sum([isinstance(score, ANSWERED) for score in self.scores])
