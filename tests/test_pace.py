"""The rules of `bdpl_async.pace`."""

from __future__ import annotations

import pytest

from bdpl_async.concurrency import Slot
from bdpl_async.pace import QUIET, Pace
from bdpl_async.window import MARGIN, Ticket, Window


def sent(pace: Pace, times: list[float], first: int = 1) -> list[Ticket]:
    """Requests that left then."""
    tickets = [Ticket(n, at, 0, Slot(0, 1)) for n, at in enumerate(times, first)]
    for ticket in tickets:
        pace.sent(ticket)
    return tickets


def taught(times: list[float], refusals: int, resume: float | None) -> Pace:
    """After a wave of which the last ones were refused a second after they left."""
    pace = Pace()
    tickets = sent(pace, times)
    for count, ticket in enumerate(tickets[len(times) - refusals :]):
        pace.unsent(ticket)
        if count:
            pace.again(times[-1] + 1)
        else:
            pace.ended()
            pace.learn(times[-1] + 1, resume)
    return pace


def test_a_refusal_that_says_when_to_come_back_teaches_its_cycle() -> None:
    """From the first request to the time to come back so many got through: all others, in fact."""
    (window,) = taught([100.0 + i / 10 for i in range(16)], 6, 104.0).windows
    assert window.limit == 10
    assert window.period == pytest.approx(4.0 * MARGIN)


def test_one_that_does_not_say_means_a_minute() -> None:
    """So many as left in the last minute and were not refused may leave in the next."""
    (window,) = taught([20.0] * 5 + [100.0 + i / 10 for i in range(16)], 6, None).windows
    assert window.limit == 10
    assert window.period == pytest.approx(60.0 * MARGIN)
    assert window.wait(1, 102.0) > 55  # they count already


def test_what_nothing_got_through_of_teaches_nothing() -> None:
    """A refusal of the very first request says that it is too early, but no rate."""
    assert taught([100.0], 1, None).windows == []


def test_what_still_refuses_is_lowered() -> None:
    """A second lesson never brings a higher rate than the one at which it was given."""
    pace = taught([100.0 + i / 10 for i in range(16)], 6, 104.0)
    before = pace.windows[0].limit / pace.windows[0].period
    tickets = sent(pace, [104.0 + i / 100 for i in range(10)], first=100)
    pace.unsent(tickets[-1])
    pace.ended()
    pace.learn(105.0, 104.5)
    assert pace.windows[0].limit / pace.windows[0].period < 0.96 * before


def test_it_is_raised_when_all_was_quiet_and_falls_back_at_once() -> None:
    """One more after a quiet time; if that is refused, as before, and twice the quiet time."""
    pace = taught([100.0 + i / 10 for i in range(16)], 6, None)
    now = 102.5 + QUIET
    pace.raised(now - 1)
    assert pace.windows[0].limit == 10
    pace.raised(now)
    assert pace.windows[0].limit == 11
    pace.ended()
    pace.learn(now, None)
    assert pace.windows[0].limit == 10
    pace.raised(now + 1.5 * QUIET)
    assert pace.windows[0].limit == 10
    pace.raised(now + 2 * QUIET)
    assert pace.windows[0].limit == 11


def test_a_minute_is_spread_over_its_seconds() -> None:
    """A second's worth of the user's minute at a time; then slower, until it is of no use."""
    pace = Pace()
    given = [Window("requests", 600, 61.0), Window("tokens", 6000, 61.0)]
    assert pace.spread(given, 0.0)
    requests, tokens = pace.windows
    assert (requests.limit, requests.period) == pytest.approx((10, MARGIN))
    assert (tokens.limit, tokens.period) == pytest.approx((100, MARGIN))
    steps = 0
    while pace.spread(given, 0.0):
        steps += 1
    assert steps == 5
    assert pace.windows[0].period == pytest.approx(1.1**5 * MARGIN)


def test_less_than_one_a_second_goes_one_at_a_time() -> None:
    """What is spread is never less than one request, only rarer."""
    pace = Pace()
    pace.spread([Window("requests", 20, 61.0)], 0.0)
    assert (pace.windows[0].limit, pace.windows[0].period) == pytest.approx((1, 3 * MARGIN))


def test_each_call_to_slow_down_halves_what_was_seen() -> None:
    """Half the rate of the last minute, then half of that."""
    pace = Pace()
    sent(pace, [100.0 + i / 8 for i in range(160)])  # 8 a second for 20 seconds
    pace.halve(120.0)
    assert pace.windows[0].limit / pace.windows[0].period == pytest.approx(4, rel=0.05)
    pace.halve(130.0)
    assert pace.windows[0].limit / pace.windows[0].period == pytest.approx(2, rel=0.05)
