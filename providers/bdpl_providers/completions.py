"""Label probabilities from ``/completions``: of the exact token ids, or from the likeliest k.

`TokenIds` is what vLLM gives: the log-softmax over its whole vocabulary at the ids of the label
words. `TopK` is what nearly every server gives. Both write one token and read what was likely in
its place. This module knows no tokenizer: the ids are given.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from math import exp
from typing import ClassVar, Self

from bdpl_async.errors import UnusableAnswer
from bdpl_async.records import Score
from bdpl_providers.toplist import (
    LEAST,
    MOST,
    NO_LIST,
    Begun,
    by_id,
    checked,
    likely,
    listed,
    pieces,
    standing,
    token_key,
    weigh,
)
from bdpl_providers.wire import Document

__all__ = ["TokenIds", "TopK", "by_index", "missing_ids"]

Outcome = Score | UnusableAnswer
Choice = dict[str, object]


@dataclass(frozen=True, slots=True)
class TokenIds:
    """Reads the log-probabilities of the label words' own ids, exactly.

    Attributes:
        model: its name on the server.
        ids: one token id per label word, all different.
    """

    model: str
    ids: tuple[int, ...]
    _keys: tuple[str, ...] = field(init=False, repr=False, compare=False)

    name: ClassVar[str] = "token-ids"
    path: ClassVar[str] = "/completions"
    lists: ClassVar[bool] = True
    completion: ClassVar[int] = 1

    def __post_init__(self) -> None:
        """Spell the ids as answers do."""
        object.__setattr__(self, "_keys", tuple([token_key(token) for token in self.ids]))

    def body(self, texts: Sequence[str]) -> dict[str, object]:
        """The prompts are a list even if there is only one: so one text has one form.

        ``logprob_token_ids`` alone would name tokens by text, and texts collide.
        """
        return {
            "model": self.model,
            "prompt": list(texts),
            "max_tokens": 1,
            "temperature": 0,
            "logprobs": 1,
            "logprob_token_ids": list(self.ids),
            "return_tokens_as_token_ids": True,
        }

    def scores(self, document: Document, count: int) -> list[Outcome]:
        """One outcome per text, by the index of each choice."""
        return by_index(document, count, self.model, self._score)

    def _score(self, choice: Choice) -> Score:
        """Written for speed, since every text of a run passes here."""
        logprobs = choice.get("logprobs")
        tops = logprobs.get("top_logprobs") if isinstance(logprobs, dict) else None
        top = tops[0] if isinstance(tops, list) and tops else None
        if not isinstance(top, dict):
            flaw = "null or missing" if logprobs is None else "without a list for the first token"
            raise UnusableAnswer(f"logprobs is {flaw}", hint=NO_LIST)
        values: list[float] = []
        for key in self._keys:
            value = top.get(key)
            if type(value) is float and LEAST < value < MOST:
                values.append(value)
            elif key in top:
                values.append(checked(value, key))
            else:
                raise UnusableAnswer(f"the log-probability of {key!r} is missing")
        return Score(tuple(values), mass=min(1.0, sum(map(exp, values))))


def missing_ids(document: Document, ids: Sequence[int]) -> tuple[int, ...]:
    """Of `ids`, those that some choice of an answer to `TokenIds` does not name.

    Empty where the server understood ``logprob_token_ids``; all of them where there is no list.
    """
    choices = document.get("choices")
    tops = [_named(choice) for choice in choices] if isinstance(choices, list) else []
    return tuple(
        token for token in ids if not tops or any(token_key(token) not in top for top in tops)
    )


@dataclass(frozen=True, slots=True)
class TopK:
    """Finds the label words among the likeliest k tokens; those not there are censored.

    Attributes:
        model: its name on the server.
        labels: the label words, with their leading spaces.
        k: how many tokens to ask for; servers refuse more than they allow.
        ids: one token id per label word, if known and the server can name tokens by id; None
            finds them by their text.
        begun: label words that are read by a piece; None before a probe has looked.
    """

    model: str
    labels: tuple[str, ...]
    k: int
    ids: tuple[int, ...] | None = None
    begun: Begun | None = None

    name: ClassVar[str] = "logprobs"
    path: ClassVar[str] = "/completions"
    lists: ClassVar[bool] = True
    completion: ClassVar[int] = 1

    def body(self, texts: Sequence[str]) -> dict[str, object]:
        """A single prompt travels as a string: some servers take no list at all."""
        body: dict[str, object] = {
            "model": self.model,
            "prompt": texts[0] if len(texts) == 1 else list(texts),
            "max_tokens": 1,
            "temperature": 0,
            "logprobs": self.k,
        }
        if self.ids is not None:
            body["return_tokens_as_token_ids"] = True
        return body

    def scores(self, document: Document, count: int) -> list[Outcome]:
        """One outcome per text, by the index of each choice."""
        return by_index(document, count, self.model, self._score)

    def pieces(self, document: Document) -> dict[str, str]:
        """Label words that the first choice shows by their first piece only, with that piece."""
        choice = likely(document.get("choices"))
        if self.ids is not None or not isinstance(choice, dict):
            return {}
        try:
            return pieces(self.labels, listed(choice.get("logprobs")), loose=False)
        except UnusableAnswer:
            return {}

    def decided(self, document: Document) -> Self:
        """This read-out, with each label word read as in `document`: whole, or by that piece."""
        return replace(self, begun=tuple(self.pieces(document).items()))

    def _score(self, choice: Choice) -> Score:
        found = listed(choice.get("logprobs"))
        if self.ids is not None:
            return weigh(found, by_id(found, self.ids), self.k)
        return weigh(found, standing(self.labels, found, loose=False, begun=self.begun), self.k)


def by_index(
    document: Document, count: int, model: str, read: Callable[[Choice], Score]
) -> list[Outcome]:
    """What `read` makes of the choice of each text, in the order of the texts.

    A text whose choice is missing, stands twice or cannot be read gets an error of its own. A
    choice whose index is no integer or beyond the texts belongs to none and is passed over.

    Args:
        document: the answer.
        count: texts in the request.
        model: what messages name.
        read: raises UnusableAnswer for a choice that cannot be read.
    """
    choices = document.get("choices")
    outcomes: list[Outcome | None] = [None] * count
    for choice in choices if isinstance(choices, list) else ():
        index = choice.get("index") if isinstance(choice, dict) else None
        if type(index) is not int or not 0 <= index < count:
            continue
        if outcomes[index] is not None:
            outcomes[index] = UnusableAnswer(f"{model}: several choices have the index {index}")
            continue
        try:
            outcomes[index] = read(choice)
        except UnusableAnswer as error:
            outcomes[index] = UnusableAnswer(
                f"{model}: choice {index}: {error.args[0]}",
                hint=error.hint,
                retryable=error.retryable,
            )
    return [
        UnusableAnswer(f"{model}: {_absent(choices, index)}") if outcome is None else outcome
        for index, outcome in enumerate(outcomes)
    ]


def _absent(choices: object, index: int) -> str:
    if not isinstance(choices, list):
        return "the answer holds no list of choices"
    return f"no choice has the index {index}" if choices else "the list of choices is empty"


def _named(choice: object) -> Collection[str]:
    """The tokens that one choice names for its first place."""
    logprobs = choice.get("logprobs") if isinstance(choice, dict) else None
    top = likely(logprobs.get("top_logprobs")) if isinstance(logprobs, dict) else None
    return top if isinstance(top, dict) else ()
