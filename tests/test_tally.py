"""What a run took and gained: means, prices, and points that were paid for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bdpl_async.budget import Amount
from bdpl_async.kept import Kept
from bdpl_async.latency import Latency
from bdpl_async.result import Totals
from bdpl_async.spending import Spending
from bdpl_async.studies.arms import Wanted
from bdpl_async.studies.tally import full_price, gained, mean_of, per_point, tally
from tests.test_scoreboard import board


@pytest.fixture
async def run(tmp_path: Path) -> Kept:
    """A finished run on the simulated model."""
    found = await board(tmp_path, Wanted(("simulated/a",), ("bdpl",), (0,)))
    return found.rows[0].runs[0]


def with_usage(run: Kept, usage: Totals, **changes: object) -> Kept:
    result = replace(run.result, usage=usage, **changes)  # type: ignore[arg-type]
    return replace(run, result=result)


def elsewhere(run: Kept) -> Kept:
    """The same on a server that nobody knows a price of."""
    model = run.config.model.model_copy(update={"name": "compatible/x", "base_url": "http://h/v1"})
    return replace(run, config=run.config.model_copy(update={"model": model}))


def test_tokens_per_second_are_those_read_and_written(run: Kept) -> None:
    """All tokens over all seconds; none without tokens or without time."""
    usage = Totals(prompt_tokens=90, completion_tokens=10, seconds=4.0)
    assert tally(with_usage(run, usage)).tokens_per_second == 25.0
    assert tally(with_usage(run, Totals(seconds=4.0))).tokens_per_second is None
    assert tally(with_usage(run, Totals(prompt_tokens=9))).tokens_per_second is None


def test_a_mean_is_of_those_who_know(run: Kept) -> None:
    """A run that the cache answered whole has no latency and takes no part in its mean."""
    slow = with_usage(run, Totals(prompts=10), latency=Latency(2.0, 4.0))
    slower = with_usage(run, Totals(prompts=20), latency=Latency(4.0, 8.0))
    cached = with_usage(run, Totals(), latency=Latency())
    found = mean_of([slow, slower, cached])
    assert (found.prompts, found.p50, found.p95) == (10, 3.0, 6.0)
    assert mean_of([cached]).p50 is None


def test_the_full_price_depends_on_no_cache(run: Kept) -> None:
    """What was paid and what the cache saved add up, so that a rerun costs the same."""
    spending = Spending(saved=Amount(usd=0.75))
    first = with_usage(run, Totals(usd=1.0), spending=Spending())
    again = with_usage(run, Totals(usd=0.25), spending=spending)
    assert full_price(first) == full_price(again) == 1.0
    assert tally(again).usd == 0.25
    assert full_price(with_usage(run, Totals(usd=0.5), spending=None)) == 0.5


def test_no_known_price_is_no_price_of_nothing(run: Kept) -> None:
    """A local model costs nothing; a server without a price costs nobody knows what."""
    free = with_usage(run, Totals(), spending=None)
    assert full_price(free) == 0.0
    away = elsewhere(free)
    assert (full_price(away), tally(away).usd) == (None, None)
    model = away.config.model.model_copy(update={"price_in": 0.0, "price_out": 0.0})
    told = replace(away, config=away.config.model_copy(update={"model": model}))
    assert full_price(told) == 0.0


@pytest.mark.parametrize(
    ("usd", "gain", "found"),
    [(2.0, 0.04, 0.5), (0.0, 0.04, 0.0), (2.0, 0.0, None), (2.0, -0.1, None), (None, 0.1, None)],
)
def test_a_point_has_a_price_only_where_it_was_gained(
    usd: float | None, gain: float, found: float | None
) -> None:
    """USD over hundredths gained; a loss has no price."""
    assert per_point(usd, gain) == (None if found is None else pytest.approx(found))


def test_a_gain_is_on_test_or_else_on_dev(run: Kept) -> None:
    """A run with a test score has its gain from there; one without from its answers on dev."""
    assert run.result.gain is not None
    assert gained(run) == ("test", run.result.gain)
    without = replace(run, result=replace(run.result, gain=None))
    found = gained(without)
    assert found is not None
    dev, empty = run.result.dev, run.result.baseline.dev
    assert dev is not None
    assert empty is not None
    assert found[0] == "dev"
    assert found[1].score == pytest.approx(dev.score - empty.score)
    assert gained(replace(without, answers={})) is None
