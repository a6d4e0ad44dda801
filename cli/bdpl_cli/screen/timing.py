"""How fast a run goes and how long it will take, from the marks of a view. Pure."""

from __future__ import annotations

from bdpl_async.pulse import Pulse
from bdpl_cli.screen.view import Mark, View

__all__ = ["progress", "seconds_left", "sent_a_minute"]

RECENT = 10  # seconds that a rate of requests is taken over
ENOUGH = 3  # seconds before a pace is believed


def sent_a_minute(view: View) -> float | None:
    """Requests a minute, over the last ten seconds; None before there is a pace."""
    if not view.marks:
        return None
    last = view.marks[-1]
    first = next(mark for mark in view.marks if mark.t >= last.t - RECENT)
    span = last.t - first.t
    return max(0.0, 60 * (last.requests - first.requests) / span) if span else None


def progress(view: View) -> float | None:
    """How much of the phase is done, 0 to 1; None where nobody can say."""
    pulse = view.pulse
    if pulse is None:
        return None
    if pulse.phase == "search":
        return min(1.0, pulse.steps / pulse.planned) if pulse.planned else None
    if pulse.phase == "baseline":
        done, of = pulse.used.prompts, view.started.dev if view.started is not None else 0
    else:
        done, of = pulse.used.prompts - view.searched, (view.closing or 0) - view.searched
    return min(1.0, max(0.0, done / of)) if of > 0 else None


def seconds_left(view: View) -> float | None:
    """Until the end of the run, at the pace of the last minute; None where nobody can say."""
    pulse = view.pulse
    if pulse is None or pulse.stopping or len(view.marks) < 2:
        return None
    first, last = view.marks[0], view.marks[-1]
    span = last.t - first.t
    if span < ENOUGH:
        return None
    closing = _closing(view, pulse, (last.used.prompts - first.used.prompts) / span)
    if pulse.phase != "search":
        return closing
    search = _search(view, pulse)
    found = None if search is None or closing is None else search + closing
    granted = pulse.budget.seconds
    if granted is None:
        return found
    return max(0.0, min(granted - view.t, granted if found is None else found))


def _closing(view: View, pulse: Pulse, pace: float) -> float | None:
    """Seconds that selection and test take, at so many prompts a second."""
    if pulse.phase == "baseline":
        return None
    left = pulse.kept.prompts
    if pulse.phase != "search":
        left = max(0, (view.closing or 0) - pulse.used.prompts)
    if not left:
        return 0.0
    return left / pace if pace > 0 else None


def _search(view: View, pulse: Pulse) -> float | None:
    """Seconds of the search, by the updates that are planned, else by what the budget holds."""
    first, last = view.marks[0], view.marks[-1]
    span = last.t - first.t
    if pulse.planned is not None and pulse.steps < pulse.planned:
        done = last.steps - first.steps
        return (pulse.planned - pulse.steps) * span / done if done > 0 else None
    return min(_runs_out(pulse, first, last), default=None)


def _runs_out(pulse: Pulse, first: Mark, last: Mark) -> list[float]:
    """Seconds until each limit is used up."""
    found = []
    for name in ("requests", "prompts", "tokens", "usd"):
        limit = getattr(pulse.budget, name)
        gone = getattr(last.used, name) - getattr(first.used, name)
        if limit is not None and gone > 0:
            free = limit - getattr(pulse.used, name) - getattr(pulse.kept, name)
            found.append(max(0.0, free) * (last.t - first.t) / gone)
    return found
