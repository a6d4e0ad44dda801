"""What one run would take, for a person: by part, what the budget buys, and what more would."""

from __future__ import annotations

from collections.abc import Iterator
from math import floor, log10
from typing import TYPE_CHECKING

from bdpl_async.wording import counted, dollars
from bdpl_cli.columns import aligned, wrapped
from bdpl_cli.plaintext import clean

if TYPE_CHECKING:
    from bdpl_async.budget import Amount
    from bdpl_async.config import Config
    from bdpl_async.estimate import Estimate
    from bdpl_async.task import Task

__all__ = ["cells", "lines", "usd"]

HEAD = ("requests", "prompts", "tokens", "USD")
PARTS = {"probe": "probe", "train": "updates", "dev": "dev", "test": "test"}
LIMITS = ("requests", "prompts", "tokens", "usd")
ROUND = (1, 2, 5)


def lines(task: Task, found: Estimate) -> Iterator[str]:
    """The lines to print."""
    config = task.config
    method = clean(config.optimizer.method)
    yield from wrapped(
        f"{task.name} on {config.model.name} by {method}: what a run takes at most", indent=""
    )
    yield ""
    known = found.usd is not None
    parts = [(PARTS[name], *cells(part, known)) for name, part in found.parts.items()]
    total = (f"{found.requests:,}", f"{found.prompts:,}", f"{found.tokens:,}", usd(found.usd))
    for line in aligned([("", *HEAD), *parts, ("total", *total)]):
        yield f"  {line}"
    yield ""
    for sentence in _sentences(config, found):
        yield from wrapped(sentence)
    for note in found.notes:
        yield from wrapped(f"note: {note}")
    yield from _ladder(config, found)


def cells(amount: Amount, known: bool) -> tuple[str, str, str, str]:
    """An amount under `HEAD`.

    Args:
        amount: what is taken.
        known: whether its dollars are.
    """
    counts = (f"{amount.requests:,}", f"{amount.prompts:,}", f"{amount.tokens:,}")
    return *counts, usd(amount.usd if known else None)


def usd(amount: float | None) -> str:
    """Dollars in a column; None where nobody knows them."""
    return "unknown" if amount is None else dollars(amount) if amount else "free"


def _sentences(config: Config, found: Estimate) -> Iterator[str]:
    yield _bought(config, found)
    if found.updates:
        yield f"An update takes {_each(found)}."
    batch = f"up to {found.batch} texts a request" if found.batch > 1 else "one text a request"
    yield f"Scored on {found.dev:,} dev and {found.test:,} test examples; {batch}."
    counts = "are counted" if found.exact else "are upper bounds, the tokenizer is not at hand"
    yield f"Tokens {counts}; every text is taken as new, and what the cache holds is free."
    if found.usd is None:
        yield "USD are unknown: give --price-in and --price-out, in USD per million tokens."


def _bought(config: Config, found: Estimate) -> str:
    """How many updates, and why no more."""
    steps = config.optimizer.steps
    if not found.updates:
        return f"No updates: the method {config.optimizer.method} does not search."
    updates = counted(found.updates, "update")
    if found.budget_updates is None:
        why = "as --steps says" if steps is not None else "as usual without --steps"
        return f"{updates}, {why}; no budget limits them."
    if found.updates < found.budget_updates:
        return f"{updates}, as --steps says; the budget buys {found.budget_updates:,}."
    return f"The budget buys {updates}{_share(config, found)}."


def _share(config: Config, found: Estimate) -> str:
    """What the updates get of the limit that is reached first."""
    tight = _tight(config, found)
    if tight is None:
        return ""
    limit, part = getattr(config.budget, tight), getattr(found.parts["train"], tight)
    granted = dollars(limit) if tight == "usd" else f"{limit:,} {tight}"
    return f", which get {100 * part / limit:.0f} % of its {granted}"


def _tight(config: Config, found: Estimate) -> str | None:
    """The limit that is reached first; None where there is none."""
    limits = {name: getattr(config.budget, name) for name in LIMITS}
    shares = {name: (getattr(found, name) or 0) / limit for name, limit in limits.items() if limit}
    return max(shares, key=lambda name: shares[name], default=None)


def _each(found: Estimate) -> str:
    each = found.each
    parts = [counted(each.prompts, "prompt"), counted(each.requests, "request")]
    parts += [counted(each.tokens, "token")] if each.tokens else []
    parts += [dollars(each.usd)] if each.usd else []
    return f"about {', '.join(parts)}"


def _ladder(config: Config, found: Estimate) -> Iterator[str]:
    """What a few round sums of money would buy."""
    around = config.budget.usd or found.usd
    if not around or found.bought(around) is None or _tight(config, found) not in (None, "usd"):
        return
    sums = [amount for amount in _round(around) if found.bought(amount)]
    if not sums:
        return
    yield ""
    head = ["--max-usd", *(f"{amount:.9f}".rstrip("0").rstrip(".") for amount in sums)]
    others = any(getattr(config.budget, name) for name in LIMITS if name != "usd")
    row = [
        "by itself buys about" if others else "buys about",
        *(f"{found.bought(amount):,}" for amount in sums),
        "updates",
    ]
    yield from (f"  {line}" for line in aligned([[*head, ""], row]))


def _round(around: float) -> list[float]:
    """1, 2 and 5 of each power of ten, from a quarter to ten times of it."""
    power = floor(log10(around))
    sums = [digit * 10.0**p for p in range(power - 1, power + 2) for digit in ROUND]
    return [amount for amount in sums if around / 4 <= amount <= 10 * around][:6]
