"""Seconds of answers: two quantiles from a histogram that does not grow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bdpl_async.errors import ProviderUnavailable
from bdpl_async.latency import BUCKETS, Latencies, Latency
from bdpl_async.records import Reply, Request, Score
from bdpl_async.task import Task
from bdpl_async.tuning import tune
from tests.workbench import Length, write_task


def told(seconds: list[float]) -> Latencies:
    found = Latencies()
    for each in seconds:
        found.add(each)
    return found


def test_nothing_sent_has_no_latency() -> None:
    """Where no request was answered both quantiles are unknown, not zero."""
    assert Latencies().summary == Latency(None, None)


@given(st.lists(st.floats(1e-5, 3000), min_size=1, max_size=200), st.sampled_from([0.5, 0.95]))
def test_quantiles_are_within_a_bucket(seconds: list[float], share: float) -> None:
    """A quantile is off by 2.3 % at most, and never outside what was seen."""
    exact = float(np.quantile(seconds, share, method="inverted_cdf"))
    found = told(seconds).quantile(share)
    assert found == pytest.approx(exact, rel=0.023)
    assert found is not None
    assert min(seconds) <= found <= max(seconds)


@pytest.mark.parametrize("seconds", [0.0, 1e-9, 1e6])
def test_no_time_is_too_short_or_too_long(seconds: float) -> None:
    """What falls outside all buckets is counted in the last one on its side."""
    assert told([seconds]).quantile(0.5) == pytest.approx(seconds, rel=0.05)


def test_the_histogram_does_not_grow() -> None:
    """However many answers there were, the counts take the same room."""
    many = told([0.001 * i for i in range(1, 5000)])
    assert len(many._counts) == BUCKETS
    assert sum(many._counts) == 4999


class Flaky(Length):
    """Answers every second request only."""

    async def score(self, request: Request) -> Reply:
        """Refused for now, or answered."""
        self.requests += 1
        if self.requests % 2:
            raise ProviderUnavailable("not now", retry_after=0.001)
        return Reply([Score((-0.5, -1.0)) for _ in request.texts])


async def test_a_run_tells_the_latency_of_what_was_answered(tmp_path: Path) -> None:
    """result.json has both quantiles of answered requests; failures are not among them."""
    scorer = Flaky()
    result = await tune(Task.from_toml(write_task(tmp_path)), scorer, out=tmp_path / "run")
    assert result.latency.p50 is not None
    assert result.latency.p95 is not None
    assert 0 < result.latency.p50 <= result.latency.p95 < result.usage.seconds
    assert result.usage.failures > 0
