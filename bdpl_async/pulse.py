"""A run at one moment, between two of its events: what a terminal polls to draw itself."""

from __future__ import annotations

from dataclasses import dataclass, field

from bdpl_async.budget import Amount, Budget
from bdpl_async.latency import Latency
from bdpl_async.limits.standing import Standing
from bdpl_async.result import Totals

__all__ = ["PHASES", "Pulse"]

PHASES = ("baseline", "search", "selection", "test")
"""What a run does, in this order: the empty prompt on dev, updates, choosing on dev, the test."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """A snapshot.

    Attributes:
        t: seconds since the run began.
        phase: one of `PHASES`.
        steps: updates done, of `planned`, as far as steps and budget tell; None: as long as it
            takes.
        used: what fills the budget and is over, answers of the cache at what they had cost.
        held: reserved for requests under way.
        kept: what the rest of the run is to keep for its end.
        usage: everything consumed.
        standing: in flight, waiting, limits.
        stopping: it was asked to stop.
    """

    t: float
    phase: str
    steps: int
    planned: int | None
    budget: Budget = field(default_factory=Budget)
    used: Amount = field(default_factory=Amount)
    held: Amount = field(default_factory=Amount)
    kept: Amount = field(default_factory=Amount)
    usage: Totals = field(default_factory=Totals)
    latency: Latency = field(default_factory=Latency)
    standing: Standing = field(default_factory=Standing)
    stopping: bool = False
