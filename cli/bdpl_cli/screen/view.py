"""What the screen knows of a run: one record, and the pure fold that grows it.

Knows neither a terminal nor a clock: the time comes with the events and pulses. All of bounded
size, however long the run.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import ceil

from bdpl_async.budget import Amount
from bdpl_async.events import (
    Checkpoint,
    Evaluated,
    Event,
    Finished,
    Note,
    Probed,
    Resumed,
    Retry,
    Started,
    Step,
)
from bdpl_async.pulse import Pulse
from bdpl_async.result import Result
from bdpl_cli.screen.curve import Curve, grown

__all__ = ["Draw", "Mark", "View", "fold"]

MARKS = 60  # seconds that are looked back on
NOTES = 24
CAUSES = 8  # kinds of failure; more than there are


@dataclass(frozen=True, slots=True)
class Mark:
    """How far it was at one moment, to tell a pace by."""

    t: float
    requests: int
    steps: int
    used: Amount


@dataclass(frozen=True, slots=True)
class Draw:
    """The sampled prompt with the least loss of any, which is mostly luck."""

    loss: float
    prompt: str
    step: int


@dataclass(frozen=True, slots=True)
class View:
    """A run as the screen sees it.

    Attributes:
        t: whole seconds since the run began.
        started: what the run is.
        pulse: the newest, with times in whole seconds, so that it is equal while nothing happens.
        step: the newest update.
        losses, entropies: of all updates; entropies only of a method that has distributions.
        widest: characters of the longest prompt so far.
        best: the luckiest draw.
        retries: how often a request was sent again, by cause, the first cause first.
        trouble: the newest of them.
        scores: of (split, role), the newest of each.
        notes: the last few.
        marks: one a second, oldest first.
        searched: prompts used when the search was last seen, and `closing`, those that will have
            been used at the end.
        result: once it is over.
    """

    t: int = 0
    started: Started | None = None
    readout: str | None = None
    pulse: Pulse | None = None
    step: Step | None = None
    losses: Curve = field(default_factory=Curve)
    entropies: Curve = field(default_factory=Curve)
    widest: int = 0
    best: Draw | None = None
    retries: tuple[tuple[str, int], ...] = ()
    trouble: Retry | None = None
    scores: tuple[Evaluated, ...] = ()
    notes: tuple[Note, ...] = ()
    marks: tuple[Mark, ...] = ()
    searched: int = 0
    closing: int | None = None
    result: Result | None = None


def fold(view: View, item: Event | Pulse) -> View:
    """The view after one more event or pulse."""
    view = replace(view, t=max(view.t, int(item.t)))
    match item:
        case Pulse():
            return _beaten(view, item)
        case Step():
            return _stepped(view, item)
        case Evaluated():
            kept = [s for s in view.scores if (s.split, s.role) != (item.split, item.role)]
            widest = max(view.widest, len(item.prompt))
            return replace(view, scores=(*kept, item)[-4:], widest=widest)
        case Checkpoint() | Resumed():
            return view
        case _:
            return _told(view, item)


def _told(view: View, item: Started | Probed | Retry | Note | Finished) -> View:
    match item:
        case Started():
            found = replace(view, started=item)
        case Probed():
            found = replace(view, readout=item.readout)
        case Retry():
            found = replace(view, retries=_counted(view.retries, item.cause), trouble=item)
        case Note():
            found = replace(view, notes=(*view.notes, item)[-NOTES:])
        case Finished():
            found = replace(view, result=item.result)
    return found


def _beaten(view: View, pulse: Pulse) -> View:
    """How it stands; a mark of it at most once a second."""
    standing, phase = pulse.standing, pulse.phase
    seconds = None if standing.seconds is None else ceil(standing.seconds)
    calm = replace(
        pulse,
        t=int(pulse.t),
        usage=replace(pulse.usage, seconds=0.0),
        standing=replace(standing, seconds=seconds),
    )
    used = pulse.used.prompts
    if phase in ("baseline", "search"):
        view = replace(view, searched=used, closing=used + pulse.kept.prompts)
    last = view.marks[-1].t if view.marks else float("-inf")
    if int(pulse.t) > last:
        mark = Mark(int(pulse.t), pulse.usage.requests, pulse.steps, pulse.used)
        recent = [m for m in view.marks if m.t >= mark.t - MARKS]
        view = replace(view, marks=(*recent, mark))
    return replace(view, pulse=calm)


def _stepped(view: View, step: Step) -> View:
    best = view.best
    low, drawn = step.lowest, step.drawn
    if low is not None and drawn is not None and (best is None or low < best.loss):
        best = Draw(low, drawn, step.step)
    entropies = grown(view.entropies, step.entropy) if step.spread else view.entropies
    return replace(
        view,
        step=step,
        losses=grown(view.losses, step.loss),
        entropies=entropies,
        widest=max(view.widest, len(step.prompt)),
        best=best,
    )


def _counted(counts: tuple[tuple[str, int], ...], cause: str) -> tuple[tuple[str, int], ...]:
    known = dict(counts)
    name = cause if cause in known or len(known) < CAUSES else "other"
    return tuple((known | {name: known.get(name, 0) + 1}).items())
