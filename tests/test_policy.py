"""The rules of `bdpl_async.policy`, in both parametrisations."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bdpl_async.paper import PaperPolicy
from bdpl_async.policy import (
    Floats,
    Indices,
    Policy,
    PromptPolicy,
    divergence,
    draw,
    entropy,
    max_kl_for,
)

Make = Callable[[int, int], PromptPolicy]

ROOT = Path(__file__).parent.parent


def softmax_policy(length: int, size: int) -> PromptPolicy:
    return Policy(length, size, max_kl=0.05)


def paper_policy(length: int, size: int) -> PromptPolicy:
    return PaperPolicy(length, size, lr=0.02)


def shared_policy(length: int, size: int) -> PromptPolicy:
    return Policy(length, size, max_kl=0.05, share=3.0)


both = pytest.mark.parametrize("make", [softmax_policy, shared_policy, paper_policy])


@both
def test_fifty_thousand_random_steps_stay_on_the_simplex(make: Make) -> None:
    """No losses, wild in scale or all the same, ever give NaN or a row off the simplex."""
    rng = np.random.default_rng(0)
    policy = make(2, 4)
    for step in range(50_000):
        losses = rng.normal(size=3)
        if step % 3 == 1:
            losses *= 10.0 ** rng.uniform(-300, 99)
        if step % 7 == 2:
            losses[:] = losses[0]
        if step % 11 == 3:
            losses = rng.integers(2, size=3).astype(float)
        policy.tell(policy.ask(rng, 3), losses)
        rows = policy.probabilities
        assert rows.min() >= 0.0
        assert np.abs(rows.sum(axis=1) - 1.0).max() <= 1e-15 * 4


@st.composite
def tellings(draw: st.DrawFn) -> tuple[Floats, NDArray[np.int64], Floats]:
    """Logits (n, N) from flat to nearly settled, samples as drawn from them, and losses."""
    length, size, count = draw(st.integers(1, 5)), draw(st.integers(2, 8)), draw(st.integers(2, 8))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    logits = rng.normal(size=(length, size)) * draw(st.sampled_from([0.0, 1.0, 5.0, 15.0]))
    logits = np.maximum(logits - logits.max(axis=1, keepdims=True), Policy.FLOOR)
    odds = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    samples = rng.integers(size, size=(count, length))
    if draw(st.booleans()):
        samples = np.stack([rng.choice(size, count, p=row) for row in odds], axis=1)
    return logits, samples, rng.normal(size=count) * 10.0 ** draw(st.integers(-9, 90))


@settings(max_examples=400)
@given(tellings(), st.floats(1e-5, 1.0), st.none() | st.floats(1e-3, 1e3))
def test_no_step_goes_beyond_the_cap(
    telling: tuple[Floats, NDArray[np.int64], Floats], max_kl: float, lr: float | None
) -> None:
    """The distributions move by `max_kl` nats at most, with a learning rate or without."""
    logits, samples, losses = telling
    policy = Policy(*logits.shape, lr=lr, max_kl=max_kl)
    policy.restore({"logits": logits})
    old = policy.probabilities
    update = policy.tell(samples, losses)
    assert update.kl <= max_kl * 1.01  # the last correction is solved to a hundredth
    assert update.kl == pytest.approx(divergence(old, policy.probabilities), rel=1e-9, abs=1e-15)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_without_a_learning_rate_the_step_is_the_cap(scale: float) -> None:
    """The step's size is `max_kl` whatever the scale of the losses; its direction is theirs."""
    policy = Policy(3, 5, max_kl=0.03)
    rng = np.random.default_rng(1)
    update = policy.tell(policy.ask(rng, 10), scale * rng.normal(size=10))
    assert update.kl == pytest.approx(0.03, rel=1e-3)  # four corrections leave less than that


