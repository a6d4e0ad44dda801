"""The rules of `bdpl_cli.page.verdict`: what may be said of a run, and what must be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bdpl_async.calibration import Offsets
from bdpl_async.evaluation import Evaluation, Gain
from bdpl_async.result import Baseline
from bdpl_cli.page.verdict import verdict
from tests.pagereader import material_of, run_with_test

Capsys = pytest.CaptureFixture[str]
BETTER = Evaluation("accuracy", 0.75, (0.70, 0.79), 320)
WORSE = Evaluation("accuracy", 0.60, (0.55, 0.65), 320)
DEV = Evaluation("accuracy", 0.84, (0.68, 0.93), 32)
BASE = Baseline(Evaluation("accuracy", 0.66, (0.48, 0.80), 32), WORSE)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capsys) -> Path:
    monkeypatch.chdir(tmp_path)
    return run_with_test(capsys, tmp_path)


def test_a_gain_is_told_with_its_interval_and_p(run: Path) -> None:
    """Both scores, the difference in points, how sure, and that dev flatters."""
    gain = Gain(0.15, (0.08, 0.22), 0.0004)
    found = verdict(material_of(run, dev=DEV, test=BETTER, baseline=BASE, gain=gain, chosen_from=8))
    assert found.kind == "better"
    assert found.text == (
        "On test the learned prompt scores 15.0 points above the empty one (95 %: +8.0 to +22.0,"
        " n=320; p < 0.001): accuracy is 75.0 % with it and 60.0 % without."
    )
    assert any("from 8, so its dev score (84.0 %) flatters it" in one for one in found.doubts)


def test_a_loss_is_called_one(run: Path) -> None:
    """A prompt that is worse than none is never dressed up."""
    gain = Gain(-0.15, (-0.22, -0.08), 0.0004)
    base = replace(BASE, test=BETTER)
    found = verdict(material_of(run, test=WORSE, baseline=base, gain=gain))
    assert found.kind == "worse"
    assert "15.0 points below the empty one" in found.text


@pytest.mark.parametrize("ends", [(-0.02, 0.32), (0.0, 0.3), (-0.3, 0.0), (0.0, 0.0)])
def test_an_interval_that_holds_zero_is_no_difference(run: Path, ends: tuple[float, float]) -> None:
    """However large the difference looks, and whatever p says."""
    gain = Gain(0.15, ends, 0.001)
    found = verdict(material_of(run, test=BETTER, baseline=BASE, gain=gain))
    assert found.kind == "same"
    assert found.text.startswith("On test there is no difference that these 320 examples can show")


def test_two_tests_that_disagree_make_a_close_call(run: Path) -> None:
    """The interval leaves zero out, McNemar's test does not reject: both are said."""
    gain = Gain(0.02, (0.001, 0.04), 0.08)
    found = verdict(material_of(run, test=BETTER, baseline=BASE, gain=gain))
    assert "a close call" in found.text
    assert "p = 0.080" in found.text


def test_a_gain_that_was_not_kept_is_found_from_the_answers(run: Path) -> None:
    """The same numbers as the run's own, since its seed draws the interval."""
    kept = material_of(run).result.gain
    assert kept is not None
    assert material_of(run, gain=None).gain("test") == kept


def test_without_test_nothing_is_proven(run: Path) -> None:
    """Dev scores are told as what they are."""
    found = verdict(
        material_of(run, dev=DEV, test=None, gain=None, baseline=replace(BASE, test=None))
    )
    assert found.kind == "open"
    assert found.text.startswith("There is no test score, so nothing is proven")
    assert any("32 examples make a rough score" in one for one in found.doubts)


def test_a_run_that_learned_nothing_says_so(run: Path) -> None:
    """No score and no update: nothing was learned; with updates it was scored on nothing."""
    none = {"dev": None, "test": None, "gain": None, "baseline": Baseline()}
    found = verdict(material_of(run, **none, steps_done=0, stop_reason="provider"))
    assert found.text == "The run ended before anything was learned."
    assert any("lost its provider" in one for one in found.doubts)
    found = verdict(material_of(run, **none, steps_done=1, stop_reason="interrupted"))
    assert "cut off after 1 update:" in found.text


def test_the_empty_prompt_may_win(run: Path) -> None:
    """Then there is no difference to tell."""
    found = verdict(material_of(run, prompt="", tokens=(), test=WORSE, baseline=BASE))
    assert found.kind == "same"
    assert "the search found nothing better" in found.text


def test_doubts_are_told(run: Path) -> None:
    """A dev score below the empty prompt's, texts without an answer, calibration, a simulation."""
    low = Evaluation("accuracy", 0.5, (0.3, 0.7), 32)
    lost = replace(BETTER, unanswered=1)
    base = replace(BASE, test=replace(WORSE, unanswered=3))
    offsets = Offsets("batch", (0.1, -0.1))
    gain = Gain(0.15, (0.08, 0.22), 0.0004)
    doubts = " ".join(
        verdict(
            material_of(run, dev=low, test=lost, baseline=base, gain=gain, calibration=offsets)
        ).doubts
    )
    assert "On dev the empty prompt scored higher." in doubts
    assert (
        "1 of 320 test examples got no usable answer with the learned prompt and counts" in doubts
    )
    assert "3 of 320 test examples got no usable answer with the empty prompt and count" in doubts
    assert "calibrated (batch)" in doubts
    assert "simulated" in doubts
