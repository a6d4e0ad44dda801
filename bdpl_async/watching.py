"""A listener for notebooks: one display that follows a run.

    result = await bdpl.tune(task, scorer, on_event=bdpl.Watching())

It knows events and nothing of the run itself; what is drawn goes out through IPython, which is
imported when the first event comes, or through whatever is given instead.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from importlib import import_module
from math import isfinite
from typing import TYPE_CHECKING, Final

from bdpl_async.budget import Budget
from bdpl_async.cards import card, result_card, scored, step_of, used
from bdpl_async.errors import UsageError
from bdpl_async.events import Evaluated, Event, Finished, Note, Retry, Started, Step
from bdpl_async.markup import Element, Node, tag
from bdpl_async.wording import counted

if TYPE_CHECKING:
    from bdpl_async.result import Totals

__all__ = ["Show", "Watching"]

APART: Final = 0.25  # seconds between two frames at least
NOTES: Final = 3  # the last of them are shown
WIDE, HIGH = 240, 40  # of the curve
POINTS: Final = 120  # of the curve; more are averaged

Show = Callable[[str], None]
"""Takes a frame, HTML, in place of the one before."""


class Watching:
    """Shows a run as it goes: progress, loss, the prompt shaded by its odds, the budget.

    At most four frames a second, and always the last one.

    Args:
        budget: the run's, for bars of what is spent; None shows what is spent alone.
        show: takes each frame; None updates one display of IPython's.
        clock: monotonic seconds.

    Raises:
        UsageError: at the first event, where there is neither IPython nor `show`.
    """

    def __init__(
        self,
        budget: Budget | None = None,
        *,
        show: Show | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._budget = budget or Budget()
        self._show = show
        self._clock = clock
        self._last: float | None = None
        self._started: Started | None = None
        self._step: Step | None = None
        self._losses: list[float] = []
        self._scored: list[Evaluated] = []
        self._notes: list[str] = []
        self._retries = 0

    def __call__(self, event: Event) -> None:
        """Take one event in, and draw if it is time."""
        if isinstance(event, Started):
            self._begin(event)
        match event:
            case Step():
                self._step = event
                self._losses.append(event.loss)
            case Evaluated():
                self._scored.append(event)
            case Retry():
                self._retries += 1
            case Note():
                self._notes.append(event.message)
            case Finished():
                self._draw(result_card(event.result))
                return
        now = self._clock()
        if self._last is None or now - self._last >= APART:
            self._last = now
            self._draw(self.frame())

    def frame(self) -> str:
        """What is known by now."""
        parts: list[Node] = []
        if self._started is not None:
            about = f" on {self._started.model}, {self._started.method}"
            parts.append(tag("div", tag("b", self._started.task), about))
        if self._step is not None:
            parts += [*step_of(self._step), *self._curve(), *self._spent(self._step)]
        parts += [tag("div", scored(one)) for one in self._scored]
        if self._retries:
            parts.append(tag("div", f"{counted(self._retries, 'request')} sent again"))
        parts += [tag("div", f"note: {note}") for note in self._notes[-NOTES:]]
        return card(parts)

    def _begin(self, event: Started) -> None:
        """A run begins; one listener may follow several, one after another."""
        self._started, self._step, self._last = event, None, None
        self._losses, self._scored, self._notes = [], [], []
        self._retries = 0

    def _draw(self, frame: str) -> None:
        if self._show is None:
            self._show = _display()
        self._show(frame)

    def _curve(self) -> list[Node]:
        """The loss over the updates, as a line."""
        losses = [loss for loss in self._losses if isfinite(loss)]
        return [_line(_thinned(losses))] if len(losses) > 1 else []

    def _spent(self, step: Step) -> list[Node]:
        """A bar for the updates and for each limit, and all that was used."""
        usage = step.usage
        bars = [("updates", float(step.step), self._started.steps if self._started else None)]
        bars += [
            (name, _of(usage, name), getattr(self._budget, name))
            for name in ("requests", "prompts", "tokens", "usd", "seconds")
        ]
        limited = [_bar(name, spent, most) for name, spent, most in bars if most]
        return [*limited, tag("div", used(usage), style="opacity:0.75")]


def _of(usage: Totals, name: str) -> float:
    if name == "tokens":
        return usage.prompt_tokens + usage.completion_tokens
    found: float = getattr(usage, name)
    return found


def _bar(name: str, spent: float, most: float) -> Element:
    share = min(1.0, spent / most)
    unit = ",.4f" if name == "usd" else ",.0f"
    full = f"width:{100 * share:.1f}%;height:0.5em;background:rgba(217,119,6,0.8)"
    frame = "width:240px;max-width:100%;background:rgba(128,128,128,0.25);display:inline-block"
    bar = tag("div", tag("div", style=full), style=frame)
    return tag("div", bar, f" {name}: {spent:{unit}} of {most:{unit}}")


def _thinned(values: Sequence[float]) -> list[float]:
    """At most `POINTS` means of neighbours."""
    size = -(-len(values) // POINTS)
    parts = (values[start : start + size] for start in range(0, len(values), size))
    return [sum(part) / len(part) for part in parts]


def _line(values: Sequence[float]) -> Element:
    low, high = min(values), max(values)
    span, last = (high - low) or 1.0, max(1, len(values) - 1)
    points = " ".join(
        f"{WIDE * place / last:.1f},{HIGH - 2 - (HIGH - 4) * (value - low) / span:.1f}"
        for place, value in enumerate(values)
    )
    line = tag("polyline", points=points, fill="none", stroke="currentColor", stroke_width=1.5)
    label = f"loss {values[0]:.3f} to {values[-1]:.3f}"
    return tag("svg", line, tag("title", label), width=WIDE, height=HIGH, role="img")


def _display() -> Show:
    """One display of IPython's, updated in place.

    Raises:
        UsageError: there is no IPython.
    """
    try:
        notebook = import_module("IPython.display")
    except ImportError:
        raise UsageError(
            "Watching() shows a run in a notebook, and there is no IPython here",
            hint="leave on_event out, or give a function of your own: Watching(show=...)",
        ) from None
    handle = None

    def show(frame: str) -> None:
        nonlocal handle
        if handle is None:
            handle = notebook.display(notebook.HTML(frame), display_id=True)
        else:
            handle.update(notebook.HTML(frame))

    return show
