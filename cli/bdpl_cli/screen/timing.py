"""How fast a run goes and how long it will take, from the marks of a view. Pure."""

from __future__ import annotations

from bdpl_async.pulse import Pulse
from bdpl_cli.screen.view import Mark, View

__all__ = ["COUNTED", "progress", "seconds_left", "sent_a_minute", "sure"]

COUNTED = ("requests", "prompts", "tokens", "usd")
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
        if sure(view):
            return min(1.0, pulse.steps / pulse.planned) if pulse.planned else None
        parts = [*_asked(view, pulse), *_spent(view, pulse)]
        parts = parts or ([pulse.steps / pulse.planned] if pulse.planned else [])
        return min(1.0, max(parts)) if parts else None
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


def sure(view: View) -> bool:
    """Whether as many updates as are planned were asked for, and not guessed from the budget."""
    pulse, started = view.pulse, view.started
    return pulse is not None and started is not None and started.steps == pulse.planned


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
    """Seconds of the search, by the updates that were asked for, else by what the budget holds."""
    first, last = view.marks[0], view.marks[-1]
    ends = [] if sure(view) else _runs_out(pulse, first, last)
    asked = view.started.steps if view.started is not None else None
    planned = asked or (None if ends else pulse.planned)
    done = last.steps - first.steps
    if planned is not None and planned > pulse.steps and done > 0:
        ends.append((planned - pulse.steps) * (last.t - first.t) / done)
    return min(ends, default=None)


def _runs_out(pulse: Pulse, first: Mark, last: Mark) -> list[float]:
    """Seconds until each limit is used up."""
    found = []
    for name in COUNTED:
        limit = getattr(pulse.budget, name)
        gone = getattr(last.used, name) - getattr(first.used, name)
        if limit is not None and gone > 0:
            free = limit - getattr(pulse.used, name) - getattr(pulse.kept, name)
            found.append(max(0.0, free) * (last.t - first.t) / gone)
    return found


def _asked(view: View, pulse: Pulse) -> list[float]:
    """How many of the updates that were asked for are done, where they were."""
    asked = view.started.steps if view.started is not None else None
    return [pulse.steps / asked] if asked else []


def _spent(view: View, pulse: Pulse) -> list[float]:
    """How much of each limit is gone, without what is kept for the end."""
    limits = ((name, getattr(pulse.budget, name)) for name in COUNTED)
    parts = [(name, limit - getattr(pulse.kept, name)) for name, limit in limits if limit]
    found = [getattr(pulse.used, name) / part for name, part in parts if part > 0]
    return [*found, view.t / pulse.budget.seconds] if pulse.budget.seconds else found
