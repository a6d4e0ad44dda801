"""How a grant is divided: updates, choosing on dev, the final test.

Everything is priced as the gate will ask for it, so that a slice kept for the end really is
enough. Where a kill would cost something, room for that is kept as well, see `bdpl_async.stake`.
Pure: prices come in as a function.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from bdpl_async.budget import Amount, Budget, Ledger
from bdpl_async.errors import BudgetTooSmall
from bdpl_async.selection import evaluations, halving
from bdpl_async.stake import Stake
from bdpl_async.wording import counted, dollars

__all__ = ["FEWEST_DEV", "Ask", "Plan", "Sizes", "make_plan", "on_test", "shrinking", "total"]

DEV_SHARE = 0.25  # of the grant, at most, for choosing on dev and the empty prompt's dev score
TEST_SHARE = 1 / 3  # of the grant, at most, for the test scores of the learned and the empty prompt
FEWEST_DEV = 32  # dev examples below which a choice would be a guess
NOTHING = Amount()


@dataclass(frozen=True, slots=True)
class Ask:
    """So many texts, asked for together: of which split, with a prompt or without."""

    count: int
    split: str = "train"
    filled: bool = True


class Price(Protocol):
    """What an ask takes at most, as `bdpl_async.forecast.Forecast.cost` says it."""

    def __call__(self, prompts: int, split: str = "train", *, filled: bool = True) -> Amount:
        """The price of one ask."""
        ...


@dataclass(frozen=True, slots=True)
class Plan:
    """What the end of a run may use.

    Attributes:
        dev: dev examples that prompts are chosen and scored on.
        test: test examples; 0 for none.
        finalists: prompts that go into the selection.
        update: example evaluations of one update; 0 for a method that does not search.
        updates: what the rest of the grant buys; None without limits.
        extra: texts that calibration asks with every prompt, beside its rows.
        in_flight: requests in flight at most; None: as the user says.
        reserve: what a kill may cost: what so many full requests are reserved at.
        notes: what a person should know about a split that had to be cut.
    """

    dev: int
    test: int
    finalists: int
    notes: tuple[str, ...] = ()
    update: int = 0
    updates: int | None = None
    extra: int = 0
    in_flight: int | None = None
    reserve: Amount = NOTHING

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Plan:
        """What `dataclasses.asdict` made of a plan, and JSON of that.

        Raises:
            KeyError, TypeError: it is something else.
        """
        reserve, notes = Amount(**document["reserve"]), tuple(document["notes"])
        return cls(**{**document, "reserve": reserve, "notes": notes})

    @property
    def baseline(self) -> Ask:
        """The first ask: the empty prompt on dev."""
        return Ask(self.dev, "dev", filled=False)

    def selection(self, finalists: int | None = None) -> list[Ask]:
        """The asks of choosing among the finalists."""
        finalists = finalists or self.finalists
        first, *more = evaluations(halving(finalists, self.dev))
        return [Ask(count, "dev") for count in (first + finalists * self.extra, *more)]

    def closing(self, finalists: int | None = None) -> list[Ask]:
        """All asks after the last update: selection, then learned and empty prompt on test."""
        return [*self.selection(finalists), *on_test(self.test)]


@dataclass(frozen=True, slots=True)
class Sizes:
    """What the task and the settings would like to have; `extra` as in `Plan`."""

    update: int
    dev: int
    test: int
    finalists: int
    extra: int = 0

    @property
    def largest(self) -> int:
        """Texts of the largest ask."""
        return max(self.update, self.finalists * (self.dev + self.extra), self.test)


def total(price: Price, asks: Sequence[Ask]) -> Amount:
    """What so many asks cost together."""
    costs = (price(ask.count, ask.split, filled=ask.filled) for ask in asks if ask.count)
    return sum(costs, Amount())


def on_test(count: int) -> list[Ask]:
    """The asks of the final test: the learned and the empty prompt on `count` examples."""
    return [Ask(count, "test"), Ask(count, "test", filled=False)] if count else []


def make_plan(
    sizes: Sizes,
    budget: Budget,
    price: Price,
    used: Amount = NOTHING,
    stake: Stake | None = None,
) -> Plan:
    """Divide the grant: dev a quarter, test a third at most, the rest learns.

    A little is kept back for what a kill may cost, as far as the smallest plan leaves room:
    what is refused, and what it takes, does not depend on that.

    Args:
        sizes: what the run would like.
        budget: the grant.
        price: what an ask of so many texts takes at most.
        used: what is gone already, or will be for the probe.
        stake: what a kill may cost; None for nothing.

    Raises:
        BudgetTooSmall: it does not buy one update and its evaluation; says what it takes.
    """
    ledger = Ledger(budget)
    ledger.replay(used)
    dev = min(sizes.dev, FEWEST_DEV)
    least = total(
        price, [Ask(sizes.update), Ask(dev + sizes.extra, "dev"), Ask(dev, "dev", filled=False)]
    )
    if not ledger.fits(least):
        raise BudgetTooSmall(_too_small(sizes, dev, budget, (least, used)))
    in_flight, reserve = None, NOTHING
    if stake is not None:
        in_flight, reserve = stake.kept(
            sizes.update, sizes.largest, lambda kept: ledger.fits(least + kept)
        )
    bare = Plan(dev, 0, 1, extra=sizes.extra, in_flight=in_flight, reserve=reserve)
    plan = _with_test(_dev_part(bare, sizes, ledger, price), sizes, ledger, price)
    return replace(plan, update=sizes.update, updates=_updates(plan, sizes, ledger, price))


def _dev_part(bare: Plan, sizes: Sizes, ledger: Ledger, price: Price) -> Plan:
    """As many finalists and dev examples as a quarter of the grant scores; `bare` if it is few."""
    choices = [
        replace(bare, dev=dev, finalists=finalists)
        for dev in dict.fromkeys(shrinking(sizes.dev, bare.dev))
        for finalists in dict.fromkeys((sizes.finalists, 4, 2))
        if finalists <= sizes.finalists
    ]
    for plan in choices:
        cost = total(price, [*plan.closing(), plan.baseline])
        rest = cost + total(price, [Ask(sizes.update)]) + plan.reserve
        most = DEV_SHARE if sizes.update else 1.0
        if ledger.share(cost) <= most and ledger.fits(rest):
            return _noted(plan, "dev", plan.dev, sizes.dev)
    return _noted(bare, "dev", bare.dev, sizes.dev)


def _with_test(plan: Plan, sizes: Sizes, ledger: Ledger, price: Price) -> Plan:
    """The largest part of the test split that leaves room for learning."""
    needed = [Ask(sizes.update), plan.baseline, *plan.selection()]
    for test in shrinking(sizes.test, 1):
        cost = total(price, on_test(test))
        rest = cost + total(price, needed) + plan.reserve
        most = TEST_SHARE if sizes.update else 1.0  # nothing else to spend it on
        if test and ledger.share(cost) <= most and ledger.fits(rest):
            return _noted(replace(plan, test=test), "test", test, sizes.test)
    return _noted(plan, "test", 0, sizes.test)


def _updates(plan: Plan, sizes: Sizes, ledger: Ledger, price: Price) -> int | None:
    """How many updates fit beside the plan's other asks."""
    each = ledger.share(price(sizes.update))
    if not each:
        return None
    other = total(price, [plan.baseline, *plan.closing()]) + plan.reserve
    rest = 1.0 - ledger.share(other + ledger.used)
    return max(1, int(rest / each))


