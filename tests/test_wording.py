"""The rules of `bdpl_async.wording`."""

from __future__ import annotations

import pytest

from bdpl_async.evaluation import Evaluation, Gain
from bdpl_async.wording import bounds, counted, dollars, percent, points, signed


@pytest.mark.parametrize(
    ("count", "told"),
    [(0, "0 requests"), (1, "1 request"), (2, "2 requests"), (12_345, "12,345 requests")],
)
def test_one_is_singular(count: int, told: str) -> None:
    """Only 1 is one; thousands have commas."""
    assert counted(count, "request") == told


def test_scores_are_per_cent_and_differences_points() -> None:
    """One decimal each; a difference keeps its sign, and so do the ends of its interval."""
    assert percent(Evaluation("accuracy", 0.712, (0.66, 0.759), 320)) == (
        "71.2 % (95 %: 66.0 to 75.9, n=320)"
    )
    assert percent(Evaluation("mcc", -0.05, (-0.2, 0.1), 9, 2)) == (
        "-5.0 % (95 %: -20.0 to 10.0, n=9, 2 unanswered)"
    )
    assert points(Gain(0.031, (-0.01, 0.052), 0.2)) == "+3.1 points (95 %: -1.0 to +5.2)"
    assert signed(-0.004) == "-0.4"
    assert bounds((0.5, 1.0)) == "50.0 to 100.0"


def test_small_sums_are_seen() -> None:
    """A hundredth of a cent is not nothing."""
    assert (dollars(0.0001), dollars(1234.5)) == ("$0.0001", "$1,234.5000")
