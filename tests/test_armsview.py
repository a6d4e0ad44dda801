"""What the screen of a comparison knows: pure steps from events to one record an arm."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bdpl_async.evaluation import Evaluation
from bdpl_async.events import Evaluated, Note, Step
from bdpl_async.pulse import Pulse
from bdpl_async.result import Baseline, Result, Totals
from bdpl_cli.screen.armsview import (
    ArmsView,
    ArmView,
    begun,
    broke,
    ended,
    left,
    progress,
    told,
)


def arm(method: str = "bdpl", lane: int = 0, runs: int = 2, searches: bool = True) -> ArmView:
    return ArmView("compatible/a", method, lane, runs, searches)


def view(*arms: ArmView) -> ArmsView:
    return ArmsView("tiny", arms or (arm(), arm("empty", searches=False)))


def scored(score: float) -> Evaluation:
    return Evaluation("accuracy", score, (score, score), 10)


def result(dev: float | None = 0.5, test: float | None = None, **usage: float) -> Result:
    """A run's outcome, of which the screen takes the scores and the usage."""
    return Result(
        task="tiny",
        model="compatible/a",
        method="bdpl",
        seed=0,
        prompt="",
        tokens=(),
        template="",
        labels={},
        dev=None if dev is None else scored(dev),
        test=None if test is None else scored(test),
        baseline=Baseline(),
        usage=Totals(**usage),  # type: ignore[arg-type]
        steps_done=0,
        stop_reason="steps",
        losses=(),
        data_sha256="",
    )


def pulse(t: float, steps: int, phase: str = "search", **usage: int) -> Pulse:
    return Pulse(t, phase, steps, planned=100, usage=Totals(**usage))


def test_what_is_spent_is_of_runs_over_and_under_way() -> None:
    """The run under way counts by its newest pulse, and once, when it is over, by its result."""
    found = ended(view(), 0, result(prompts=100, retries=1))
    found = told(begun(found, 0), 0, pulse(1, 5, prompts=7, retries=2))
    assert sum(usage.prompts for usage in found.arms[0].usages) == 107
    assert sum(usage.retries for usage in found.arms[0].usages) == 3
    found = ended(found, 0, result(prompts=50))
    assert sum(usage.prompts for usage in found.arms[0].usages) == 150
    assert found.arms[1] == view().arms[1]


def test_scores_are_means_of_what_is_known() -> None:
    """Runs that are over and the one under way; the empty prompt's score is no arm's."""
    found = ended(view(), 0, result(dev=0.5, test=0.7))
    assert (found.arms[0].score("dev"), found.arms[0].score("test")) == (0.5, 0.7)
    found = told(begun(found, 0), 0, Evaluated(1.0, "dev", "empty", "", scored(0.1)))
    assert found.arms[0].score("dev") == 0.5
    found = told(found, 0, Evaluated(1.0, "dev", "learned", "x", scored(1.0)))
    assert found.arms[0].score("dev") == 0.75
    assert view().arms[0].score("dev") is None


def test_a_note_is_noted_once_an_arm() -> None:
    """Every seed may warn of the same; two arms are two notes; the oldest of many are dropped."""
    found = view()
    for place in (0, 0, 1):
        found = told(begun(found, place), place, Note(0.0, "mind the gap"))
    assert found.notes == ("compatible/a bdpl: mind the gap", "compatible/a empty: mind the gap")
    for number in range(100):
        found = told(found, 0, Note(0.0, str(number)))
    assert len(found.notes) < 100
    assert found.notes[-1].endswith("99")


def test_losses_outlast_their_run_until_the_next() -> None:
    """The curve of the last run stays until another one begins."""
    found = begun(view(), 0)
    for step, loss in enumerate((0.9, 0.5)):
        found = told(found, 0, Step(1.0, step, loss, 1.0, 0.0, "x", Totals()))
    over = ended(found, 0, result())
    assert over.arms[0].losses.shown == (0.9, 0.5)
    assert begun(over, 0).arms[0].losses.shown == ()


def test_progress_counts_every_run_alike_and_never_goes_back() -> None:
    """From nothing to all, through the phases of a run."""
    found, seen = view(), [0.0]
    for place in (0, 0, 1, 1):
        found = begun(found, place)
        for phase, steps in (("baseline", 0), ("search", 50), ("selection", 100), ("test", 100)):
            found = told(found, place, pulse(1, steps, phase))
            seen.append(progress(found))
        found = ended(found, place, result())
        seen.append(progress(found))
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (0.0, 1.0)
    assert seen[5] == 0.25


def test_servers_are_waited_for_side_by_side() -> None:
    """The time left is that of the slowest server, not the sum; runs of one server add up."""
    found = view(arm(lane=0, runs=3), arm("random", lane=1, runs=2))
    assert left(found) is None
    found = ended(found, 0, result(seconds=10.0))
    assert left(found) is None  # of the other server nothing is known
    found = ended(found, 1, result(seconds=30.0))
    assert left(found) == 30.0
    found = ended(found, 1, result(seconds=30.0))
    assert left(found) == 20.0


def test_an_arm_that_has_not_run_takes_as_long_as_its_like() -> None:
    """A search tells of a search on the same server, never of a prompt that is only scored."""
    found = view(arm("bdpl", runs=1), arm("random", runs=1), arm("empty", runs=1, searches=False))
    found = ended(found, 0, result(seconds=60.0))
    assert left(found) is None
    assert left(replace(found, arms=found.arms[:2])) == 60.0
    found = ended(found, 2, result(seconds=1.0))
    assert left(found) == 60.0


def test_a_broken_run_is_remembered() -> None:
    """It is no longer under way, and what broke it is known."""
    found = broke(begun(view(), 1), 1, "quota used up")
    assert found.arms[1].run is None
    assert found.arms[1].broken == "quota used up"


@pytest.mark.parametrize("split", ["dev", "test"])
def test_a_run_without_a_score_takes_no_part_in_the_mean(split: str) -> None:
    """A budget that bought none leaves the others' mean alone."""
    found = ended(ended(view(), 0, result(dev=0.6, test=0.6)), 0, result(dev=None))
    assert found.arms[0].score(split) == 0.6
    assert len(found.arms[0].over) == 2
