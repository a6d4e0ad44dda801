"""The paper's own update, as the released scripts mean it; what it shares is in test_policy."""

from __future__ import annotations

import numpy as np
import pytest

from bdpl_async.paper import PaperPolicy
from bdpl_async.simplex import project


def test_equal_losses_leave_the_papers_first_step_uniform() -> None:
    """Weight decay pulls all tokens alike, so the projection puts a uniform row back."""
    policy = PaperPolicy(2, 4, lr=0.1)
    policy.tell(np.array([[0, 1], [2, 3]]), np.array([5.0, 5.0]))
    np.testing.assert_allclose(policy.probabilities, 0.25, rtol=0, atol=1e-16)


@pytest.mark.parametrize("lr", [1e-4, 0.02])
def test_the_papers_policy_equals_a_plain_reference(lr: float) -> None:
    """Clip, AdamW with decoupled decay, projection: as written in the papers, step after step."""
    rng = np.random.default_rng(7)
    policy = PaperPolicy(3, 6, lr=lr)
    p, m, v = np.full((3, 6), 1 / 6), np.zeros((3, 6)), np.zeros((3, 6))
    for t in range(1, 201):
        samples, losses = policy.ask(rng, 5), 3 * rng.normal(size=5)
        policy.tell(samples, losses)
        g = np.zeros((3, 6))
        for k, i in np.ndindex(5, 3):
            j = samples[k, i]
            g[i, j] += 2 * (losses[k] - losses.mean()) / 4 / p[i, j]
        g *= min(1.0, 3.0 / (np.sqrt((g**2).sum()) + 1e-6))
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        p = p - lr * 0.1 * p
        p = project(p - lr * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8))
        # Rounding differs in the last digits; AdamW divides it by no less than 1e-8 of a gradient.
        np.testing.assert_allclose(policy.probabilities, p, rtol=0, atol=1e-11)


def test_a_settled_row_stays_finite_where_the_released_code_divides_by_zero() -> None:
    """Rows with zeros in them, drawn from again and again, never give NaN or infinity."""
    policy = PaperPolicy(2, 3, lr=0.5)
    rng = np.random.default_rng(0)
    for _ in range(300):
        samples = policy.ask(rng, 4)
        policy.tell(samples, -(samples == 1).sum(axis=1).astype(np.float64) + 0.01 * rng.random(4))
        assert np.isfinite(policy.probabilities).all()
        np.testing.assert_allclose(policy.probabilities.sum(axis=1), 1.0, rtol=0, atol=1e-12)
    assert (policy.probabilities == 0).any()


def test_at_the_released_learning_rate_a_row_hardly_moves() -> None:
    """At 1e-4 a hundred updates take a token of 200 from 0.005 to 0.015 at the very most."""
    policy = PaperPolicy(1, 200)
    samples = np.arange(20)[:, None]
    for _ in range(100):
        policy.tell(samples, np.arange(20, dtype=np.float64))
    assert 0.005 < policy.probabilities.max() <= 0.005 + 100 * 1.1e-4
