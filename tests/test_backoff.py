"""The rules of `bdpl_async.limits.backoff`."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bdpl_async.errors import ProviderUnavailable, RateLimited, ServerFault
from bdpl_async.limits.backoff import CAP, FIRST, LONGEST_WAIT, SPREAD, too_long, wait

DRAWS = st.floats(0, 1, exclude_max=True)


def parallel(retry_after: float | None) -> RateLimited:
    error = RateLimited("too many at once", retry_after=retry_after)
    error.kind = "parallel"
    return error


@given(st.integers(1, 10_000), DRAWS)
def test_waits_double_up_to_a_cap(attempt: int, draw: float) -> None:
    """Without a hint the wait lies in the quarter above a floor that doubles with each try."""
    floor = min(CAP, FIRST * 2 ** min(attempt - 1, 50))
    seconds = wait(attempt, ServerFault("broke"), draw)
    assert floor <= seconds <= 1.25 * floor


def test_eight_tries_outlast_half_a_minute() -> None:
    """Whatever is drawn, and also where a busy server asks for half a second each time."""
    for asks in (None, 0.5):
        busy = ProviderUnavailable("503", retry_after=asks)
        assert sum(wait(attempt, busy, 0.0) for attempt in range(1, 8)) > 31.0


@given(st.integers(1, 50), st.floats(0.001, LONGEST_WAIT), DRAWS)
def test_what_the_other_side_asks_wins(attempt: int, asked: float, draw: float) -> None:
    """A `retry_after` is waited in full, with a tiny spread, however short or long back-off is."""
    seconds = wait(attempt, RateLimited("too many", retry_after=asked), draw)
    assert asked <= seconds <= asked + SPREAD


@pytest.mark.parametrize("nothing", [None, 0.0, -3.0, math.nan])
def test_a_hint_without_meaning_is_none(nothing: float | None) -> None:
    """Zero, a time in the past and NaN ask for nothing: the next tries do not come at once."""
    error = ProviderUnavailable("busy", retry_after=nothing)
    assert wait(3, error, 0.5) == pytest.approx(1.125)
    assert not too_long(error)


def test_a_wait_beyond_reason_is_a_refusal() -> None:
    """More than `LONGEST_WAIT` seconds is no wait; exactly so many still is."""
    assert too_long(RateLimited("tomorrow", retry_after=LONGEST_WAIT + 0.1))
    assert too_long(RateLimited("never", retry_after=math.inf))
    assert not too_long(RateLimited("soon", retry_after=LONGEST_WAIT))
    assert not too_long(RateLimited("some day"))


def test_too_many_at_once_need_not_wait_for_a_minute() -> None:
    """A gateway's minute in the headers is not for a request that was one too many at a time."""
    assert wait(1, parallel(60.0), 0.0) == pytest.approx(FIRST)
    assert not too_long(parallel(3600.0))
