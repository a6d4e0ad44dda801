"""What a comparison would cost, arm by arm and in total: as one document, and for a person."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from bdpl_cli.columns import aligned, tail, wrapped
from bdpl_cli.runcosts import usd

if TYPE_CHECKING:
    from bdpl_async.estimate import Estimate
    from bdpl_async.studies.arms import Arm

__all__ = ["document", "lines"]

COUNTS = ("requests", "prompts", "tokens")
NAME = 28  # characters of an arm's name
Found = Sequence[Sequence["Estimate"]]


def document(arms: Sequence[Arm], found: Found) -> dict[str, object]:
    """For JSON: the total under the keys that a single run's estimate has, and all runs.

    Args:
        arms: as they are compared.
        found: for each arm an estimate a run.
    """
    first = arms[0].cells[0]
    runs = [
        {
            "model": arm.model,
            "method": arm.method,
            "seed": cell.config.run.seed,
            **asdict(one),
        }
        for arm, estimates in zip(arms, found, strict=True)
        for cell, one in zip(arm.cells, estimates, strict=True)
    ]
    return {
        "task": first.task.name,
        **_total([one for estimates in found for one in estimates]),
        "arms": runs,
        "budget": first.config.budget.model_dump(),
        "notes": list(_notes(arms, found)),
    }


def lines(arms: Sequence[Arm], found: Found) -> Iterator[str]:
    """The lines to print: an arm each, and the total."""
    everything = [one for estimates in found for one in estimates]
    task = arms[0].cells[0].task.name
    yield from wrapped(f"{task}: what a comparison takes at most; the budget is each run's own")
    yield ""
    rows: list[tuple[str, ...]] = [("arm", "runs", *COUNTS, "USD")]
    rows += [_row(arm.name, estimates) for arm, estimates in zip(arms, found, strict=True)]
    yield from (f"  {line}" for line in aligned([*rows, _row("total", everything)]))
    yield ""
    exact = all(one.exact for one in everything)
    counts = "are counted" if exact else "are upper bounds where the tokenizer is not at hand"
    yield from wrapped(
        f"Tokens {counts}; every text is taken as new, and what the cache holds is free."
    )
    if any(one.usd is None for one in everything):
        yield from wrapped(
            "USD are unknown without --price-in and --price-out, or prices in [[models]]."
        )
    for note in _notes(arms, found):
        yield from wrapped(f"note: {note}")


def _row(name: str, estimates: Sequence[Estimate]) -> tuple[str, ...]:
    total = _total(estimates)
    counts = (f"{total[key]:,}" for key in COUNTS)
    return (tail(name, NAME), f"{len(estimates):,}", *counts, usd(total["usd"]))


def _total(estimates: Sequence[Estimate]) -> dict[str, float | None]:
    """All together; dollars only where all are known."""
    prices = [one.usd for one in estimates]
    known = [price for price in prices if price is not None]
    usd = sum(known) if len(known) == len(prices) else None
    counts = {key: sum(getattr(one, key) for one in estimates) for key in COUNTS}
    return {**counts, "usd": usd}


def _notes(arms: Sequence[Arm], found: Found) -> tuple[str, ...]:
    """What a person should know of each arm, once."""
    told = (
        f"{arm.name}: {note}"
        for arm, estimates in zip(arms, found, strict=True)
        for one in estimates
        for note in one.notes
    )
    return tuple(dict.fromkeys(told))
