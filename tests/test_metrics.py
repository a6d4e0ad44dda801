"""The rules of `bdpl_async.metrics`: scikit-learn's numbers, and no answer is a wrong answer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from bdpl_async.metrics import METRICS, accuracy, confusion, f1, macro_f1, mcc

Pairs = tuple[list[int], list[int]]


@st.composite
def pairs(draw: st.DrawFn) -> Pairs:
    """Predictions (-1 among them) and labels, of one class or several, all seen or not."""
    classes, n = draw(st.integers(1, 5)), draw(st.integers(1, 30))
    predictions = draw(st.lists(st.integers(-1, classes - 1), min_size=n, max_size=n))
    labels = draw(st.lists(st.integers(0, classes - 1), min_size=n, max_size=n))
    return predictions, labels


@given(pairs())
def test_accuracy_is_scikit_learns(drawn: Pairs) -> None:
    """Accuracy agrees with scikit-learn; an unanswered text is wrong."""
    predictions, labels = drawn
    assert accuracy(predictions, labels) == pytest.approx(accuracy_score(labels, predictions))


@given(pairs())
def test_f1_is_scikit_learns_of_class_one(drawn: Pairs) -> None:
    """F1 of index 1 agrees with scikit-learn at zero_division=0, also where nothing is positive."""
    predictions, labels = map(np.array, drawn)
    expected = f1_score(labels == 1, predictions == 1, zero_division=0)
    assert f1(predictions, labels) == pytest.approx(expected)


@given(pairs())
def test_macro_f1_is_scikit_learns(drawn: Pairs) -> None:
    """Macro-F1 averages the classes that occur; having no answer is not a class."""
    predictions, labels = drawn
    classes = sorted({*predictions, *labels} - {-1})
    expected = f1_score(labels, predictions, labels=classes, average="macro", zero_division=0)
    assert macro_f1(predictions, labels) == pytest.approx(expected)


@pytest.mark.filterwarnings("ignore:A single label was found")  # which is what we ask about
@given(pairs())
def test_mcc_is_scikit_learns(drawn: Pairs) -> None:
    """Matthews correlation agrees with scikit-learn, 0 where one side is constant."""
    predictions, labels = drawn
    expected = matthews_corrcoef(labels, predictions)
    assert mcc(predictions, labels) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", sorted(METRICS))
@given(pairs(), st.data())
def test_a_lost_right_answer_never_helps(name: str, drawn: Pairs, data: st.DataObject) -> None:
    """Replacing a right answer by none lowers the score or leaves it, under every metric."""
    predictions, labels = drawn
    right = [i for i, pair in enumerate(zip(*drawn, strict=True)) if pair[0] == pair[1]]
    if name == "mcc" or not right:  # R_K is no monotone function of single answers
        return
    fewer = list(predictions)
    fewer[data.draw(st.sampled_from(right))] = -1
    assert METRICS[name](fewer, labels) <= METRICS[name](predictions, labels) + 1e-12


@pytest.mark.parametrize("name", sorted(METRICS))
@given(pairs(), st.integers(0, 99))
def test_the_order_of_examples_does_not_matter(name: str, drawn: Pairs, seed: int) -> None:
    """A metric sees which answers met which labels, not when."""
    order = np.random.default_rng(seed).permutation(len(drawn[0]))
    shuffled = [np.array(side)[order] for side in drawn]
    assert METRICS[name](*shuffled) == METRICS[name](*drawn)


@pytest.mark.parametrize("name", sorted(METRICS))
def test_no_answer_at_all_scores_nothing(name: str) -> None:
    """A model that never answers gets 0."""
    assert METRICS[name]([-1, -1, -1], [0, 1, 1]) == 0.0


@pytest.mark.parametrize("name", sorted(METRICS))
def test_perfect_answers_score_one(name: str) -> None:
    """A model that is always right gets 1."""
    assert METRICS[name]([0, 1, 1], [0, 1, 1]) == pytest.approx(1.0)


@pytest.mark.parametrize("name", sorted(METRICS))
def test_tables_are_scored_many_at_a_time(name: str) -> None:
    """A stack of tables gives the scores that the tables give one by one."""
    rng = np.random.default_rng(1)
    sides = [(rng.integers(-1, 3, 20), rng.integers(0, 3, 20)) for _ in range(7)]
    tables = np.stack([confusion(*side, 3) for side in sides])
    expected = [METRICS[name](*side) for side in sides]
    np.testing.assert_allclose(METRICS[name].of_tables(tables), expected)


def test_the_last_column_counts_what_was_not_answered() -> None:
    """Rows are labels, columns predictions, and then one for no answer."""
    assert confusion([0, 1, -1, 0], [0, 1, 1, 1]).tolist() == [[1, 0, 0], [1, 1, 1]]


@pytest.mark.parametrize(
    ("predictions", "labels"), [([], []), ([0], [0, 1]), ([-2], [0]), ([0], [-1]), ([[0]], [[0]])]
)
def test_what_cannot_be_scored_is_refused(predictions: list[int], labels: list[int]) -> None:
    """No examples, lengths that differ and indices out of range are errors."""
    with pytest.raises(ValueError, match=r"metric needs|must lie"):
        accuracy(predictions, labels)
