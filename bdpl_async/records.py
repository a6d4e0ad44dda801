"""The nouns that flow through a run: frozen, small, free of behaviour.

    Prompt + Example --Template--> Text --gate--> Request --Scorer--> Reply(Score, ...)

This module knows no model, no file format and no clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bdpl_async.errors import ProviderError

__all__ = ["Example", "Prompt", "Reply", "Request", "Score", "Text", "Usage"]


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


@dataclass(frozen=True, slots=True)
class Text:
    """One filled template, cut at the mask.

    A masked model reads ``before``, its mask token, ``after``; a causal model reads ``before``
    without trailing space. `cuttable` holds the character spans (start, end), counted in
    ``before + after``, that came from data columns: what a model with a short window may shorten.
    Prompt and template are never cut.
    """

    before: str
    after: str = ""
    cuttable: tuple[tuple[int, int], ...] = ()


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


@dataclass(frozen=True, slots=True)
class Reply:
    """One outcome per text of the request, in its order, and what the request consumed.

    A text that failed alone stands as its error, so that it never fails its neighbours.
    """

    scores: Sequence[Score | ProviderError]
    usage: Usage = field(default_factory=Usage)