def test_a_small_learning_rate_is_taken_as_it_is() -> None:
    """With `lr` and room under the cap the logits move by lr times the gradient, no more."""
    policy = Policy(1, 3, lr=0.1, max_kl=1.0)
    policy.tell(np.array([[0], [1]]), np.array([0.0, 1.0]))
    logits = np.log(policy.probabilities[0])
    # Gradient (-1/2, +1/2, 0), so the logits part by 0.1 between tokens 0 and 1.
    np.testing.assert_allclose(logits - logits[2], [0.05, -0.05, 0.0], rtol=0, atol=1e-15)


@both
def test_lower_losses_become_likelier(make: Make) -> None:
    """The step goes down the expected loss, not up."""
    policy = make(1, 3)
    policy.tell(np.array([[0], [1]]), np.array([0.0, 1.0]))
    rows = policy.probabilities
    assert rows[0, 0] > rows[0, 2] > rows[0, 1]


@pytest.mark.parametrize("level", [0.0, 0.1, -7.3, 1e9])
@pytest.mark.parametrize("lr", [None, 1e3])
def test_equal_losses_move_nothing(level: float, lr: float | None) -> None:
    """Losses that say nothing change nothing, though rounding leaves a residue of their mean."""
    policy = Policy(3, 4, lr=lr)
    rng = np.random.default_rng(2)
    policy.tell(policy.ask(rng, 6), rng.normal(size=6))
    old = policy.probabilities
    assert policy.tell(policy.ask(rng, 7), np.full(7, level)).kl == 0.0
    np.testing.assert_array_equal(policy.probabilities, old)


@both
def test_probabilities_and_snapshots_are_copies(make: Make) -> None:
    """Neither later updates nor the caller's hands reach into what was given out."""
    policy, rng = make(2, 4), np.random.default_rng(3)
    probabilities, snapshot = policy.probabilities, policy.snapshot()
    kept = {name: array.copy() for name, array in snapshot.items()}
    policy.tell(policy.ask(rng, 5), rng.normal(size=5))
    np.testing.assert_array_equal(probabilities, 0.25)
    for name, array in kept.items():
        np.testing.assert_array_equal(snapshot[name], array)
    moved = policy.probabilities
    policy.probabilities[:] = -1.0
    for array in policy.snapshot().values():
        array[:] = -1.0
    np.testing.assert_array_equal(policy.probabilities, moved)


@both
def test_a_restored_policy_goes_on_bit_for_bit(make: Make) -> None:
    """A snapshot holds everything that decides the future, the optimiser's moments included."""

    def go_on(policy: PromptPolicy) -> Floats:
        rng = np.random.default_rng(9)
        for _ in range(20):
            policy.tell(policy.ask(rng, 6), rng.normal(size=6))
        return policy.probabilities

    first, rng = make(3, 5), np.random.default_rng(4)
    for _ in range(10):
        first.tell(first.ask(rng, 6), rng.normal(size=6))
    snapshot = first.snapshot()
    second = make(3, 5)
    second.restore(snapshot)
    expected = go_on(first)
    np.testing.assert_array_equal(go_on(second), expected)
    second.restore(snapshot)  # neither run wrote into the snapshot
    np.testing.assert_array_equal(go_on(second), expected)


def test_samples_come_as_often_as_their_probabilities_say() -> None:
    """Draws pass a chi-square test against the distribution, position by position."""
    probabilities = np.array([[0.05, 0.6, 0.25, 0.1], [0.4, 0.1, 0.2, 0.3]])
    count = 20_000
    samples = draw(probabilities, np.random.default_rng(0), count)
    assert samples.shape == (count, 2)
    for i, row in enumerate(probabilities):
        seen = np.bincount(samples[:, i], minlength=4)
        statistic = ((seen - count * row) ** 2 / (count * row)).sum()
        assert statistic < 16.27  # the 99.9 % quantile of chi-square with 3 degrees of freedom
    pairs = np.bincount(4 * samples[:, 0] + samples[:, 1], minlength=16)
    expected = count * np.outer(*probabilities).ravel()
    assert ((pairs - expected) ** 2 / expected).sum() < 37.70  # the same with 15: independent


