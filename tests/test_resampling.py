"""Intervals and p-values over seeds and examples: they keep what 95 % promises."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bdpl_async.intervals import interval, mcnemar
from bdpl_async.metrics import METRICS
from bdpl_async.studies.resampling import Judged, _tossed, difference, mean_interval, scores

Ints = NDArray[np.int64]
WORLDS = 80


def world(
    seed: int, seeds: int, n: int, spread: float, ahead: float = 0.0, *, shared: bool = True
) -> tuple[Judged, Judged]:
    """Two arms on the same examples.

    Examples differ in how easy they are, for both arms alike; seeds by `spread` in how good the
    prompt is that an arm finds; the first arm's prompts are better by `ahead` on average.
    """
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, (1 if shared else seeds, n)) * np.ones((seeds, 1), np.int64)
    easy = rng.normal(0.5, 1.0, (1 if shared else seeds, n))
    sides = []
    for gain in (ahead, 0.0):
        good = gain + rng.normal(0.0, spread, (seeds, 1))
        right = easy + good + rng.normal(0.0, 0.7, (seeds, n)) > 0
        sides.append(Judged(labels, np.where(right, labels, 1 - labels), shared))
    return sides[0], sides[1]


def fixed(answers: Ints, labels: Ints, seeds: int) -> Judged:
    """The same answers from every seed."""
    return Judged(np.tile(labels, (seeds, 1)), np.tile(answers, (seeds, 1)))


@pytest.mark.parametrize(("seeds", "spread"), [(1, 0.0), (3, 0.0), (3, 0.25)])
def test_intervals_cover_the_truth(seeds: int, spread: float) -> None:
    """Whatever seeds do, the 95 % interval of two equal arms' difference holds 0 as promised."""
    held = 0
    for number in range(WORLDS):
        found = difference("accuracy", *world(number, seeds, 100, spread))
        held += found.ci95[0] <= 0 <= found.ci95[1]
    assert held / WORLDS >= 0.91


def test_a_mean_covers_the_truth() -> None:
    """The interval of a mean over seeds holds the score of all seeds and all examples."""
    arms = [world(number, 3, 120, 0.25)[0] for number in range(WORLDS)]
    truth = float(np.mean([scores("accuracy", world(n, 20, 400, 0.25)[0]) for n in range(60)]))
    found = [mean_interval("accuracy", arm)[1] for arm in arms]
    held = sum(low <= truth <= high for low, high in found)
    assert held / WORLDS >= 0.91


@pytest.mark.parametrize("seeds", [3, 5])
def test_equal_methods_are_seldom_told_apart(seeds: int) -> None:
    """Under the null p < q happens about q of the time, though the prompts of seeds differ."""
    pairs = [world(number, seeds, 80, 0.3) for number in range(WORLDS)]
    found = np.array([difference("accuracy", *pair).p_value for pair in pairs])
    assert (found < 0.05).mean() <= 0.09
    assert 0.08 <= (found < 0.25).mean() <= 0.35
    assert 0.3 <= (found < 0.6).mean() <= 0.75


def test_better_methods_are_found() -> None:
    """An arm that is far better is told apart with a few seeds."""
    found = [difference("accuracy", *world(n, 5, 200, 0.1, ahead=0.8)) for n in range(20)]
    assert np.mean([verdict.p_value < 0.05 for verdict in found]) >= 0.9
    assert all(verdict.score > 0 for verdict in found)


def test_one_seed_is_the_test_of_a_pair() -> None:
    """With one seed the p-value is McNemar's, and a mean's interval the score's own."""
    first, second = world(3, 1, 80, 0.0)
    sides = first.answers[0], second.answers[0], first.labels[0]
    assert difference("accuracy", first, second).p_value == mcnemar(*sides)
    own = interval("accuracy", first.answers[0], first.labels[0], np.random.default_rng(0))
    assert mean_interval("accuracy", first)[1] == own


@given(st.integers(0, 10**6), st.integers(2, 5))
@settings(max_examples=15)
def test_seeds_without_effect_change_nothing(seed: int, seeds: int) -> None:
    """Fixed prompts, which answer alike for every seed, are judged as with one seed."""
    first, second = world(seed, 1, 60, 0.0)
    labels = first.labels[0]
    several = [fixed(side.answers[0], labels, seeds) for side in (first, second)]
    assert difference("accuracy", *several) == difference("accuracy", first, second)
    assert mean_interval("accuracy", several[0]) == mean_interval("accuracy", first)


