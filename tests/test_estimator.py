"""The rules of `bdpl_async.estimator`, proven by enumeration where there is anything to expect."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bdpl_async.estimator import (
    leave_one_out,
    logit_gradient,
    pooled,
    probability_gradient,
    sampled_weight,
)

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Estimate = Callable[[Indices, Floats, Floats], Floats]

LENGTH, SIZE = 2, 3
PROMPTS = np.array(list(itertools.product(range(SIZE), repeat=LENGTH)))
LOSS = np.random.default_rng(5).normal(3.0, 2.0, size=len(PROMPTS))
PROBABILITIES = np.array([[0.2, 0.5, 0.3], [0.7, 0.1, 0.2]])


@st.composite
def draws(draw: st.DrawFn) -> tuple[Indices, Floats, Floats]:
    """Samples (I, n), losses (I,) and probabilities (n, N), rows strictly inside the simplex."""
    count, length, size = (draw(st.integers(low, 6)) for low in (2, 1, 2))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    losses = draw(st.lists(st.floats(-50, 50), min_size=count, max_size=count))
    samples = rng.integers(size, size=(count, length))
    return samples, np.array(losses), rng.dirichlet(np.ones(size), size=length)


def odds(probabilities: Floats) -> Floats:
    """The probability of each of `PROMPTS`."""
    found: Floats = np.prod(probabilities[np.arange(LENGTH), PROMPTS], axis=1)
    return found


def all_draws(count: int) -> Iterator[tuple[float, list[int]]]:
    """Every tuple of `count` prompts with its probability."""
    each = odds(PROBABILITIES)
    for chosen in itertools.product(range(len(PROMPTS)), repeat=count):
        yield float(np.prod(each[list(chosen)])), list(chosen)


def expectation(estimate: Estimate, count: int) -> Floats:
    """The estimate's mean over all (N^n)^I draws."""
    total = np.zeros((LENGTH, SIZE))
    for probability, chosen in all_draws(count):
        total += probability * estimate(PROMPTS[chosen], LOSS[chosen], PROBABILITIES)
    return total


def conditional() -> Floats:
    """E[L | t_i = j]: the derivative of E[L] by p_ij, and with it every exact gradient."""
    weighted = odds(PROBABILITIES) * LOSS
    return np.array(
        [
            [weighted[PROMPTS[:, i] == j].sum() / PROBABILITIES[i, j] for j in range(SIZE)]
            for i in range(LENGTH)
        ]
    )


@pytest.mark.parametrize("count", [2, 3])
def test_the_logit_gradient_is_unbiased(count: int) -> None:
    """Its mean over all draws is the exact gradient of the expected loss by the logits."""
    logits = np.log(PROBABILITIES)

    def expected_loss(z: Floats) -> float:
        softmax = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
        return float(odds(softmax) @ LOSS)

    exact = PROBABILITIES * (conditional() - expected_loss(logits))
    np.testing.assert_allclose(expectation(logit_gradient, count), exact, rtol=0, atol=1e-13)
    for i, j in itertools.product(range(LENGTH), range(SIZE)):  # and that formula is the derivative
        step = np.zeros_like(logits)
        step[i, j] = 1e-5
        difference = expected_loss(logits + step) - expected_loss(logits - step)
        assert exact[i, j] == pytest.approx(difference / 2e-5, abs=1e-8)  # error of order step^2


@pytest.mark.parametrize("count", [2, 3])
def test_the_probability_gradient_is_unbiased_along_the_simplex(count: int) -> None:
    """Its mean is twice the exact gradient, up to a constant a row, which leaves the simplex."""
    found, exact = expectation(probability_gradient, count), conditional()

    def tangent(gradient: Floats) -> Floats:
        along: Floats = gradient - gradient.mean(axis=1, keepdims=True)
        return along

    np.testing.assert_allclose(tangent(found), 2 * tangent(exact), rtol=0, atol=1e-12)


@given(draws())
def test_leave_one_out_equals_the_explicit_loop(drawn: tuple[Indices, Floats, Floats]) -> None:
    """Each loss is compared with the mean of the others, and the advantages sum to zero."""
    losses = drawn[1]
    looped = [loss - np.delete(losses, k).mean() for k, loss in enumerate(losses)]
    np.testing.assert_allclose(leave_one_out(losses), looped, rtol=0, atol=1e-12)
    assert leave_one_out(losses).sum() == pytest.approx(0, abs=1e-12)


