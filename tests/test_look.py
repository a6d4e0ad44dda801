"""Looks: which expressions are let in, and what they find."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bdpl_async.data.look import LONGEST, READ, Look

SLOW = [
    "(a+)+$",
    "(a|a)(a|a)(a|a)$",
    "(?:a*)*b",
    "(?=a*)*b",
    "a?" * 30 + "a" * 30,
    ".*.*.*x",
    ".*a{1,9}b+",
    "(?P<n>a)(?P=n)",
    "(",
    "[",
    "a" * (LONGEST + 1),
    "\\",
]


@pytest.mark.parametrize("text", SLOW)
def test_what_may_run_away_is_refused(text: str) -> None:
    """An expression with groups, many repeats or a flaw is a ValueError that says why."""
    with pytest.raises(ValueError, match=r"than|bracket|repeat|expression"):
        Look.parse(text)


def test_what_looks_like_a_repeat_and_is_none_is_let_in() -> None:
    """Escapes, classes, lookaheads and comments hold no repeats."""
    for text in (r"\*\+\?\{", "[*+?{(]x", "(?!.*x)(?=a)b", "a(?#any * of + these ?)"):
        Look.parse(text)


def test_the_worst_is_quick() -> None:
    """Two repeats over the longest text that is read take no minute."""
    look = Look.parse(".*a.*b$")
    began = time.perf_counter()
    assert look.miss(["a" * READ * 10] * 20) == (0, 20, 0)
    assert time.perf_counter() - began < 5


def test_half_must_match() -> None:
    """Half of the texts are enough; with fewer the count and the first odd one are told."""
    look = Look.parse("[a-z]+$(?#small letters)")
    assert look.words == "small letters"
    assert look.miss(["a", "B", "c", "D"]) is None
    assert look.miss(["a", "B", "C"]) == (1, 3, 1)
    assert look.miss([]) is None


@settings(max_examples=50)
@given(odd=st.integers(0, 999), rows=st.integers(1, 1000))
def test_a_sample_is_spread_over_the_file(odd: int, rows: int) -> None:
    """Of many texts at most 200 are read, and from the whole length of the file."""
    texts = ["A" if i < odd else "a" for i in range(rows)]
    missed = Look.parse("[a-z]").miss(texts)
    share = max(rows - odd, 0) / rows
    assert (missed is None) == (share >= 0.5) or abs(share - 0.5) < 0.01
    if missed is not None:
        assert missed[1] <= 200
        assert texts[missed[2]] == "A"


def test_a_dot_is_any_character() -> None:
    """Texts may hold line breaks; an expression reads over them, from the start."""
    assert Look.parse("a.b").miss(["a\nb"]) is None
    assert Look.parse("b").miss(["ab"]) == (0, 1, 0)
