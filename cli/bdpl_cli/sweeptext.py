"""What a sweep found, for a person: a line a cell, and the means over seeds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from bdpl_async.studies.grid import short as last_part
from bdpl_async.wording import bounds, counted
from bdpl_cli.columns import aligned, short, wrapped
from bdpl_cli.plots import curves

if TYPE_CHECKING:
    from bdpl_async.studies.grid import Sweep
    from bdpl_async.studies.sweeping import Row
    from bdpl_cli.plots import Spot

__all__ = ["found", "lines"]

FEW = 5  # seeds below which an interval over them is a guess
WHERE = 36  # characters of a value


def found(row: Row) -> str:
    """What a cell came to."""
    result, usage = row.result, row.result.usage
    split, scored = ("test", result.test) if result.test else ("dev", result.dev)
    score = f"{split} {100 * scored.score:.1f} %" if scored else "no score"
    prompts = counted(usage.prompts, "prompt")
    return f"{score}, {prompts}, {usage.seconds:.0f} s ({result.stop_reason})"


def lines(sweep: Sweep, rows: Sequence[Row]) -> Iterator[str]:
    """The means over seeds, a line each."""
    measured, drawn = curves(sweep, rows)
    yield from wrapped(f"{sweep.name}: {measured} in per cent, mean over seeds")
    for curve in drawn:
        if curve.line:
            yield from wrapped(f"{curve.label}:")
        head = (last_part(sweep.x), "mean", "95 % interval", "over")
        table = [head, *(_spot(spot) for spot in curve.spots)]
        yield from (f"  {line}" for line in aligned(table))
    spots = [spot for curve in drawn for spot in curve.spots]
    if any(1 < spot.runs < FEW for spot in spots):
        yield from wrapped(
            f"note: fewer than {FEW} seeds say little about their spread; take more of them"
        )


def _spot(spot: Spot) -> tuple[str, ...]:
    where = short(str(spot.x), WHERE)
    over = "its examples" if spot.runs == 1 else counted(spot.runs, "seed")
    alike = spot.runs > 1 and spot.low == spot.high  # no spread is no proof of none
    interval = "all alike" if alike else bounds((spot.low, spot.high))
    return where, f"{100 * spot.mean:.1f}", interval, over
