"""The rules of `bdpl_cli.page.wording`."""

from __future__ import annotations

import pytest

from bdpl_cli.page.wording import day, duration, ellipsis, probability, share


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.0, "0 s"),
        (0.00031, "0.31 ms"),
        (0.0042, "4.2 ms"),
        (0.85, "850 ms"),
        (0.9996, "1.0 s"),
        (12.34, "12.3 s"),
        (99.96, "1 min 40 s"),
        (245, "4 min 5 s"),
        (3599.6, "1 h 0 min"),
        (7400, "2 h 3 min"),
    ],
)
def test_times(seconds: float, told: str) -> None:
    """In the unit that a person would take, rounded once."""
    assert duration(seconds) == told


def test_chances() -> None:
    """Two digits that count; a very small p is not told as zero."""
    assert [probability(p) for p in (0.0, 0.0004, 0.0316, 0.5, 1.0)] == [
        "p < 0.001",
        "p < 0.001",
        "p = 0.032",
        "p = 0.50",
        "p = 1.00",
    ]


def test_shares() -> None:
    """Per cent with one decimal; no number is a dash."""
    assert (share(0.7124), share(0.5, 0), share(float("nan"))) == ("71.2 %", "50 %", "\N{EN DASH}")


def test_texts_are_cut_with_an_ellipsis() -> None:
    """Never longer than was asked for, and untouched where it is short enough."""
    assert ellipsis("abc", 3) == "abc"
    assert ellipsis("abcd", 3) == "ab…"
    assert ellipsis("ab cd", 4) == "ab…"


def test_moments_are_universal() -> None:
    """A page reads the same wherever it is made."""
    assert day(0) == "1970-01-01 00:00 UTC"
