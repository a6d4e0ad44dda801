"""Arms side by side: one question each, corrected together, on the examples that all share."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bdpl_async.studies.comparison import BARE, Contest, compare_arms, holm
from bdpl_async.studies.resampling import Judged

Ints = NDArray[np.int64]
LABELS = np.random.default_rng(7).integers(0, 2, 120)


def answers(rate: float, seed: int, seeds: int = 3, n: int = 120) -> Judged:
    """An arm that is right about so often."""
    rng = np.random.default_rng(seed)
    labels = np.tile(LABELS, (seeds, 1))
    right = rng.random(labels.shape) < rate
    return Judged(labels[:, :n], np.where(right, labels, 1 - labels)[:, :n])


def contest(arm: str, rate: float, seed: int, n: int = 120) -> Contest:
    return Contest(arm, answers(rate, seed, n=n), answers(0.5, 99, n=n))


def test_holm_is_holms() -> None:
    """The textbook's example: steps down from the smallest, never below the one before."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_keeps_the_order(p_values: list[float]) -> None:
    """Corrected values are no smaller, at most 1, and in the same order."""
    found = holm(p_values)
    assert all(p <= q <= 1 for p, q in zip(p_values, found, strict=True))
    ranked = [found[i] for i in np.argsort(p_values, kind="stable")]
    assert ranked == sorted(ranked)


def test_the_first_arm_is_the_reference() -> None:
    """Every other arm has a difference to it, and every arm a gain over the empty prompt."""
    found = compare_arms("accuracy", [contest("a", 0.9, 1), contest("b", 0.6, 2)])
    assert [(d.arm, d.reference) for d in found.differences] == [("b", "a")]
    assert [(d.arm, d.reference) for d in found.gains] == [("a", BARE), ("b", BARE)]
    assert found.differences[0].score == pytest.approx(
        found.means["b"].mean - found.means["a"].mean
    )
    assert found.differences[0].real
    assert found.differences[0].ci95[1] < 0 < found.gains[0].ci95[0]


def test_the_order_of_arms_changes_no_number() -> None:
    """Means and gains are the same in whatever order arms are given; so is each pair's verdict."""
    arms = [contest("a", 0.8, 1), contest("b", 0.7, 2), contest("c", 0.7, 3)]
    means, gains = [], []
    pairs: dict[frozenset[str], set[tuple[float, float]]] = {}
    for order in permutations(arms):
        found = compare_arms("accuracy", list(order))
        means.append(found.means)
        gains.append({g.arm: (g.score, g.ci95, g.p_value) for g in found.gains})
        for d in found.differences:
            sign = 1 if d.arm < d.reference else -1
            key = frozenset((d.arm, d.reference))
            pairs.setdefault(key, set()).add((sign * d.score, d.p_value))
    assert all(m == means[0] for m in means)
    assert all(g == gains[0] for g in gains)
    assert all(len(seen) == 1 for seen in pairs.values())


def test_a_question_is_counted_once() -> None:
    """The empty prompt as an arm asks what the first arm's gain asks; both have the same p."""
    bare = answers(0.5, 99)
    arms = [contest("a", 0.63, 1), Contest("empty", bare, bare)]
    found = compare_arms("accuracy", arms)
    assert [g.arm for g in found.gains] == ["a"]  # the empty prompt gains nothing over itself
    (gain,), (against,) = found.gains, found.differences
    assert against.score == -gain.score
    assert against.p_adjusted == gain.p_adjusted == gain.p_value


def test_arms_are_judged_on_what_all_have_answered() -> None:
    """Where a budget cut one arm short, every number is of the examples that all share."""
    short = compare_arms("accuracy", [contest("a", 0.8, 1, n=70), contest("b", 0.7, 2)])
    cut = contest("b", 0.7, 2)
    both = [contest("a", 0.8, 1, n=70), Contest("b", cut.learned.first(70), cut.bare.first(70))]
    assert short == compare_arms("accuracy", both)
    assert short.n == 70
    assert {mean.n for mean in short.means.values()} == {70}


def test_chance_finds_are_rare_among_many_arms() -> None:
    """Of five arms that differ by nothing but luck, corrected, hardly ever one looks real."""
    wrong = 0
    for world in range(12):
        arms = [contest(f"arm {i}", 0.5, 100 * world + i, n=50) for i in range(5)]
        found = compare_arms("accuracy", arms)
        wrong += any(d.real for d in (*found.differences, *found.gains))
    assert wrong <= 2


def test_nothing_is_refused() -> None:
    """A comparison of no arms is a mistake of the caller's."""
    with pytest.raises(ValueError, match="nothing to compare"):
        compare_arms("accuracy", [])
