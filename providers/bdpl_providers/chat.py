"""Label probabilities from ``/chat/completions``: the likeliest tokens of the first one written.

Also how a text becomes a conversation, whoever asks. This module knows no model's peculiarities:
what a model wants beside the common fields is given as `extra`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, Self

from bdpl_async.errors import UnusableAnswer
from bdpl_async.records import Score
from bdpl_providers.toplist import Begun, likely, listed, pieces, standing, weigh
from bdpl_providers.wire import Document

__all__ = ["MOST_LISTED", "ChatTopK", "LimitKey", "asking", "conversation", "only", "with_extra"]

LimitKey = Literal["max_tokens", "max_completion_tokens"]
"""The field that limits what is written; OpenAI's newer models know only the second."""

MOST_LISTED = 20  # the largest `top_logprobs` that the protocol has


@dataclass(frozen=True, slots=True)
class ChatTopK:
    """Finds the label words among the likeliest k first tokens of an answer.

    A label word counts with and without its leading space; the two add up.

    Attributes:
        model: its name on the server.
        labels: the label words.
        k: how many tokens to ask for, at most `MOST_LISTED`.
        system: the system message, or None for no such message.
        ask: the line after the text; None asks for exactly one of the label words.
        extra: further fields of the body; one that is None takes a field out.
        limit_key: the field that limits what is written.
        begun: label words that are read by a piece; None before a probe has looked.
    """

    model: str
    labels: tuple[str, ...]
    k: int = MOST_LISTED
    system: str | None = None
    ask: str | None = None
    extra: Mapping[str, object] = field(default_factory=dict)
    limit_key: LimitKey = "max_tokens"
    begun: Begun | None = None

    name: ClassVar[str] = "chat"
    path: ClassVar[str] = "/chat/completions"
    lists: ClassVar[bool] = False
    completion: ClassVar[int] = 1

    def body(self, texts: Sequence[str]) -> dict[str, object]:
        """The body for exactly one text."""
        (text,) = texts
        body: dict[str, object] = {
            "model": self.model,
            "messages": conversation(text, self.system, asking(self.labels, self.ask)),
            self.limit_key: 1,
            "temperature": 0,
            "logprobs": True,
            "top_logprobs": self.k,
        }
        return with_extra(body, self.extra)

    def scores(self, document: Document, count: int) -> list[Score | UnusableAnswer]:
        """The outcome of the one text."""
        return only(document, count, self.model, self._score)

    def pieces(self, document: Document) -> dict[str, str]:
        """Label words that this answer shows by their first piece only, with that piece."""
        choice = likely(document.get("choices"))
        try:
            found = listed(choice.get("logprobs") if isinstance(choice, dict) else None)
        except UnusableAnswer:
            return {}
        return pieces(self.labels, found, loose=True)

    def decided(self, document: Document) -> Self:
        """This read-out, with each label word read as in `document`: whole, or by that piece."""
        return replace(self, begun=tuple(self.pieces(document).items()))

    def _score(self, choice: dict[str, object]) -> Score:
        found = listed(choice.get("logprobs"))
        return weigh(found, standing(self.labels, found, loose=True, begun=self.begun), self.k)


def asking(labels: Sequence[str], ask: str | None) -> str:
    """The line that asks for a label word: `ask`, or one that names them all."""
    return (
        f"Answer with exactly one of: {', '.join(map(str.strip, labels))}." if ask is None else ask
    )


def conversation(text: str, system: str | None, ask: str) -> list[dict[str, str]]:
    """One user message, the text and then the line that asks; before it the system message."""
    told = [] if system is None else [{"role": "system", "content": system}]
    return [*told, {"role": "user", "content": f"{text}\n{ask}"}]


def with_extra(body: dict[str, object], extra: Mapping[str, object]) -> dict[str, object]:
    """`body` overlaid with `extra`, less the fields that are None there."""
    return {key: value for key, value in {**body, **extra}.items() if value is not None}


def only(
    document: Document, count: int, model: str, read: Callable[[dict[str, object]], Score]
) -> list[Score | UnusableAnswer]:
    """What `read` makes of the first choice, or the error; for an answer to one text.

    Args:
        document: the answer.
        count: texts in the request: one.
        model: what messages name.
        read: raises UnusableAnswer for a choice that cannot be read.
    """
    if count != 1:
        raise ValueError(f"a conversation answers one text, not {count}")
    choices = document.get("choices")
    choice = likely(choices)
    if not isinstance(choice, dict):
        flaw = "the list of choices is empty" if choices == [] else "the answer holds no choice"
        return [UnusableAnswer(f"{model}: {flaw}")]
    try:
        return [read(choice)]
    except UnusableAnswer as error:
        told = f"{model}: {error.args[0]}"
        return [UnusableAnswer(told, hint=error.hint, retryable=error.retryable)]
