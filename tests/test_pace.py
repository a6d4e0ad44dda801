"""The rules of `bdpl_async.limits.pace`."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise

import pytest

from bdpl_async.limits.pace import BIT, DEAF, LEAST, MORE, NEAR, WHILE, Pace
from bdpl_async.limits.window import MARGIN


def rate(pace: Pace) -> float | None:
    """Requests a second that it allows."""
    window = pace.window
    return None if window is None else window.limit / window.period * MARGIN


def play(
    pace: Pace, refuses: Callable[[float], float], seconds: int, wish: float, most: float = 1e9
) -> list[float]:
    """The rates of so many seconds against a provider that asks so often, at so much.

    Args:
        wish: a second, if nothing held it.
        most: get through a second.
    """
    rates = []
    for now in range(1000, 1000 + seconds):
        going = min(wish, rate(pace) or wish)
        sent = int(5 * min(going, most))
        for _ in range(int(refuses(going))):
            pace.slower(float(now), sent, 5.0, 0)
        if pace.due(float(now)):
            pace.faster(float(now), sent, 5.0)
        rates.append(going)
    return rates


def test_it_halves_what_went_through() -> None:
    """Half of what was really sent a second, evenly, from the next request on."""
    pace = Pace()
    pace.slower(1000.0, 40, 5.0, 7)
    assert rate(pace) == pytest.approx(4)
    assert pace.window is not None
    assert pace.window.limit == 1


def test_it_is_not_halved_twice_in_a_while() -> None:
    """However often it is asked within ten seconds of a cut, that was one call."""
    pace = Pace()
    for now in range(10):
        pace.slower(1000.0 + now, 40, 5.0, 0)
    assert rate(pace) == pytest.approx(4)
    pace.slower(1000.0 + WHILE, 3, 5.0, 0)  # most is refused by now
    assert rate(pace) == pytest.approx(LEAST)


def test_it_never_stops() -> None:
    """Less than one a second is never asked of anybody."""
    pace = Pace()
    pace.slower(1000.0, 0, 0.0, 0)
    assert rate(pace) == pytest.approx(LEAST)


def test_it_recovers_until_nobody_is_held() -> None:
    """Half again every ten seconds; when less is sent than it allows, it is gone."""
    pace = Pace()
    pace.slower(1000.0, 50, 5.0, 0)
    rates = play(pace, lambda going: 0, 120, 10.0)
    assert [rates[10 * n + 5] for n in range(4)] == pytest.approx([5, 7.5, 10, 10], rel=0.01)
    assert pace.window is None


def test_it_is_careful_near_a_rate_that_was_too_high_twice() -> None:
    """At the second wall it stops a little short of it and goes on in small steps."""
    pace = Pace()
    rates = play(pace, lambda going: going > 10, 200, 20.0, 10.0)
    assert min(rates[100:]) < 0.6 * 10
    steps = [b / a for a, b in pairwise(rates[40:]) if b > a]
    assert {round(step, 2) for step in steps} >= {MORE, BIT}
    assert any(one == pytest.approx(NEAR * max(rates[100:]), rel=0.1) for one in rates[100:])


def test_a_call_at_half_the_rate_is_an_accident() -> None:
    """Slower did not help and most goes through: it is forgotten, and the deaf hear it later."""
    pace = Pace()
    pace.slower(1000.0, 50, 5.0, 0)
    pace.slower(1011.0, 25, 5.0, 0)
    assert pace.window is None
    pace.slower(1012.0, 50, 5.0, 0)
    assert pace.window is None
    pace.slower(1011.0 + DEAF, 50, 5.0, 0)
    assert rate(pace) == pytest.approx(5)


def test_even_the_deaf_hear_when_most_is_refused() -> None:
    """As many refusals as answers are no accident."""
    pace = Pace()
    pace.slower(1000.0, 50, 5.0, 0)
    pace.slower(1011.0, 25, 5.0, 0)
    for n in range(12):
        pace.slower(1012.0 + n / 10, 10, 5.0, 0)
    assert rate(pace) == pytest.approx(LEAST)


@pytest.mark.parametrize("share", [0.01, 0.05, 0.1, 0.2])
@pytest.mark.parametrize("wish", [5.0, 50.0])
def test_calls_at_random_cost_less_than_half(share: float, wish: float) -> None:
    """In the long run at least half of what could be sent is sent."""
    pace, chance = Pace(), random.Random(1)
    rates = play(
        pace, lambda going: sum(chance.random() < share for _ in range(int(going))), 600, wish
    )
    assert sum(rates) > 0.5 * 600 * wish
