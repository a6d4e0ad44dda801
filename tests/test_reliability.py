"""Reliability: bins hold every answer once, the error is what its definition says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bdpl_async.answers import Answers
from bdpl_async.reliability import reliability_of


@st.composite
def answers(draw: st.DrawFn) -> Answers:
    """Answers to 1 to 60 examples of 2 to 4 labels, some missing, some equally sure."""
    n, classes = draw(st.integers(1, 60)), draw(st.integers(2, 4))
    number = st.one_of(st.floats(-30, 0), st.just(-1.0), st.just(-np.inf))
    rows = draw(
        st.lists(st.lists(number, min_size=classes, max_size=classes), min_size=n, max_size=n)
    )
    lost = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    labels = draw(st.lists(st.integers(0, classes - 1), min_size=n, max_size=n))
    logprobs = np.array(rows, np.float64)
    logprobs[np.array(lost)] = np.nan
    return Answers(np.array(labels, np.int64), logprobs)


@given(found=answers(), bins=st.integers(1, 12))
def test_every_answer_is_in_one_bin(found: Answers, bins: int) -> None:
    """Counts add up to the answers, their accuracies to the accuracy; bins are in order."""
    got = reliability_of(found, bins)
    answered = found.predictions >= 0
    if got is None:
        assert not answered.any()
        return
    assert got.n == answered.sum() == sum(part.count for part in got.bins)
    assert len(got.bins) <= bins
    right = sum(part.accuracy * part.count for part in got.bins)
    assert right == pytest.approx((found.predictions == found.labels)[answered].sum())
    sure = [part.confidence for part in got.bins]
    assert sure == sorted(sure)
    assert all(1 / found.logprobs.shape[1] - 1e-9 <= one <= 1 + 1e-9 for one in sure)
    off = [part.count * abs(part.accuracy - part.confidence) for part in got.bins]
    assert got.ece == pytest.approx(sum(off) / got.n)


@given(found=answers(), seed=st.integers(0, 100))
def test_the_order_of_the_examples_does_not_matter(found: Answers, seed: int) -> None:
    """Examples of equal confidence share a bin, so no order decides who is with whom."""
    order = np.random.default_rng(seed).permutation(len(found.labels))
    other = reliability_of(Answers(found.labels[order], found.logprobs[order]))
    got = reliability_of(found)
    if got is None or other is None:
        assert got is other
        return
    assert [part.count for part in got.bins] == [part.count for part in other.bins]
    assert got.ece == pytest.approx(other.ece, abs=1e-9)


def test_known_numbers() -> None:
    """Ten answers at 80 % of which six are right, ten at 60 % all right: off by 20 and 40."""
    rows = np.log([[0.8, 0.2]] * 10 + [[0.4, 0.6]] * 10)
    labels = np.array([0] * 6 + [1] * 4 + [1] * 10)
    got = reliability_of(Answers(labels, rows), 2)
    assert got is not None
    assert [(part.count, part.accuracy) for part in got.bins] == [(10, 1.0), (10, 0.6)]
    assert [part.confidence for part in got.bins] == pytest.approx([0.6, 0.8])
    assert got.ece == pytest.approx(0.3)


def test_probability_is_among_the_labels() -> None:
    """What the model keeps for other words makes it no less sure."""
    rows = np.log([[0.8, 0.2]] * 6)
    labels = np.array([0, 0, 0, 1, 1, 0])
    assert reliability_of(Answers(labels, rows - 5)) == pytest.approx(
        reliability_of(Answers(labels, rows))
    )


def test_a_bin_is_needed() -> None:
    """No bins are a mistake of the caller."""
    with pytest.raises(ValueError, match="at least one bin"):
        reliability_of(Answers(np.array([0]), np.zeros((1, 2))), 0)
