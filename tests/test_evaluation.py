"""The rules of `bdpl_async.evaluation`."""

from __future__ import annotations

import numpy as np

from bdpl_async.errors import RequestFailed
from bdpl_async.evaluation import evaluate, logprob_array, predictions
from bdpl_async.records import Score

NAN = float("nan")


def test_a_text_without_an_answer_is_a_row_of_nan() -> None:
    """Errors and missing scores keep their place, so that rows and examples stay together."""
    array = logprob_array([Score((-1.0, -2.0)), RequestFailed("x"), Score((-3.0, -0.5))], 2)
    np.testing.assert_array_equal(array, [[-1.0, -2.0], [NAN, NAN], [-3.0, -0.5]])


def test_the_likeliest_label_is_predicted() -> None:
    """Minus infinity is a value like any other; no answer is no label."""
    rows = np.array([[-1.0, -2.0], [-np.inf, -9.0], [NAN, NAN], [-0.5, -np.inf]])
    np.testing.assert_array_equal(predictions(rows), [0, 1, -1, 0])


def test_an_example_without_an_answer_counts_as_wrong() -> None:
    """It stays in n and lowers the score, whichever label it has."""
    rows = np.array([[-1.0, -2.0], [NAN, NAN], [-2.0, -1.0], [NAN, NAN]])
    found = evaluate("accuracy", rows, np.array([0, 0, 1, 1]), seed=0)
    assert (found.metric, found.score, found.n) == ("accuracy", 0.5, 4)


def test_the_interval_is_decided_by_the_seed() -> None:
    """The same seed gives the same interval, which holds the score."""
    rng = np.random.default_rng(0)
    rows, labels = rng.normal(size=(60, 3)), rng.integers(3, size=60)
    found = [evaluate("macro_f1", rows, labels, seed) for seed in (0, 0, 1)]
    assert found[0] == found[1]
    assert found[0].score == found[2].score
    assert found[0].ci95[0] < found[0].score < found[0].ci95[1]


def test_an_answer_that_names_no_label_is_wrong() -> None:
    """All labels at minus infinity is no prediction; one of them there is ruled out, no more."""
    never = -np.inf
    assert predictions(np.array([[never, never], [never, -1.0], [-1.0, never]])).tolist() == [
        -1,
        1,
        0,
    ]
