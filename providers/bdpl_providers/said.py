"""What a model said, where it shows no probabilities: a label word, or none.

The last resort, for any model that answers. The two values of a score only say which label was
meant: they are no probabilities, and every label is censored. Losses are 0 or 1 then
(`bdpl_async.losses.zero_one`), so a search learns from them slowly.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final

from bdpl_async.errors import UnusableAnswer
from bdpl_async.records import Score
from bdpl_providers.chat import LimitKey, asking, conversation, only, with_extra
from bdpl_providers.completions import by_index
from bdpl_providers.wire import Document

__all__ = ["Said", "label_said"]

CONFIDENCE: Final = 0.9  # what the label said gets; the others share the rest
TOKENS: Final = 8  # room for a label word of several tokens and a quote before it
READ: Final = 1_000  # characters of an answer that are looked at; it was allowed `TOKENS` tokens
SHOWN: Final = 40  # characters of an answer that a message quotes


@dataclass(frozen=True, slots=True)
class Said:
    """Reads which label word the model's answer begins with.

    Attributes:
        model: its name on the server.
        labels: the label words.
        system: the system message of a chat, or None for no such message.
        ask: the line after the text in a chat; None asks for exactly one of the label words.
        chat: asks by ``/chat/completions``; otherwise by ``/completions``, the text alone.
        extra: further fields of the body; one that is None takes a field out.
        limit_key: the field that limits what is written, in a chat.
    """

    model: str
    labels: tuple[str, ...]
    system: str | None = None
    ask: str | None = None
    chat: bool = True
    extra: Mapping[str, object] = field(default_factory=dict)
    limit_key: LimitKey = "max_tokens"

    name: ClassVar[str] = "text"
    completion: ClassVar[int] = TOKENS

    @property
    def path(self) -> str:
        """Where to post, below the base URL."""
        return "/chat/completions" if self.chat else "/completions"

    @property
    def lists(self) -> bool:
        """A conversation holds one text."""
        return not self.chat

    def body(self, texts: Sequence[str]) -> dict[str, object]:
        """A single prompt travels as a string: some servers take no list at all."""
        body: dict[str, object] = {"model": self.model}
        if self.chat:
            (text,) = texts
            body["messages"] = conversation(text, self.system, asking(self.labels, self.ask))
        else:
            body["prompt"] = texts[0] if len(texts) == 1 else list(texts)
        body |= {self.limit_key if self.chat else "max_tokens": TOKENS, "temperature": 0}
        return with_extra(body, self.extra)

    def scores(self, document: Document, count: int) -> list[Score | UnusableAnswer]:
        """One outcome per text; a text answered with no label word has an error."""
        collect = only if self.chat else by_index
        return collect(document, count, self.model, self._score)

    def _score(self, choice: dict[str, object]) -> Score:
        answer = _answer(choice, chat=self.chat)
        said = label_said(answer, self.labels)
        if said is None:
            raise UnusableAnswer(
                f"the answer {answer[:SHOWN]!r} names none or several of the label words",
                hint="ask for the label words in the template, or in [chat] ask",
                retryable=False,
            )
        share = (1 - CONFIDENCE) / max(1, len(self.labels) - 1)
        values = [math.log(share)] * len(self.labels)
        values[said] = math.log(CONFIDENCE)
        return Score(tuple(values), censored=(True,) * len(self.labels))


NEGATED = re.compile(r"\b(?:not|no|never|neither|nor|hardly|isn't|wasn't)\W+(?:\w+\W+){0,2}$", re.I)


def label_said(answer: str, labels: Sequence[str]) -> int | None:
    """The index of the label word that `answer` begins with, else of the only one it names.

    Whole words count, in upper or lower case, whatever quotes, signs or marks stand around them;
    of two label words at the same place the longer one. None: no label word, or no single one.
    """
    answer = answer[:READ]
    words = [label.strip() for label in labels]
    order = sorted(range(len(words)), key=lambda index: -len(words[index]))
    choices = "|".join(f"({_spaced(words[index])})" for index in order)
    alike = len({word.casefold() for word in words}) < len(words)  # only their case differs
    pattern = re.compile(
        rf"(?<![^\W_])(?:{choices})(?![^\W_])", re.NOFLAG if alike else re.IGNORECASE
    )
    named: set[int] = set()
    for match in pattern.finditer(answer):
        label = order[(match.lastindex or 1) - 1]
        if not re.search(r"[^\W_]", answer[: match.start()]):
            return label
        if NEGATED.search(answer[: match.start()]):
            return None
        named.add(label)
    return named.pop() if len(named) == 1 else None


def _spaced(word: str) -> str:
    """A pattern for `word` with any white space between its parts."""
    return r"\s+".join(map(re.escape, word.split()))


def _answer(choice: dict[str, object], *, chat: bool) -> str:
    """The text of one choice."""
    message = choice.get("message")
    holder = message if chat and isinstance(message, dict) else {} if chat else choice
    text = holder.get("content" if chat else "text")
    if isinstance(text, str):
        return text
    reason = choice.get("finish_reason")
    ended = f" (finish_reason {reason[:20]!r})" if isinstance(reason, str) else ""
    flaw = "null or missing" if text is None else "no text"
    raise UnusableAnswer(
        f"the answer's content is {flaw}{ended}",
        hint="a model that thinks first needs its thinking turned off",
        retryable=False,
    )
