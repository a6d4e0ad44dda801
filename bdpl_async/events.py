"""What a run says as it goes: frozen records that a terminal, a log and a test all read.

`t` is seconds since the run began, by a monotonic clock.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from bdpl_async.evaluation import Evaluation
from bdpl_async.result import Result, Totals

__all__ = [
    "Checkpoint",
    "Evaluated",
    "Event",
    "Finished",
    "Note",
    "Probed",
    "Resumed",
    "Retry",
    "Started",
    "Step",
    "to_json",
]


class _Shown:
    """What notebooks show of an event."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        """For notebooks."""
        from bdpl_async.cards import event_card

        return event_card(self)


@dataclass(frozen=True, slots=True)
class Started(_Shown):
    """The run begins; nothing was sent yet."""

    type: ClassVar[str] = "started"
    t: float
    task: str
    model: str
    method: str
    seed: int
    train: int
    dev: int
    test: int
    steps: int | None


@dataclass(frozen=True, slots=True)
class Probed(_Shown):
    """The model was looked at: label words resolved, how it likes to be asked."""

    type: ClassVar[str] = "probed"
    t: float
    batch: int
    labels: tuple[str, ...]
    readout: str | None = None


@dataclass(frozen=True, slots=True)
class Retry(_Shown):
    """A request failed and is sent again, as its `attempt`, after `wait` seconds.

    `cause` is the kind of failure in a word or two; `reason` is all that is known of it. The log of
    a long run tells several in one, see `bdpl_async.thinning`: `times` of them, `wait` their mean.
    """

    type: ClassVar[str] = "retry"
    t: float
    attempt: int
    wait: float
    reason: str
    cause: str = "unavailable"
    times: int = 1


@dataclass(frozen=True, slots=True)
class Step(_Shown):
    """One update: mean loss of the sampled prompts, mean entropy of the positions (nats).

    Attributes:
        prompt: the best guess after the update, and `tokens`, what it is made of.
        odds: probability of each of these tokens at its position; empty for a method without
            distributions, as is the next.
        spread: entropy of each position (nats).
        lowest: the least mean loss of a prompt drawn for this update, and `drawn`, that prompt. On
            so few examples it is mostly luck.
    """

    type: ClassVar[str] = "step"
    t: float
    step: int
    loss: float
    entropy: float
    kl: float
    prompt: str
    usage: Totals
    tokens: tuple[str, ...] = ()
    odds: tuple[float, ...] = ()
    spread: tuple[float, ...] = ()
    lowest: float | None = None
    drawn: str | None = None


@dataclass(frozen=True, slots=True)
class Evaluated(_Shown):
    """A prompt was scored on a split; `role` is learned or empty."""

    type: ClassVar[str] = "evaluated"
    t: float
    split: str
    role: str
    prompt: str
    result: Evaluation


@dataclass(frozen=True, slots=True)
class Checkpoint(_Shown):
    """The state after `step` is on the disk."""

    type: ClassVar[str] = "checkpoint"
    t: float
    step: int


@dataclass(frozen=True, slots=True)
class Resumed(_Shown):
    """A run that was cut off goes on, from its state after `step`."""

    type: ClassVar[str] = "resumed"
    t: float
    step: int


@dataclass(frozen=True, slots=True)
class Note(_Shown):
    """Something a person should know: a warning, in one sentence."""

    type: ClassVar[str] = "note"
    t: float
    message: str


@dataclass(frozen=True, slots=True)
class Finished(_Shown):
    """The run is over; always the last event."""

    type: ClassVar[str] = "finished"
    t: float
    result: Result


Event = Started | Probed | Retry | Step | Evaluated | Checkpoint | Resumed | Note | Finished


def to_json(event: Event) -> dict[str, Any]:
    """The event as one line of events.jsonl."""
    return {"type": event.type, **asdict(event)}
