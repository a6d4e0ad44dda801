"""What one of OpenAI's chat models wants beside the common fields, learned from its refusals.

    body --Manner.applied--> body as the model takes it
    refusal --relearned--> another Manner and a sentence on what is different, or None

A first guess by the name, then the server's own words decide: names change faster than this file.
Pure. It knows neither requests nor label words.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Final

import orjson

from bdpl_providers.chat import LimitKey
from bdpl_providers.wire import Document

__all__ = ["LOGPROBS", "ROOM", "Manner", "first_guess", "relearned"]

LOGPROBS: Final = re.compile(r"(?<!top_)logprobs")
"""Speaks of log-probabilities as such, not of how many."""

ROOM: Final = 2048
"""Tokens that a model may think before it says a label word, where it cannot be told not to."""

PLAIN = re.compile(r"(gpt-3\.5|gpt-4|chatgpt-)")
THINKS = re.compile(r"(o\d|gpt-5(?![.\d]|-chat))")  # and cannot be told not to
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
LIMITS: tuple[LimitKey, ...] = ("max_tokens", "max_completion_tokens")
CUT_SHORT = re.compile(r"could not finish|output limit was reached")
REFUSES = re.compile(r"unsupported|unrecognized|unknown|unexpected|not |n't |extra|invalid|only")


@dataclass(frozen=True, slots=True)
class Manner:
    """How a model's chat bodies differ from the common form.

    Attributes:
        limit_key: the field that limits what is written.
        least: the smallest limit that it takes.
        effort: of reasoning, or None for no such field.
        room: tokens added to the limit for thinking where no probabilities are asked for.
        temperature: whether it takes one.
        learned: what its refusals taught, each once.
    """

    limit_key: LimitKey = "max_completion_tokens"
    least: int = 4  # models since GPT-5.1 do not take 1
    effort: str | None = "none"  # they give probabilities only where they do not think
    room: int = 0
    temperature: bool = True
    learned: frozenset[str] = frozenset()

    def applied(self, body: Document) -> dict[str, object]:
        """`body` of a chat as this model takes it."""
        told = {key: value for key, value in body.items() if key not in LIMITS}
        limits = [value for key in LIMITS if isinstance(value := body.get(key), int)]
        if limits:
            told[self.limit_key] = self.written(max(limits), listing="logprobs" in body)
        if self.effort is not None:
            told["reasoning_effort"] = self.effort
        if not self.temperature:
            told.pop("temperature", None)
        return told

    def spelled(self) -> bytes:
        """Canonical JSON of what an answer depends on."""
        fields = {name: value for name, value in asdict(self).items() if name != "learned"}
        return orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)

    def written(self, limit: int, *, listing: bool) -> int:
        """The most tokens that come for a read-out that wants `limit`, probabilities or not."""
        return max(limit, self.least) + (0 if listing else self.room)


def first_guess(model: str) -> Manner:
    """The manner that the name suggests."""
    name = model.removeprefix("ft:")
    if PLAIN.match(name):
        return Manner("max_tokens", 1, None)
    if THINKS.match(name):
        return Manner(effort="minimal" if name.startswith("gpt") else "low", room=ROOM)
    return Manner()


def relearned(manner: Manner, refusal: str) -> tuple[Manner, str] | None:
    """A manner that may do better after the server's words, and what is different in it.

    None where they teach nothing new: no lesson is tried twice, so that learning ends.
    """
    words = refusal.lower()
    for lesson, teach in LESSONS.items():
        if lesson in manner.learned or (taught := teach(manner, words)) is None:
            continue
        better, note = taught
        return replace(better, learned=manner.learned | {lesson}), note
    return None


Taught = tuple[Manner, str] | None


def _cut_short(manner: Manner, words: str) -> Taught:
    if not CUT_SHORT.search(words):
        return None
    return replace(manner, least=16), "takes no limit below 16 tokens"


def _other_limit(manner: Manner, words: str) -> Taught:
    if CUT_SHORT.search(words) or not re.search(rf"\b{manner.limit_key}\b", words):
        return None
    (other,) = {*LIMITS} - {manner.limit_key}
    return replace(manner, limit_key=other), f"wants {other} instead of {manner.limit_key}"


def _no_temperature(manner: Manner, words: str) -> Taught:
    if "temperature" not in words or not REFUSES.search(words):
        return None
    return replace(manner, temperature=False), "takes no temperature of ours"


def _other_effort(manner: Manner, words: str) -> Taught:
    """It knows no reasoning at all, or not this little of it."""
    named = re.search(r"reasoning[_. ]effort", words) and not LOGPROBS.search(words)
    if manner.effort is None or not named:
        return None
    _, _, after = words.partition("supported values")
    offered = [effort for effort in EFFORTS if f"'{effort}'" in after or f'"{effort}"' in after]
    if not offered:
        return replace(manner, effort=None, room=0), "knows no reasoning_effort"
    room = 0 if offered[0] == "none" else ROOM
    note = f"thinks at least with reasoning_effort {offered[0]}"
    return replace(manner, effort=offered[0], room=room), note


def _no_thinking(manner: Manner, words: str) -> Taught:
    """Many a model lists no probabilities as long as it thinks; some are never allowed to."""
    hopeless = manner.effort == "none" or "effort" in manner.learned or "allowed" in words
    if hopeless or not LOGPROBS.search(words):
        return None
    note = 'gives log-probabilities only with reasoning_effort "none"'
    return replace(manner, effort="none", room=0), note


LESSONS: dict[str, Callable[[Manner, str], Taught]] = {
    "length": _cut_short,
    "limit": _other_limit,
    "temperature": _no_temperature,
    "effort": _other_effort,
    "thinking": _no_thinking,
}