class Edges:
    """Stands for a generator that draws only the two ends of [0, 1)."""

    def random(self, shape: tuple[int, int]) -> Floats:
        rows = np.arange(shape[0])[:, None] % 2
        return np.broadcast_to(np.where(rows == 0, 0.0, np.nextafter(1.0, 0.0)), shape)


def test_a_token_of_zero_probability_is_never_drawn() -> None:
    """Not even where the uniform number is exactly 0 or as near to 1 as a float can be."""
    probabilities = np.array([[0.0, 0.1, 0.0, 0.2, 0.7, 0.0], [0.0, 0.0, 1.0, 0.0, 0.0, 0.0]])
    drawn = draw(probabilities, cast(np.random.Generator, Edges()), 2)
    np.testing.assert_array_equal(drawn, [[1, 2], [4, 2]])


@both
@pytest.mark.parametrize(
    ("samples", "losses"),
    [
        ([[0, 1]], [1.0]),
        ([], []),
        ([[0, 1], [1, 0]], [1.0]),
        ([[0, 1], [1, 0]], [[1.0], [2.0]]),
        ([[0], [1]], [1.0, 2.0]),
        ([0, 1], [1.0, 2.0]),
        ([[0, 1], [1, 0]], [1.0, float("nan")]),
        ([[0, 1], [1, 0]], [1.0, float("inf")]),
        ([[0, 1], [1, 0]], [1.0, -1e300]),
        ([[0, 1], [1, 3]], [1.0, 2.0]),
        ([[0, 1], [1, -1]], [1.0, 2.0]),
    ],
    ids=[
        "one-sample",
        "none",
        "too-few-losses",
        "losses-2d",
        "wrong-length",
        "samples-1d",
        "nan",
        "inf",
        "overflow",
        "no-such-token",
        "negative-token",
    ],
)
def test_what_cannot_be_learned_from_is_refused(
    make: Make, samples: list[object], losses: list[object]
) -> None:
    """Wrong shapes, a lone sample, unknown tokens and losses beyond use raise, and move nothing."""
    policy = make(2, 3)
    with pytest.raises(ValueError, match=r"samples|losses|two"):
        policy.tell(np.array(samples), np.array(losses))
    np.testing.assert_array_equal(policy.probabilities, np.full((2, 3), 1 / 3))


@pytest.mark.parametrize("kind", [Policy, PaperPolicy])
@pytest.mark.parametrize(("length", "size"), [(0, 5), (3, 1), (-1, 2)])
def test_a_policy_without_a_choice_is_refused(
    kind: type[Policy] | type[PaperPolicy], length: int, size: int
) -> None:
    """No position or a single candidate leaves nothing to learn."""
    with pytest.raises(ValueError, match="length >= 1 and size >= 2"):
        kind(length, size)


@pytest.mark.parametrize("make", [softmax_policy, paper_policy])
def test_a_small_bandit_is_solved(make: Make) -> None:
    """With noisy losses that add up over positions, the best token wins at every position."""
    rng = np.random.default_rng(6)
    worth = rng.normal(size=(4, 10))
    policy = make(4, 10)
    for _ in range(400):
        samples = policy.ask(rng, 10)
        losses = worth[np.arange(4), samples].sum(axis=1) + rng.normal(scale=0.5, size=10)
        policy.tell(samples, losses)
    chosen = policy.probabilities.argmax(axis=1)
    np.testing.assert_array_equal(chosen, worth.argmin(axis=1))
    # Most of the mass is there, too; uniform would be 0.1.
    assert policy.probabilities.max(axis=1).min() > 0.7


def test_entropy_and_divergence_are_in_nats() -> None:
    """Uniform rows have log N, settled rows nothing; a forbidden token is infinitely far."""
    assert entropy(np.full((2, 8), 1 / 8)) == pytest.approx(np.log(8))
    assert entropy(np.array([[0.0, 1.0]])) == 0.0
    old, new = np.array([[0.5, 0.5]]), np.array([[0.25, 0.75]])
    expected = 0.5 * np.log(0.5 / 0.25) + 0.5 * np.log(0.5 / 0.75)
    assert divergence(old, new) == pytest.approx(expected)
    assert divergence(np.array([[0.0, 1.0]]), np.array([[0.0, 1.0]])) == 0.0
    assert divergence(old, np.array([[0.0, 1.0]])) == np.inf


