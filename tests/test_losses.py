"""The rules of `bdpl_async.losses`."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bdpl_async.losses import FLOOR, LOSSES, cross_entropy, hinge, log_softmax, zero_one

Rows = NDArray[np.float64]


@st.composite
def rows(draw: st.DrawFn) -> tuple[Rows, NDArray[np.int64]]:
    """Log-probabilities (B, C) within what a model says, and labels (B,)."""
    batch, classes = draw(st.integers(1, 5)), draw(st.integers(2, 6))
    values = st.lists(st.floats(-30, 0), min_size=batch * classes, max_size=batch * classes)
    labels = st.lists(st.integers(0, classes - 1), min_size=batch, max_size=batch)
    return np.array(draw(values)).reshape(batch, classes), np.array(draw(labels))


def test_cross_entropy_is_minus_the_log_of_the_right_labels_share() -> None:
    """The loss is the negative log of the right label's probability among the labels."""
    assert cross_entropy(np.log([[0.2, 0.1]]), [0])[0] == pytest.approx(-math.log(2 / 3))


def test_confident_answers_differ_by_nats() -> None:
    """Log-probabilities are not taken for probabilities, which would shrink 2.2 nats to 0.0008."""
    right, wrong = np.log([9e-4, 1e-4]), np.log([1e-4, 9e-4])
    spread = cross_entropy(wrong, 0) - cross_entropy(right, 0)
    assert spread == pytest.approx(math.log(9), abs=1e-9)
    as_if_logits = cross_entropy(np.exp(wrong), 0) - cross_entropy(np.exp(right), 0)
    assert as_if_logits == pytest.approx(0.0008, abs=1e-5)


@pytest.mark.parametrize("name", sorted(LOSSES))
@given(rows(), st.floats(0.01, 5))
def test_raising_the_right_label_lowers_the_loss(
    name: str, drawn: tuple[Rows, NDArray[np.int64]], gain: float
) -> None:
    """Both losses have their sign the right way up: a better answer never costs more."""
    logprobs, labels = drawn
    better = logprobs.copy()
    better[np.arange(len(labels)), labels] += gain
    assert (LOSSES[name](better, labels) <= LOSSES[name](logprobs, labels) + 1e-12).all()


def test_hinge_falls_strictly_within_the_margin() -> None:
    """Where the right label does not lead by the margin, each nat gained is a nat less lost."""
    assert hinge([[-2.0, -1.0]], [0])[0] == pytest.approx(2.0)
    assert hinge([[-1.5, -1.0]], [0])[0] == pytest.approx(1.5)
    assert hinge([[-1.0, -4.0]], [0])[0] == 0.0


def test_hinge_looks_at_the_best_wrong_label() -> None:
    """Of several wrong labels the nearest rival sets the loss, and `margin` its length."""
    assert hinge([-1.0, -3.0, -1.25], 0, margin=2.0) == pytest.approx(1.75)


@pytest.mark.parametrize("name", sorted(LOSSES))
@given(rows(), st.floats(-500, 0))
def test_only_differences_between_labels_count(
    name: str, drawn: tuple[Rows, NDArray[np.int64]], shift: float
) -> None:
    """Probability that the model keeps for other words changes no loss."""
    logprobs, labels = drawn
    before, after = LOSSES[name](logprobs, labels), LOSSES[name](logprobs + shift, labels)
    np.testing.assert_allclose(after, before, atol=1e-9)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_an_unanswered_text_stays_nan(name: str) -> None:
    """One NaN makes its row's loss NaN and leaves its neighbours alone."""
    found = LOSSES[name]([[-1.0, np.nan], [np.nan, np.nan], [-1.0, -2.0]], [0, 1, 0])
    assert np.isnan(found).tolist() == [True, True, False]


@pytest.mark.parametrize("name", sorted(LOSSES))
@pytest.mark.parametrize("low", [-np.inf, -9999.0, -1e308])
def test_impossible_labels_cost_much_but_not_infinity(name: str, low: float) -> None:
    """A label at minus infinity gives a finite loss, so that one text cannot spoil a step."""
    assert 99 <= LOSSES[name]([low, -0.1], 0) <= -FLOOR + 1
    assert LOSSES[name]([low, -0.1], 1) == 0.0


def test_no_belief_in_any_label_prefers_none() -> None:
    """Where every label is at minus infinity all are equally likely."""
    np.testing.assert_allclose(log_softmax([-np.inf] * 4), math.log(1 / 4))


@given(rows())
def test_labels_shares_sum_to_one(drawn: tuple[Rows, NDArray[np.int64]]) -> None:
    """The label distribution is a distribution."""
    np.testing.assert_allclose(np.exp(log_softmax(drawn[0])).sum(axis=-1), 1.0)


def test_one_label_vector_serves_all_prompts() -> None:
    """Labels of B examples spread over I prompts: (I, B, C) and (B,) give (I, B)."""
    logprobs = np.random.default_rng(0).normal(size=(3, 2, 4))
    found = cross_entropy(logprobs, [1, 3])
    assert found.shape == (3, 2)
    assert found[2, 1] == cross_entropy(logprobs[2, 1], 3)


@pytest.mark.parametrize("labels", [[2], [-1]])
def test_labels_out_of_range_are_refused(labels: list[int]) -> None:
    """An index that numpy would wrap around is an error instead."""
    with pytest.raises(ValueError, match=r"0\.\.1"):
        cross_entropy([[-1.0, -2.0]], labels)


def test_a_single_label_is_refused() -> None:
    """With one label there is nothing to learn."""
    with pytest.raises(ValueError, match="two labels"):
        hinge([[-1.0]], [0])


@given(rows())
def test_a_decision_is_right_or_wrong(drawn: tuple[Rows, NDArray[np.int64]]) -> None:
    """0 where the right label leads all others, 1 where it does not, also where it only draws."""
    logprobs, labels = drawn
    for row, label, loss in zip(logprobs, labels, zero_one(logprobs, labels), strict=True):
        assert loss == (0.0 if row[label] > np.delete(row, label).max() else 1.0)


def test_a_decision_for_no_label_is_wrong_and_no_answer_is_none() -> None:
    """All at minus infinity is an answer without a label; NaN is no answer."""
    never, nan = -np.inf, np.nan
    found = zero_one([[never, never], [nan, nan], [nan, 0.0], [never, -1.0]], [0, 0, 1, 1])
    assert found[[0, 3]].tolist() == [1.0, 0.0]
    assert np.isnan(found[[1, 2]]).all()
