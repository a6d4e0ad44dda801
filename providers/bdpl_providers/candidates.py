"""The read-outs that a kind of server may have, each with what must be known to try it.

    Candidate --build(labels, ids, depth)--> Readout

A candidate is not bound to labels yet; the probe finds out what it needs and whether it works.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bdpl_async.errors import ConfigError
from bdpl_providers.chat import MOST_LISTED, ChatTopK, LimitKey
from bdpl_providers.completions import TokenIds, TopK
from bdpl_providers.said import Said
from bdpl_providers.wire import Readout

__all__ = ["Builder", "Candidate", "chat", "chosen", "text", "token_ids", "top_k"]

Builder = Callable[[tuple[str, ...], tuple[int, ...] | None, int], Readout]
"""Label words, their token ids if known, and how many likely tokens to ask for."""

DEPTHS = (MOST_LISTED, 5, 1)  # as most servers allow, as some do, and the least that is a list

BY_TEMPLATE = "let the template's last words before {mask} make the model expect a label word"
BY_ASKING = "let [chat] ask name the label words and ask for exactly one of them"
FRAME = 160  # tokens of the messages around a text in a chat, before they are counted


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to read label probabilities, not yet tried.

    Attributes:
        name: as in the configuration.
        build: makes the read-out.
        reads: what it reads, for messages; ``{k}`` stands for the depth.
        remedy: what to change where the model expects no label word.
        depths: how many likely tokens to ask for, the best first; (0,) where none are listed.
        batch: texts per request that such a server takes gladly, if it takes several.
        ids: whether it needs the label words' token ids, is better with them, or has no use.
        weighs: whether it reads probabilities; a word that was said is none.
        frame: prompt tokens beside the text, about, as long as nothing is bound.
    """

    name: str
    build: Builder
    reads: str
    remedy: str = BY_TEMPLATE
    depths: tuple[int, ...] = (0,)
    batch: int = 1
    ids: Literal["useless", "wanted", "needed"] = "useless"
    weighs: bool = True
    frame: int = 0


def token_ids(model: str, *, batch: int = 1) -> Candidate:
    """The exact log-probabilities of the label words' own tokens, as vLLM gives them."""

    def build(labels: tuple[str, ...], ids: tuple[int, ...] | None, depth: int) -> Readout:
        if ids is None:
            raise ValueError(f"the token ids of {labels} are not known")
        return TokenIds(model, ids)

    reads = "the log-probabilities of the label words' own tokens"
    return Candidate("token-ids", build, reads, batch=batch, ids="needed")


def top_k(
    model: str, *, batch: int = 1, ids: Literal["useless", "wanted"] = "useless"
) -> Candidate:
    """The likeliest k tokens that ``/completions`` lists."""

    def build(labels: tuple[str, ...], known: tuple[int, ...] | None, depth: int) -> Readout:
        return TopK(model, labels, depth, known)

    reads = "the top {k} log-probabilities: labels outside them are censored"
    return Candidate("logprobs", build, reads, depths=DEPTHS, batch=batch, ids=ids)


def chat(
    model: str,
    system: str | None = None,
    ask: str | None = None,
    *,
    extra: Mapping[str, object] | None = None,
    limit_key: LimitKey = "max_tokens",
) -> Candidate:
    """The likeliest k first tokens of an answer in a chat."""

    def build(labels: tuple[str, ...], ids: tuple[int, ...] | None, depth: int) -> Readout:
        return ChatTopK(model, labels, depth, system, ask, extra or {}, limit_key)

    reads = "the top {k} log-probabilities of a chat's answer: labels outside them are censored"
    return Candidate(
        "chat", build, reads, remedy=BY_ASKING, depths=DEPTHS, frame=_frame(system, ask)
    )


def text(
    model: str, system: str | None = None, ask: str | None = None, *, batch: int = 1
) -> tuple[Candidate, Candidate]:
    """What the model says, by chat or else by ``/completions``; no probabilities at all."""

    def by_chat(labels: tuple[str, ...], ids: tuple[int, ...] | None, depth: int) -> Readout:
        return Said(model, labels, system, ask)

    def by_completions(labels: tuple[str, ...], ids: tuple[int, ...] | None, depth: int) -> Readout:
        return Said(model, labels, chat=False)

    reads = "the label word that {it} says: no probabilities, so a search learns slowly"
    in_chat = reads.format(it="a chat's answer")
    frame = _frame(system, ask)
    plainly = reads.format(it="the continuation")
    return (
        Candidate("text", by_chat, in_chat, remedy=BY_ASKING, weighs=False, frame=frame),
        Candidate("text", by_completions, plainly, batch=batch, weighs=False),
    )


def chosen(
    model: str, readout: str, candidates: Sequence[Candidate], auto: Sequence[str]
) -> tuple[Candidate, ...]:
    """Those of `candidates` to try, best first: what `readout` names, or `auto` for auto.

    Raises:
        ConfigError: this kind of server has no such read-out.
    """
    names = auto if readout == "auto" else (readout,)
    found = tuple(candidate for candidate in candidates if candidate.name in names)
    if not found:
        offered = ", ".join(dict.fromkeys(candidate.name for candidate in candidates))
        raise ConfigError(
            f"model.readout: {model} cannot be read by {readout!r}", hint=f"take auto, {offered}"
        )
    return found


def _frame(system: str | None, ask: str | None) -> int:
    return FRAME + sum(len(part.encode("utf-8", "replace")) for part in (system, ask) if part)
