"""What a trial finds out about one read-out on one server: how to ask by it, and what was seen.

Pure records and checks; nothing here sends anything.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp, fsum, isnan
from typing import Protocol, runtime_checkable

from bdpl_async.errors import BdplError, RequestFailed, ServerFault, UnusableAnswer
from bdpl_async.records import Score
from bdpl_providers.wire import Document, Readout

__all__ = [
    "MOST_MASS",
    "UNFIT",
    "Bound",
    "Fit",
    "Piecewise",
    "Seen",
    "allowed_depth",
    "decided",
    "drift",
    "said",
    "sensible",
]

UNFIT = (RequestFailed, ServerFault)
"""What says that a read-out does not work; every other error is about the server."""

SHOWN = 200  # characters of a server's words in a note
ALLOWED = re.compile(
    r"(?:max(?:imum)?(?: value)?(?: allowed)?|at most|less than or equal to|<=|between 0 and)"
    r"\D{0,12}(\d{1,4})\b",
    re.IGNORECASE,
)
MOST_MASS = 1.001  # what rounding may lift a sum of probabilities to


@runtime_checkable
class Piecewise(Protocol):
    """A read-out that finds label words by their text."""

    def pieces(self, document: Document) -> dict[str, str]:
        """Label words that are several tokens, and the piece that is read of each."""
        ...

    def decided(self, document: Document) -> Readout:
        """The read-out that goes on reading each word as it was seen."""
        ...


@dataclass(frozen=True, slots=True)
class Bound:
    """A read-out that works for its label words, and how to ask by it.

    Attributes:
        readout: bound to model and labels.
        batch: texts per request.
        temperature: what the body says instead of the read-out's own; None leaves it.
    """

    readout: Readout
    batch: int = 1
    temperature: float | None = None

    def body(self, texts: Sequence[str]) -> dict[str, object]:
        """The JSON object that asks for these texts."""
        body = self.readout.body(texts)
        if self.temperature is not None and "temperature" in body:
            body["temperature"] = self.temperature
        return body


@dataclass(frozen=True, slots=True)
class Seen:
    """What one answer held: texts with a score, and what is wrong with the others."""

    document: Document
    scored: tuple[tuple[str, Score], ...]
    flaws: tuple[UnusableAnswer, ...] = ()

    @property
    def mangled(self) -> UnusableAnswer | None:
        """Some texts were answered as they should be, and this one was not."""
        return next((flaw for flaw in self.flaws if flaw.retryable), None)


@dataclass(frozen=True, slots=True)
class Fit:
    """A read-out that works.

    Attributes:
        bound: how to ask by it.
        seen: the sample texts' scores.
        depth: likely tokens that the server lists; 0 where it lists none.
        lists: whether several texts travel in one request; None if it was not tried.
        drift: nats by which another temperature moved an answer; None if it was not tried.
        notes: what a person should know, a sentence each.
    """

    bound: Bound
    seen: Seen
    depth: int = 0
    lists: bool | None = None
    drift: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def mass(self) -> float | None:
        """The largest label mass of a sample, if any is known."""
        known = (score.mass for _, score in self.seen.scored)
        return max((mass for mass in known if mass is not None), default=None)

    @property
    def censored(self) -> int:
        """Labels whose value is only a bound, over all samples."""
        return sum(sum(score.censored) for _, score in self.seen.scored)


def decided(fit: Fit) -> Fit:
    """`fit` that reads each label word from now on as it was seen: whole, or by that piece."""
    readout = fit.bound.readout
    if not isinstance(readout, Piecewise):
        return fit
    bound = replace(fit.bound, readout=readout.decided(fit.seen.document))
    return replace(fit, bound=bound)


def sensible(outcome: Score | UnusableAnswer) -> Score | UnusableAnswer:
    """`outcome`, or the flaw in numbers that no probabilities can be."""
    if not isinstance(outcome, Score):
        return outcome
    seen = [
        value
        for value, hidden in zip(
            outcome.logprobs, outcome.censored or (False,) * len(outcome.logprobs), strict=True
        )
        if not hidden
    ]
    if any(isnan(value) or value > MOST_MASS - 1 for value in outcome.logprobs):
        return UnusableAnswer(f"{outcome.logprobs} are no log-probabilities")
    if fsum(map(exp, seen)) > MOST_MASS:
        return UnusableAnswer(f"the probabilities of {outcome.logprobs} sum to more than 1")
    return outcome


def allowed_depth(error: RequestFailed) -> int | None:
    """The largest depth that the server's own words allow, if they name one."""
    found = ALLOWED.search(str(error.args[0])) if "logprob" in str(error.args[0]) else None
    return int(found.group(1)) if found and int(found.group(1)) > 0 else None


def drift(first: Score, second: Score) -> float | None:
    """The largest difference between two scores of one text, where both saw the label."""
    hidden = (False,) * len(first.logprobs)
    pairs = zip(
        first.logprobs,
        second.logprobs,
        first.censored or hidden,
        second.censored or hidden,
        strict=True,
    )
    return max((abs(a - b) for a, b, *unseen in pairs if not any(unseen)), default=None)


def said(error: BdplError, name: str) -> str:
    """What happened, in one short line without the scorer's name and the hint."""
    words = str(error.args[0]).partition("\n")[0].rstrip(".")
    for known in (name, name.partition("/")[2]):
        words = words.removeprefix(f"{known}: ")
    return words if len(words) <= SHOWN else words[:SHOWN] + "..."
