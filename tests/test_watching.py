"""The listener for notebooks: a calm display that ends on the result."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

import bdpl_async as bdpl
from bdpl_async.errors import UsageError
from bdpl_async.events import Note, Retry, Started, Step
from bdpl_async.result import Totals
from bdpl_providers.simulated import Simulated
from tests.workbench import write_task

STARTED = Started(0.0, "reviews", "simulated/x", "bdpl", 0, 12, 8, 0, 40)


def step(number: int, loss: float = 0.5) -> Step:
    usage = Totals(requests=number, prompts=8 * number, usd=0.001 * number, seconds=1.0)
    return Step(1.0, number, loss, 2.0, 0.1, "a b", usage, ("a", "b"), (0.9, 0.1))


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_it_follows_a_run_and_ends_on_its_result(tmp_path: Path) -> None:
    """`tune` in a running loop tells it everything; the last frame is the result's card."""
    frames: list[str] = []
    task = bdpl.Task.from_toml(write_task(tmp_path))
    result = await bdpl.tune(task, Simulated(), on_event=bdpl.Watching(show=frames.append))
    assert frames[-1] == result._repr_html_()
    assert len(frames) >= 2


def test_at_most_four_frames_a_second() -> None:
    """However many events come, a frame is drawn only when the last is a quarter second old."""
    frames: list[str] = []
    clock = Clock()
    watching = bdpl.Watching(show=frames.append, clock=clock)
    watching(STARTED)
    for number in range(1, 101):
        clock.now += 0.01
        watching(step(number))
    assert len(frames) == 1 + 4
    assert "update 100:" in watching.frame()


def test_a_frame_shows_progress_loss_prompt_and_budget() -> None:
    """A bar for the updates and for each limit of the budget, the curve, the last few notes."""
    watching = bdpl.Watching(bdpl.Budget(prompts=320, usd=0.5), show=lambda frame: None)
    watching(STARTED)
    for number, loss in enumerate((0.9, 0.7, float("nan"), 0.5), start=1):
        watching(step(number, loss))
    watching(Retry(1.0, 2, 0.5, "busy", "rate limit"))
    for number in range(5):
        watching(Note(1.0, f"note {number}"))
    frame = watching.frame()
    for part in ("prompts: 32 of 320", "usd: 0.0040 of 0.5000", "updates: 4 of 40", "<polyline"):
        assert part in frame
    assert "width:10.0%" in frame
    assert "requests: " not in frame
    assert "1 request sent again" in frame
    assert "note 4" in frame
    assert "note 1" not in frame
    assert "nan" not in frame.split("<polyline")[1].split(">")[0]


def test_one_listener_follows_several_runs() -> None:
    """What the last run said is gone when the next begins."""
    watching = bdpl.Watching(show=lambda frame: None)
    watching(STARTED)
    watching(step(3))
    watching(Note(1.0, "of the first"))
    watching(STARTED)
    assert "update 3" not in watching.frame()
    assert "of the first" not in watching.frame()


def test_a_long_run_draws_a_short_curve() -> None:
    """The curve has a bounded number of points, so that a frame stays small."""
    watching = bdpl.Watching(show=lambda frame: None, clock=Clock())
    watching(STARTED)
    for number in range(1, 3001):
        watching(step(number, 1 / number))
    points = watching.frame().split('points="')[1].split('"')[0].split()
    assert 60 <= len(points) <= 120


def test_one_display_is_updated_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """IPython's display is made once; every later frame goes to its handle."""
    made, updated = [], []

    class Handle:
        def update(self, shown: str) -> None:
            updated.append(shown)

    def display(shown: str, *, display_id: bool) -> Handle:
        made.append(shown)
        return Handle()

    stand_in = ModuleType("IPython.display")
    stand_in.HTML, stand_in.display = str, display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", stand_in)
    clock = Clock()
    watching = bdpl.Watching(clock=clock)
    for number in range(3):
        clock.now = float(number)
        watching(step(number + 1))
    assert (len(made), len(updated)) == (1, 2)
    assert "update 3" in updated[-1]


def test_without_ipython_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside a notebook the first event is refused by a sentence, not by a traceback of ours."""
    monkeypatch.setitem(sys.modules, "IPython.display", None)
    with pytest.raises(UsageError, match="no IPython here"):
        bdpl.Watching()(STARTED)