def paced(updates: int, loss: Callable[[Indices, np.random.Generator], Floats]) -> Policy:
    """A policy after as many updates as it was planned for."""
    policy = Policy(4, 50, max_kl=max_kl_for(updates, 50))
    rng = np.random.default_rng(0)
    for _ in range(updates):
        samples = policy.ask(rng, 20)
        policy.tell(samples, loss(samples, rng))
    return policy


@pytest.mark.parametrize("updates", [30, 200, 1500])
def test_a_paced_policy_decides_where_there_is_something_to_learn(updates: int) -> None:
    """With one good token a position, a run of any planned length finds it."""
    policy = paced(updates, lambda samples, rng: -(samples == 7).sum(axis=1).astype(np.float64))
    assert (policy.probabilities.argmax(axis=1) == 7).all()


@pytest.mark.parametrize("updates", [30, 200, 1500])
def test_noise_alone_decides_nothing_in_a_paced_policy(updates: int) -> None:
    """Losses without any news leave most of the entropy, however long the run."""
    policy = paced(updates, lambda samples, rng: rng.normal(size=len(samples)))
    assert entropy(policy.probabilities) > 0.5 * np.log(50)


def test_more_updates_learn_more_from_noisy_losses() -> None:
    """A longer run takes smaller steps and averages the noise out: more weight on good tokens."""

    def noisy(samples: Indices, rng: np.random.Generator) -> Floats:
        clean: Floats = -(samples < 5).sum(axis=1).astype(np.float64)
        return np.asarray(clean + rng.normal(size=len(samples), scale=10.0))

    short, long = (paced(n, noisy).probabilities[:, :5].sum(axis=1).mean() for n in (50, 800))
    assert long > short + 0.1


def test_the_cap_is_bounded_however_few_the_updates() -> None:
    """A single planned update may not throw the whole policy over."""
    assert max_kl_for(1, 1000) == max_kl_for(2, 1000) <= 0.1


def test_the_policy_needs_numpy_alone() -> None:
    """Importing it loads no validation, network, terminal or tensor library."""
    script = (
        "import sys, bdpl_async.policy\n"
        "heavy = {'pydantic', 'torch', 'aiohttp', 'rich', 'orjson', 'transformers', 'typer'}\n"
        "assert 'numpy' in sys.modules\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_shared_positions_learn_a_token_that_is_good_anywhere_sooner() -> None:
    """Where a token is worth the same at every position, sharing needs fewer losses."""
    worth = np.random.default_rng(3).normal(size=50)
    found = []
    for share in (0.0, 3.0):
        rng, policy = np.random.default_rng(1), Policy(8, 50, max_kl=0.05, share=share)
        for _ in range(30):
            samples = policy.ask(rng, 10)
            policy.tell(samples, -worth[samples].sum(axis=1) + rng.normal(size=10))
        found.append(worth[policy.probabilities.argmax(axis=1)].mean())
    assert found[1] > found[0] + 0.3


def test_shared_positions_still_learn_what_each_position_wants() -> None:
    """Where every position wants another token, sharing is in the way at first and no further."""
    rng, policy = np.random.default_rng(0), Policy(5, 8, max_kl=0.05, share=3.0)
    for _ in range(300):
        samples = policy.ask(rng, 10)
        policy.tell(samples, (samples != np.arange(5)).sum(axis=1).astype(np.float64))
    assert policy.probabilities.argmax(axis=1).tolist() == [0, 1, 2, 3, 4]


def test_a_start_has_even_odds_at_its_positions_and_none_elsewhere() -> None:
    """Each token of the start is as likely as all others together; the other positions are open."""
    rows = Policy(3, 10, start=[4, 7]).probabilities
    np.testing.assert_allclose([rows[0, 4], rows[1, 7]], 0.5)
    np.testing.assert_allclose(rows[2], 0.1)
