"""The rules of `bdpl_async.intervals`."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bdpl_async.intervals import interval, mcnemar, paired_interval, wilson
from bdpl_async.metrics import METRICS

Ints = NDArray[np.int64]


def noisy(n: int, rate: float, seed: int, classes: int = 2) -> tuple[Ints, Ints]:
    """Labels, and predictions that are right about `rate` of the time or by chance."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    return np.where(rng.random(n) < rate, labels, rng.integers(0, classes, n)), labels


@pytest.mark.parametrize("name", sorted(METRICS))
@given(st.integers(1, 40), st.integers(1, 4), st.integers(0, 10**6))
@settings(max_examples=40)
def test_an_interval_holds_its_score(name: str, n: int, classes: int, seed: int) -> None:
    """lo <= score <= hi, whatever the predictions, unanswered and one-class ones included."""
    rng = np.random.default_rng(seed)
    predictions, labels = rng.integers(-1, classes, n), rng.integers(0, classes, n)
    low, high = interval(name, predictions, labels, rng)
    assert low <= METRICS[name](predictions, labels) <= high
    assert low >= -1
    assert high <= 1 + 1e-12


@pytest.mark.parametrize("name", sorted(METRICS))
def test_the_generator_decides_the_interval(name: str) -> None:
    """The same seed gives the same interval."""
    sides = noisy(60, 0.6, 3)
    first, second = (interval(name, *sides, np.random.default_rng(5)) for _ in range(2))
    assert first == second


def test_wilson_is_wilsons() -> None:
    """The interval of 15 right in 20 is the textbook's."""
    assert wilson(15, 20) == pytest.approx((0.5313, 0.8881), abs=1e-4)


def test_wilson_is_open_at_the_ends() -> None:
    """All right of ten does not mean always right."""
    low, high = wilson(10, 10)
    assert low == pytest.approx(0.7225, abs=1e-4)
    assert high == 1.0
    assert wilson(0, 10) == pytest.approx((0.0, 1 - low))


@pytest.mark.parametrize("name", ["f1", "macro_f1", "mcc"])
def test_intervals_cover_the_truth(name: str) -> None:
    """Over many samples the 95 % interval holds the true score about 95 % of the time."""
    truth = METRICS[name](*noisy(400_000, 0.5, 0, 3 if name == "macro_f1" else 2))
    held = 0
    for seed in range(300):
        sides = noisy(150, 0.5, seed + 1, 3 if name == "macro_f1" else 2)
        low, high = interval(name, *sides, np.random.default_rng(seed))
        held += low <= truth <= high
    assert 0.91 <= held / 300 <= 0.98


@pytest.mark.parametrize("name", ["f1", "macro_f1", "mcc"])
def test_what_was_never_seen_may_yet_be(name: str) -> None:
    """All right of 32 is no proof of always right; the interval is about as wide as Wilson's."""
    labels = np.array([0, 1] * 16)
    low, high = interval(name, labels, labels, np.random.default_rng(0))
    assert high == 1.0
    assert 0.7 < low < 0.95
    assert interval(name, labels[:8], labels[:8], np.random.default_rng(0))[0] < 0.8
    more = np.tile(labels, 10)
    assert 0.95 < interval(name, more, more, np.random.default_rng(0))[0] < 1.0


def test_one_answer_to_everything_has_an_interval_too() -> None:
    """A model that says one word always scores 0 by F1 and Matthews, give or take."""
    labels = np.array([0, 1] * 16)
    for name, below in (("f1", False), ("mcc", True)):
        low, high = interval(name, 0 * labels, labels, np.random.default_rng(0))
        assert (low < 0) == below
        assert 0.02 < high < 0.5


def test_drawing_tables_is_drawing_examples() -> None:
    """The multinomial short cut gives the interval that resampled examples give."""
    predictions, labels = noisy(120, 0.5, 2)
    rng = np.random.default_rng(0)
    draws = rng.integers(0, 120, (4000, 120))
    plain = [METRICS["mcc"](predictions[draw], labels[draw]) for draw in draws]
    found = interval("mcc", predictions, labels, np.random.default_rng(1))
    np.testing.assert_allclose(found, np.quantile(plain, (0.025, 0.975)), atol=0.02)


def test_pairing_narrows_the_difference() -> None:
    """Two models that err on the same examples are told apart better than two scores would be."""
    first, labels = noisy(400, 0.7, 4)
    second = first.copy()
    second[:20] = 1 - labels[:20]
    low, high = paired_interval("accuracy", first, second, labels, np.random.default_rng(0))
    single = interval("accuracy", first, labels, np.random.default_rng(0))
    assert 0 < low < high
    assert high - low < (single[1] - single[0]) / 1.5


@pytest.mark.parametrize("name", sorted(METRICS))
@given(st.integers(1, 30), st.integers(0, 10**6))
@settings(max_examples=40)
def test_a_paired_interval_holds_the_difference(name: str, n: int, seed: int) -> None:
    """The difference itself lies within, and against oneself the interval is a point at 0."""
    rng = np.random.default_rng(seed)
    first, second, labels = rng.integers(-1, 3, n), rng.integers(-1, 3, n), rng.integers(0, 3, n)
    low, high = paired_interval(name, first, second, labels, rng)
    difference = METRICS[name](first, labels) - METRICS[name](second, labels)
    assert low - 1e-9 <= difference <= high + 1e-9
    assert paired_interval(name, first, first, labels, rng) == (0.0, 0.0)


def test_mcnemar_is_a_sign_test_on_the_discordant() -> None:
    """Six against one gives the binomial's 2 (1 + 7) / 2^7, whatever both got right."""
    labels = np.zeros(20, dtype=int)
    first, second = labels.copy(), labels.copy()
    second[:6], first[6] = 1, -1
    assert mcnemar(first, second, labels) == pytest.approx(2 * 8 / 128)
    assert mcnemar(second, first, labels) == mcnemar(first, second, labels)


def test_mcnemar_without_discord_proves_nothing() -> None:
    """Two models right on the same examples have p = 1."""
    assert mcnemar([0, 1, 1], [0, 1, 0], [0, 1, 2]) == 1.0


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_scipys_binomial_test(one: int, other: int) -> None:
    """The p-value agrees with SciPy's exact binomial test."""
    stats = pytest.importorskip("scipy.stats")
    labels = np.zeros(one + other + 3, dtype=int)
    first, second = labels.copy(), labels.copy()
    first[:one], second[one : one + other] = 1, 1
    expected = stats.binomtest(one, one + other).pvalue if one + other else 1.0
    assert mcnemar(first, second, labels) == pytest.approx(expected)


@pytest.mark.parametrize("name", sorted(METRICS))
def test_no_examples_are_refused(name: str) -> None:
    """There is no interval around nothing."""
    with pytest.raises(ValueError, match="at least one"):
        interval(name, [], [], np.random.default_rng(0))


def test_a_large_test_set_costs_no_more() -> None:
    """The bootstrap of 100,000 examples stays well under a second."""
    sides = noisy(100_000, 0.5, 0)
    start = time.perf_counter()
    interval("macro_f1", *sides, np.random.default_rng(0))
    assert time.perf_counter() - start < 1.0
