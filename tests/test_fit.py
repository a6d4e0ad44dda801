"""What is seen of a read-out: numbers that make sense, and how far two answers differ."""

from __future__ import annotations

import math

from bdpl_async.errors import UnusableAnswer
from bdpl_async.records import Score
from bdpl_providers.fit import MOST_MASS, drift, sensible


def test_sensible() -> None:
    """Log-probabilities are not NaN, not above zero, and their probabilities sum to one."""
    good = Score((-0.7, -0.8))
    assert sensible(good) is good
    for bad in ((0.5, -1.0), (math.nan, -1.0), (-0.1, -0.1)):
        assert isinstance(sensible(Score(bad)), UnusableAnswer)
    bounded = Score((-0.1, -0.1), censored=(False, True))
    assert sensible(bounded) is bounded
    assert MOST_MASS > 1


def test_drift() -> None:
    """Only label words that both answers saw are compared."""
    seen = Score((-1.0, -2.0))
    assert drift(seen, Score((-1.5, -9.0), censored=(False, True))) == 0.5
    assert drift(Score((-1.0,), censored=(True,)), Score((-3.0,))) is None
