"""The rules of `bdpl_async.usable`: which answers hold log-probabilities, and which only say so."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bdpl_async.errors import RequestFailed, UnusableAnswer
from bdpl_async.records import Score
from bdpl_async.usable import ROUNDING, checked, may_improve, off_the_labels


@given(st.lists(st.floats(max_value=0.0, allow_nan=False), min_size=1, max_size=9))
def test_log_probabilities_pass_as_they_are(values: list[float]) -> None:
    """One a label word, at most zero, not all impossible: the very score comes back."""
    score = Score(tuple(values))
    usable = checked(score, "mine/x", len(values))
    assert (usable is score) == (max(values) > -math.inf)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ((-1.0,), "1 values for 2 labels"),
        ((-1.0, -2.0, -3.0), "3 values for 2 labels"),
        ((math.nan, -1.0), "no log-probabilities"),
        ((-1.0, math.nan), "no log-probabilities"),
        ((0.5, -1.0), "no log-probabilities"),
        ((math.inf, -1.0), "no log-probabilities"),
        ((-math.inf, -math.inf), "no log-probabilities"),
    ],
)
def test_what_is_none_is_an_error_in_its_place(values: tuple[float, ...], named: str) -> None:
    """It names the scorer and what is wrong, and the same question may bring a better answer."""
    found = checked(Score(values), "mine/x", 2)
    assert isinstance(found, UnusableAnswer)
    assert str(found).startswith("mine/x: ")
    assert named in str(found)
    assert may_improve(found)


def test_rounding_is_forgiven() -> None:
    """A server's certainty may come out a little above zero; one label may be impossible."""
    for score in (Score((ROUNDING / 2, -9.0)), Score((0.0, -math.inf))):
        assert checked(score, "mine/x", 2) is score


def test_an_error_stays_itself() -> None:
    """What failed already is not judged again, and asking again would not help."""
    error = RequestFailed("content filter")
    assert checked(error, "mine/x", 2) is error
    assert not may_improve(error)
    assert not may_improve(Score((-1.0, -2.0)))


def test_a_word_that_is_no_label_is_an_answer() -> None:
    """What the model says on purpose is told from numbers that went wrong and from no answer."""
    assert off_the_labels(UnusableAnswer("well", retryable=False))
    for outcome in (UnusableAnswer("NaN"), RequestFailed("lost"), Score((-1.0, -2.0))):
        assert not off_the_labels(outcome)
