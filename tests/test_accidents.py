"""The limiter against refusals that mean nothing: at random, or each so-manieth request."""

from __future__ import annotations

import pytest

from tests.virtualtime import Moody, errand, limiter_of, virtually

KINDS = ["0.05", "1", "none", "slow_down", "parallel"]
MIX = "mix"
SLOWLY = 120.0  # seconds: a few times ten at a lower pace, where it is asked to slow down
IN_DOUBT = 0.5  # seconds that a refusal may cost that does not say how long to wait


def refusals(kind: str, share: float) -> dict[str, float]:
    return {each: share / len(KINDS) for each in KINDS} if kind == MIX else {kind: share}


def spent(provider: Moody, concurrency: int, requests: int = 1000) -> tuple[float, float]:
    """Seconds that so many requests took; those of the sends alone, if all ran at once."""

    async def work() -> float:
        return await errand(limiter_of(most=concurrency), provider, requests, concurrency)

    return virtually(work()), requests * provider.latency / concurrency


@pytest.mark.parametrize("concurrency", [1, 8, 64, 512])
@pytest.mark.parametrize("share", [0.01, 0.05, 0.1, 0.2])
@pytest.mark.parametrize("kind", [*KINDS, MIX])
def test_random_refusals_cost_what_they_ask_for(kind: str, share: float, concurrency: int) -> None:
    """1,000 requests take three times the ideal and the waits asked for, whoever refuses how."""
    for seed in range(3):
        provider = Moody(refusals(kind, share), seed=seed)
        seconds, ideal = spent(provider, concurrency)
        waits = provider.asked + IN_DOUBT * len(provider.refused)
        assert seconds <= 3 * ideal + waits + (SLOWLY if kind in ("slow_down", MIX) else 0)


@pytest.mark.parametrize("concurrency", [1, 8, 64])
@pytest.mark.parametrize("share", [0.01, 0.05, 0.2])
def test_random_minutes_cost_twice_what_they_ask_for(share: float, concurrency: int) -> None:
    """Who is told to wait a minute may learn a wrong minute, but does not keep it."""
    for seed in range(3):
        provider = Moody({"60": share}, seed=seed)
        seconds, ideal = spent(provider, concurrency)
        assert seconds <= 3 * ideal + 2 * provider.asked + 300


@pytest.mark.parametrize(("concurrency", "limit"), [(1, 180.0), (64, 60.0)])
@pytest.mark.parametrize("every", [7, 10])
@pytest.mark.parametrize("kind", KINDS)
def test_refusals_that_come_regularly_end(
    kind: str, every: int, concurrency: int, limit: float
) -> None:
    """500 requests of which each seventh is refused are no window: done in a minute or three."""
    seconds, _ = spent(Moody({kind: every}), concurrency, 500)
    assert seconds < limit


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("latency", [0.02, 0.5])
def test_concurrency_does_not_collapse(kind: str, latency: float) -> None:
    """With one in twenty refused, eight are in flight as a rule, and hardly ever one alone."""
    provider = Moody({kind: 0.05}, latency=latency)
    spent(provider, 64, 2000)
    crowds = sorted(provider.crowds)
    assert crowds[len(crowds) // 2] >= 8
    assert crowds.count(1) < 0.15 * len(crowds)


def test_the_rough_mix_ends_at_any_concurrency() -> None:
    """6.7 in a hundred refused in all the ways there are: less than a tenth of an hour."""
    mix = {"0.05": 0.034, "1": 0.011, "none": 0.011, "slow_down": 0.011}
    for concurrency in (1, 64, 512):
        seconds, _ = spent(Moody(mix), concurrency, 900)
        assert seconds < 180
