"""What the screen of ``compare`` knows: one record an arm, and the pure steps that grow it.

Knows neither a terminal nor a clock. The run that an arm has under way is a `View` as ``run`` has
it; of those that are over, only numbers remain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from bdpl_async.events import Event, Note
from bdpl_async.pulse import Pulse
from bdpl_async.result import Result, Totals
from bdpl_cli.screen.curve import Curve
from bdpl_cli.screen.timing import seconds_left
from bdpl_cli.screen.view import View, fold

__all__ = ["ArmView", "ArmsView", "begun", "broke", "ended", "left", "progress", "told"]

NOTES = 24
SHARES = {"baseline": 0.0, "search": 0.05, "selection": 0.9, "test": 0.95}
SEARCH = 0.85  # of a run


@dataclass(frozen=True, slots=True)
class ArmView:
    """An arm as the screen sees it.

    Attributes:
        lane: number of its server; runs of one lane come one after another.
        runs: how many it has, one a seed.
        searches: whether the method looks for a prompt.
        over: the totals of each run that is over.
        dev, test: scores of these, where there are any.
        run: the one under way.
        losses: of that one, or of the last one.
        broken: what ended it, if something did.
    """

    model: str
    method: str
    lane: int
    runs: int
    searches: bool
    over: tuple[Totals, ...] = ()
    dev: tuple[float, ...] = ()
    test: tuple[float, ...] = ()
    run: View | None = None
    losses: Curve = field(default_factory=Curve)
    broken: str = ""

    @property
    def name(self) -> str:
        """Model and method."""
        return f"{self.model} {self.method}"

    @property
    def usages(self) -> tuple[Totals, ...]:
        """Of all runs, the one under way as well."""
        now = self.run.pulse if self.run is not None else None
        return self.over if now is None else (*self.over, now.usage)

    def score(self, split: str) -> float | None:
        """The mean of what is known by now, the run under way included; None without any."""
        known = self.dev if split == "dev" else self.test
        scores = () if self.run is None else self.run.scores
        known += tuple(
            found.result.score
            for found in scores
            if (found.split, found.role) == (split, "learned")
        )
        return sum(known) / len(known) if known else None


@dataclass(frozen=True, slots=True)
class ArmsView:
    """A comparison as the screen sees it: arms in order, seconds so far, the last few notes."""

    task: str
    arms: tuple[ArmView, ...]
    seconds: int = 0
    notes: tuple[str, ...] = ()
    stopping: bool = False


def begun(view: ArmsView, place: int) -> ArmsView:
    """A run of the arm at `place` begins."""
    return _changed(view, place, replace(view.arms[place], run=View(), losses=Curve()))


def told(view: ArmsView, place: int, item: Event | Pulse) -> ArmsView:
    """The run of an arm said something, or was looked at; what it notes is noted once."""
    arm = view.arms[place]
    run = fold(arm.run or View(), item)
    view = _changed(view, place, replace(arm, run=run, losses=run.losses))
    if isinstance(item, Note):
        line = f"{arm.name}: {item.message}"
        if line not in view.notes:
            view = replace(view, notes=(*view.notes, line)[-NOTES:])
    return view


def ended(view: ArmsView, place: int, result: Result) -> ArmsView:
    """A run of an arm is over, or was there already."""
    arm = view.arms[place]
    found = replace(
        arm,
        run=None,
        over=(*arm.over, result.usage),
        dev=(*arm.dev, result.dev.score) if result.dev is not None else arm.dev,
        test=(*arm.test, result.test.score) if result.test is not None else arm.test,
    )
    return _changed(view, place, found)


def broke(view: ArmsView, place: int, message: str) -> ArmsView:
    """The run of an arm failed."""
    arm = view.arms[place]
    return _changed(view, place, replace(arm, run=None, broken=message))


def progress(view: ArmsView) -> float:
    """How much is done, 0 to 1, every run counted alike."""
    done = sum(len(arm.over) + _share(arm) for arm in view.arms)
    return done / sum(arm.runs for arm in view.arms)


def left(view: ArmsView) -> float | None:
    """Seconds until the end, servers side by side; None where nobody can say yet."""
    lanes = {arm.lane for arm in view.arms}
    found = [_lane_left([arm for arm in view.arms if arm.lane == lane]) for lane in lanes]
    known = [seconds for seconds in found if seconds is not None]
    return max(known) if len(known) == len(found) else None


def _changed(view: ArmsView, place: int, arm: ArmView) -> ArmsView:
    return replace(view, arms=(*view.arms[:place], arm, *view.arms[place + 1 :]))


def _share(arm: ArmView) -> float:
    """How much of the run under way is done, roughly."""
    pulse = arm.run.pulse if arm.run is not None else None
    if pulse is None:
        return 0.0
    steps = SEARCH * min(1.0, pulse.steps / pulse.planned) if pulse.planned else 0.0
    return SHARES[pulse.phase] + (steps if pulse.phase == "search" else 0.0)


def _lane_left(arms: Sequence[ArmView]) -> float | None:
    total = 0.0
    for arm in arms:
        waiting = arm.runs - len(arm.over) - (arm.run is not None)
        usual = _usual(arm, arms)
        if waiting:
            if usual is None:
                return None
            total += waiting * usual
        if arm.run is not None:
            seconds = seconds_left(arm.run)
            if seconds is None and usual is not None:
                seconds = max(0.0, usual - arm.run.t)
            if seconds is None:
                return None
            total += seconds
    return total


def _usual(arm: ArmView, lane: Sequence[ArmView]) -> float | None:
    """Seconds that a run of the arm takes: by its own, else by its like on the same server."""
    own = [usage.seconds for usage in arm.over]
    if not own and arm.run is not None and (rest := seconds_left(arm.run)) is not None:
        own = [arm.run.t + rest]
    alike = [usage.seconds for a in lane if a.searches == arm.searches for usage in a.over]
    known = own or alike
    return sum(known) / len(known) if known else None
