"""What a comparison would cost, arm by arm and in total: as one document, and for a person."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from bdpl_cli.plaintext import clean

if TYPE_CHECKING:
    from bdpl_async.estimate import Estimate
    from bdpl_async.studies.arms import Arm

__all__ = ["document", "lines"]

COUNTS = ("requests", "prompts", "tokens")
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
    names = [clean(arm.name) for arm in arms]
    width = max(len(name) for name in ("total", *names))
    task = clean(arms[0].cells[0].task.name)
    yield f"{task}, at most, with nothing cached; the budget is each run's own:"
    yield _aligned(f"{'arm':{width}}", ("runs", *COUNTS, "USD"))
    for name, estimates in zip(names, found, strict=True):
        yield _line(f"{name:{width}}", estimates)
    yield _line(f"{'total':{width}}", everything)
    if any(one.usd is None for one in everything):
        yield "  USD are unknown without --price-in and --price-out, or prices in [[models]]"
    if not all(one.exact for one in everything):
        yield "  tokens are bounded by bytes where the tokenizer is unknown"
    for note in _notes(arms, found):
        yield f"note: {clean(note)}"


def _line(name: str, estimates: Sequence[Estimate]) -> str:
    total = _total(estimates)
    requests, prompts, tokens = (f"{total[key]:,}" for key in COUNTS)
    usd = "unknown" if total["usd"] is None else f"{total['usd']:,.4f}"
    return _aligned(name, (str(len(estimates)), requests, prompts, tokens, usd))


def _aligned(name: str, cells: Sequence[str]) -> str:
    widths = (5, 11, 11, 13, 11)
    shown = (f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
    return f"  {name} {' '.join(shown)}"


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
