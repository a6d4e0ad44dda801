"""The rules of `bdpl_async.limits.allowance`."""

from __future__ import annotations

import pytest

from bdpl_async.limits.allowance import SETTLE, Allowance
from bdpl_async.records import Quota


def told(*quotas: Quota, now: float = 0.0, requests: int = 0, tokens: int = 0) -> Allowance:
    allowance = Allowance()
    allowance.observe(quotas, now, requests, tokens)
    return allowance


def test_what_is_left_shrinks_by_what_is_sent_and_flies() -> None:
    """Requests in flight may not be counted yet, and those sent since surely are not."""
    allowance = told(Quota("requests", None, 5, 30.0), requests=3)
    for _ in range(2):
        assert allowance.wait(1, 1.0) == 0
        allowance.spend(1)
    assert allowance.wait(1, 1.0) == 29.0


def test_tokens_wait_for_as_many_as_the_request_needs() -> None:
    """A small request passes where a large one waits; the longer of two waits counts."""
    allowance = told(Quota("tokens", None, 50, 30.0), Quota("requests", None, 0, 10.0))
    assert allowance.wait(50, 0.0) == 10.0
    assert allowance.wait(51, 0.0) == 30.0
    assert allowance.wait(50, 10.0) == 0


def test_after_the_reset_the_limit_holds_until_an_answer_comes() -> None:
    """A new window is not overrun by a burst; if no answer tells more, nothing is known."""
    allowance = told(Quota("requests", 2, 0, 30.0))
    assert allowance.wait(1, 29.0) == 1.0
    for _ in range(2):
        assert allowance.wait(1, 30.0) == 0
        allowance.spend(1)
    assert allowance.wait(1, 30.0) == SETTLE
    assert allowance.wait(1, 30.0 + SETTLE) == 0
    assert not allowance


def test_the_newest_answer_counts() -> None:
    """An answer replaces what an older one said of the same unit."""
    allowance = told(Quota("requests", None, 0, 30.0))
    allowance.observe((Quota("requests", None, 9, 5.0),), 1.0, 0, 0)
    assert allowance.wait(1, 1.0) == 0


@pytest.mark.parametrize(
    "quota",
    [
        Quota("requests", limit=1),
        Quota("requests", 1, 0),
        Quota("requests", 1, None, 5.0),
        Quota("requests", 1, 0, 0.0),
        Quota("requests", 1, 0, 86_400.0),
    ],
)
def test_what_says_too_little_holds_nobody(quota: Quota) -> None:
    """A limit of unknown period, nothing left without a reset, a reset tomorrow: just send."""
    assert not told(quota)