@given(draws())
def test_the_papers_derivative_is_twice_the_one_hot_score(
    drawn: tuple[Indices, Floats, Floats],
) -> None:
    """+1/p for the token drawn and -1/p for the others, summed over samples, is our estimate."""
    samples, losses, probabilities = drawn
    count = len(losses)
    naive = np.zeros_like(probabilities)
    for k, i, j in itertools.product(range(count), *map(range, probabilities.shape)):
        sign = 1.0 if samples[k, i] == j else -1.0
        naive[i, j] += (losses[k] - losses.mean()) / (count - 1) * sign / probabilities[i, j]
    # The naive form keeps the rounding of a sum that is zero, divided by p.
    slack = 1e-12 / probabilities.min()
    found = probability_gradient(samples, losses, probabilities)
    np.testing.assert_allclose(found, naive, rtol=1e-9, atol=slack)


@given(draws())
def test_a_token_that_was_never_drawn_gets_exactly_zero(
    drawn: tuple[Indices, Floats, Floats],
) -> None:
    """No rounding residue is left for an optimiser to amplify."""
    samples, losses, probabilities = drawn
    never = np.ones(probabilities.shape, bool)
    for i in range(samples.shape[1]):
        never[i, samples[:, i]] = False
    for estimate in (logit_gradient, probability_gradient):
        assert (estimate(samples, losses, probabilities)[never] == 0.0).all()


def test_zero_probabilities_give_no_nan() -> None:
    """Where the paper's code divides by a clamped 0, the estimate is finite and right."""
    probabilities = np.array([[0.0, 0.5, 0.5]])
    found = probability_gradient(np.array([[1], [2]]), np.array([1.0, 3.0]), probabilities)
    np.testing.assert_array_equal(found, [[0.0, -4.0, 4.0]])  # 2 * (A/I) / p with A = -2, +2


def test_samples_are_not_aliases_of_one_another() -> None:
    """Different samples count apart: the gradient of different losses is not zero."""
    found = logit_gradient(np.array([[0], [1]]), np.array([0.0, 1.0]), np.full((1, 2), 0.5))
    np.testing.assert_array_equal(found, [[-0.5, 0.5]])


@given(draws())
def test_the_weight_equals_the_sum_of_its_definition(
    drawn: tuple[Indices, Floats, Floats],
) -> None:
    """W[i, j] is the mean over samples of the advantage where token j was drawn at position i."""
    samples, losses, probabilities = drawn
    one_hot = samples[:, :, None] == np.arange(probabilities.shape[1])
    expected = (losses[:, None, None] * one_hot).mean(axis=0)
    found = sampled_weight(samples, losses, probabilities.shape[1])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


@given(draws(), st.floats(-1e3, 1e3))
def test_the_level_of_the_losses_does_not_matter(
    drawn: tuple[Indices, Floats, Floats], level: float
) -> None:
    """A constant added to all losses adds nothing to the gradient: the baseline is inside."""
    samples, losses, probabilities = drawn
    raised = logit_gradient(samples, losses + level, probabilities)
    plain = logit_gradient(samples, losses, probabilities)
    np.testing.assert_allclose(raised, plain, rtol=0, atol=1e-11)


@given(draws(), st.floats(0, 100))
def test_pooling_points_downhill_wherever_the_gradient_does(
    drawn: tuple[Indices, Floats, Floats], share: float
) -> None:
    """The pooled direction never opposes the gradient; share 0 is the gradient itself."""
    gradient = logit_gradient(*drawn)
    assert (pooled(gradient, share) * gradient).sum() >= (gradient**2).sum() - 1e-9
    np.testing.assert_array_equal(pooled(gradient, 0.0), gradient)


@given(draws(), st.floats(0, 100))
def test_pooling_is_the_gradient_of_shared_and_own_logits(
    drawn: tuple[Indices, Floats, Floats], share: float
) -> None:
    """A step on s and d of logits sqrt(share / n) s_j + d_ij moves the logits along `pooled`."""
    gradient = logit_gradient(*drawn)
    scale = np.sqrt(share / len(gradient))
    common = scale * gradient.sum(axis=0)  # chain rule: dL/ds_j = scale * sum_i g_ij
    moved = scale * common + gradient
    np.testing.assert_allclose(pooled(gradient, share), moved, rtol=1e-9, atol=1e-9)
