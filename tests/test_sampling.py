"""The rules of `bdpl_async.data.sampling`."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bdpl_async.data.sampling import k_shot, k_shot_pair, minibatch, split
from bdpl_async.errors import DataError

labelled = st.lists(st.integers(0, 3), min_size=1, max_size=60)
seeds = st.integers(0, 2**32)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@given(st.lists(st.integers(0, 2), max_size=40), st.integers(1, 4), seeds)
def test_k_shot_draws_k_of_each_class(extra: list[int], k: int, seed: int) -> None:
    """Each class gives exactly k rows, none twice, in ascending order."""
    labels = [0, 1, 2] * k + extra
    drawn = k_shot(labels, k, rng(seed))
    assert Counter(labels[i] for i in drawn) == {0: k, 1: k, 2: k}
    assert drawn == sorted(set(drawn))


@given(st.integers(1, 5), seeds)
def test_k_shot_pairs_share_no_row(k: int, seed: int) -> None:
    """Train and dev are balanced and disjoint."""
    labels = [0, 1] * 12
    train, dev = k_shot_pair(labels, k, rng(seed))
    assert not set(train) & set(dev)
    for side in (train, dev):
        assert Counter(labels[i] for i in side) == {0: k, 1: k}


def test_a_seed_names_one_draw() -> None:
    """The same seed draws the same rows, another seed others."""
    labels = [0, 1] * 100
    assert k_shot(labels, 16, rng(0)) == k_shot(labels, 16, rng(0))
    assert k_shot(labels, 16, rng(0)) != k_shot(labels, 16, rng(1))


def test_a_small_class_is_named_with_its_size() -> None:
    """Too few rows of a class is an error that says which, how many and what was wanted."""
    with pytest.raises(DataError, match="'great' has 1 rows, k_shot needs 2") as caught:
        k_shot([0, 0, 1], 2, rng(), ["terrible", "great"])
    assert caught.value.hint
    with pytest.raises(DataError, match="number 7 has 1 rows"):
        k_shot([3, 3, 7], 2, rng())
    with pytest.raises(DataError, match="needs 4, 2 for train and 2 for dev"):
        k_shot_pair([0, 0, 0], 2, rng())


def test_a_class_without_rows_is_missed() -> None:
    """With class names given, a class that no row has counts as too small."""
    with pytest.raises(DataError, match="'maybe' has 0 rows"):
        k_shot([0, 0, 2, 2], 1, rng(), ["no", "maybe", "yes"])


@given(labelled, st.floats(0.01, 0.99), seeds)
def test_a_split_keeps_every_row_and_class(labels: list[int], fraction: float, seed: int) -> None:
    """Each row lands on one side, and each class of two or more on both."""
    first, second = split(labels, fraction, rng(seed))
    assert sorted(first + second) == list(range(len(labels)))
    for label, count in Counter(labels).items():
        on_first = sum(labels[i] == label for i in first)
        assert abs(on_first - fraction * count) <= 1
        assert 1 <= on_first <= max(count - 1, 1)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -1.0, float("nan")])
def test_a_split_needs_two_sides(fraction: float) -> None:
    """A fraction outside 0..1 is refused."""
    with pytest.raises(ValueError, match="fraction"):
        split([0, 1], fraction, rng())


@pytest.mark.parametrize(
    ("shape", "expected"), [({0: 16, 1: 16}, {0: 2, 1: 2}), ({0: 24, 1: 8}, {0: 3, 1: 1})]
)
def test_minibatches_have_the_data_s_balance(
    shape: dict[int, int], expected: dict[int, int]
) -> None:
    """Where the share of each class comes out even, every batch has just that share."""
    labels = [label for label, count in shape.items() for _ in range(count)]
    for step in range(40):
        assert Counter(labels[i] for i in minibatch(labels, 4, step, 0)) == expected


@given(labelled, st.integers(1, 12), st.integers(0, 5), seeds)
def test_an_epoch_shows_no_row_twice(labels: list[int], size: int, epoch: int, seed: int) -> None:
    """Within an epoch batches are disjoint and full; what is left over is less than a batch."""
    size = min(size, len(labels))
    steps = len(labels) // size
    shown = [minibatch(labels, size, epoch * steps + i, seed) for i in range(steps)]
    rows = [row for batch in shown for row in batch]
    assert {len(batch) for batch in shown} == {size}
    assert len(set(rows)) == len(rows) > len(labels) - size


@given(labelled, st.integers(1, 12), seeds)
def test_classes_are_spread_over_an_epoch(labels: list[int], size: int, seed: int) -> None:
    """A batch's count of a class is within the rounding of all classes of its share."""
    batch = minibatch(labels, size, 0, seed)
    counts = Counter(labels)
    for label, count in counts.items():
        share = len(batch) * count / len(labels)
        assert abs(sum(labels[i] == label for i in batch) - share) <= len(counts)


def test_minibatches_need_no_state() -> None:
    """Step and seed alone decide, so a resumed run goes on with the batch it stopped at."""
    labels = [0, 1, 2] * 11
    alone = minibatch(labels, 4, 137, 9)
    assert [minibatch(labels, 4, step, 9) for step in range(138)][-1] == alone
    assert alone != minibatch(labels, 4, 137, 10)
    assert minibatch(labels, 4, 0, 9) != minibatch(labels, 4, 8, 9)


def test_every_row_gets_its_turn() -> None:
    """Rows left over in one epoch come in others, about equally often."""
    labels = [0] * 4 + [1] * 3
    seen = Counter(row for step in range(700) for row in minibatch(labels, 4, step, 0))
    assert all(320 < seen[row] < 480 for row in range(7))


def test_a_batch_as_large_as_the_data_is_all_of_them() -> None:
    """The paper's batch of 128 on 32 rows is the 32 rows."""
    assert sorted(minibatch([0, 1] * 16, 128, 3, 0)) == list(range(32))


@pytest.mark.parametrize(("labels", "size", "step"), [([], 1, 0), ([0], 0, 0), ([0], 1, -1)])
def test_impossible_batches_are_refused(labels: list[int], size: int, step: int) -> None:
    """No rows, no size and no such step are errors."""
    with pytest.raises(ValueError, match="minibatch needs"):
        minibatch(labels, size, step, 0)


def test_k_below_one_is_refused() -> None:
    """A draw of nothing is an error."""
    with pytest.raises(ValueError, match="at least 1"):
        k_shot([0, 1], 0, rng())