def test_the_coin_agrees_with_the_exact_test() -> None:
    """Answers exchanged at random give McNemar's p-value, where both apply."""
    for number in range(6):
        first, second = world(number, 1, 100, 0.0, ahead=0.2)
        each = scores("accuracy", first) - scores("accuracy", second)
        exact = difference("accuracy", first, second).p_value
        assert _tossed("accuracy", first, second, each) == pytest.approx(exact, abs=0.03)


@pytest.mark.parametrize("metric", sorted(METRICS))
@pytest.mark.parametrize("shared", [True, False])
@given(st.integers(0, 10**6), st.integers(1, 3), st.integers(2, 25))
@settings(max_examples=8)
def test_the_order_of_a_pair_turns_the_sign(
    metric: str, shared: bool, seed: int, seeds: int, n: int
) -> None:
    """B less A is A less B with the sign changed, to the last bit; the interval holds the score."""
    first, second = world(seed, seeds, n, 0.5, shared=shared)
    found, turned = difference(metric, first, second), difference(metric, second, first)
    assert turned.score == -found.score
    assert turned.ci95 == (-found.ci95[1], -found.ci95[0])
    assert turned.p_value == found.p_value
    assert found.ci95[0] - 1e-12 <= found.score <= found.ci95[1] + 1e-12
    assert 0 < found.p_value <= 1


@pytest.mark.parametrize("metric", sorted(METRICS))
def test_an_arm_does_not_differ_from_itself(metric: str) -> None:
    """The same answers differ by nothing, surely, and p is 1."""
    arm, _ = world(1, 3, 40, 0.5)
    found = difference(metric, arm, arm)
    assert (found.score, found.ci95, found.p_value) == (0.0, (0.0, 0.0), 1.0)


def test_more_seeds_and_more_examples_narrow_the_interval() -> None:
    """What is averaged over more is known better."""
    sizes = [(2, 60), (4, 60), (8, 240)]
    widths = []
    for seeds, n in sizes:
        found = [difference("accuracy", *world(i, seeds, n, 0.2)).ci95 for i in range(8)]
        widths.append(np.mean([high - low for low, high in found]))
    assert all(wide > narrow for wide, narrow in pairwise(widths))


@pytest.mark.parametrize(("metric", "lowest"), [("accuracy", 0.0), ("mcc", -1.0)])
def test_a_mean_stays_within_the_metric(metric: str, lowest: float) -> None:
    """Two seeds far apart do not put an end of the interval where no score can be."""
    labels = np.array([0, 1] * 10)
    arm = Judged(np.stack([labels, labels]), np.stack([labels, 1 - labels]))
    low, high = mean_interval(metric, arm)[1]
    assert (low, high) == (lowest, 1.0)


def test_no_answer_is_wrong() -> None:
    """An answer of -1 counts, and counts as wrong."""
    labels = np.array([[0, 1, 0, 1]])
    none, half = np.full((1, 4), -1), np.array([[0, 1, -1, -1]])
    found = difference("accuracy", Judged(labels, half), Judged(labels, none))
    assert found.score == 0.5


def test_other_examples_are_refused() -> None:
    """Answers to other examples are no pair."""
    first, second = world(0, 2, 20, 0.1)
    with pytest.raises(ValueError, match="same examples"):
        difference("accuracy", first, second.first(10))


def test_a_large_test_split_costs_seconds() -> None:
    """Memory and time stay bounded where nearly every example is a kind of its own."""
    rng = np.random.default_rng(0)
    labels = np.tile(rng.integers(0, 3, 2500), (6, 1))
    arms = [Judged(labels, rng.integers(0, 3, labels.shape)) for _ in range(2)]
    low, high = difference("macro_f1", *arms).ci95
    assert -0.1 < low < high < 0.1


def test_no_zero_is_negative() -> None:
    """The other way round an end at zero is zero, and is not shown as -0.0."""
    labels = np.array([[0, 1, 0, 1]])
    right, worse = Judged(labels, labels), Judged(labels, np.array([[0, 1, 0, 0]]))
    for verdict in (difference("accuracy", right, worse), difference("accuracy", worse, right)):
        assert not any(str(end) == "-0.0" for end in (verdict.score, *verdict.ci95))