def shrinking(largest: int, smallest: int) -> list[int]:
    """`largest`, then a tenth less each time, down to `smallest`."""
    sizes = [largest]
    while sizes[-1] > smallest:
        sizes.append(max(smallest, int(sizes[-1] * 0.9)))
    return sizes


def _noted(plan: Plan, split: str, used: int, wanted: int) -> Plan:
    if used == wanted:
        return plan
    what = f"scored on {used:,} of {wanted:,} {split} examples" if used else f"no {split} score"
    note = f"{what}: the budget buys no more"
    return replace(plan, notes=(*plan.notes, note))


def _too_small(sizes: Sizes, dev: int, budget: Budget, takes: tuple[Amount, Amount]) -> str:
    """What is too small, and parts that add up; `takes` is for learning and for the probe."""
    probing, least = takes[1].prompts, takes[0] + takes[1]
    update = f"one update takes {counted(sizes.update, 'prompt')}, " if sizes.update else ""
    joint = "and " if sizes.update and not probing else ""
    texts = ", texts to calibrate by included" if sizes.extra else ""
    probe = f", and the probe {probing:,}" if probing else ""
    return (
        f"the budget of {', '.join(_short(budget, least))} is too small: {update}{joint}"
        f"scoring the learned and the empty prompt on {counted(dev, 'dev example')} takes"
        f" {2 * dev + sizes.extra:,}{texts}{probe};"
        f" together at least {counted(least.prompts, 'prompt')} in"
        f" {counted(least.requests, 'request')}"
        + (f", about {counted(least.tokens, 'token')}" if least.tokens else "")
        + (f", {dollars(least.usd)}" if least.usd else "")
    )


def _short(budget: Budget, least: Amount) -> list[str]:
    """The limits that `least` breaks."""
    names = [
        name
        for name in ("requests", "prompts", "tokens", "usd")
        if (limit := getattr(budget, name)) is not None and getattr(least, name) > limit
    ]
    granted = ((name, getattr(budget, name)) for name in names)
    return [
        dollars(limit) if name == "usd" else counted(limit, name.removesuffix("s"))
        for name, limit in granted
    ]
