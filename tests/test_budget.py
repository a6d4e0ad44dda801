"""The rules of `bdpl_async.budget`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from fractions import Fraction

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from bdpl_async.budget import Amount, Budget, Ledger, Reservation
from bdpl_async.errors import BudgetExhausted, ConfigError

NAMES = tuple(field.name for field in fields(Amount))
# Quarters add up exactly in binary, so that what is tested is the ledger and not float addition.
AMOUNTS = st.builds(
    Amount,
    requests=st.integers(0, 3),
    prompts=st.integers(0, 20),
    tokens=st.integers(0, 400),
    usd=st.integers(0, 40).map(lambda quarters: quarters / 4),
)


def limit(largest: int) -> st.SearchStrategy[int | None]:
    return st.none() | st.integers(1, largest)


class LedgerMachine(RuleBasedStateMachine):
    """Random reservations, closed in random ways, against a plain list of what was paid."""

    opened = Bundle("opened")
    closed = Bundle("closed")

    @initialize(
        requests=limit(20), prompts=limit(100), tokens=limit(3000), usd=st.none() | st.just(25.0)
    )
    def grant(
        self, requests: int | None, prompts: int | None, tokens: int | None, usd: float | None
    ) -> None:
        self.ledger = Ledger(Budget(requests, prompts, tokens, usd))
        self.spent: list[Amount] = []
        self.replayed: list[Amount] = []
        self.held: dict[int, Amount] = {}

    def total(self, name: str, *, cached: bool = False) -> Fraction:
        everything = [*self.spent, *self.held.values(), *(self.replayed if cached else ())]
        return sum((Fraction(getattr(amount, name)) for amount in everything), Fraction(0))

    def room(self, amount: Amount) -> bool:
        limits = {name: getattr(self.ledger.budget, name) for name in NAMES}
        return all(
            most is None or self.total(name, cached=True) + Fraction(getattr(amount, name)) <= most
            for name, most in limits.items()
        )

    @rule(target=opened, amount=AMOUNTS)
    def reserve(self, amount: Amount) -> object:
        assert self.ledger.fits(amount) == self.room(amount)
        if not self.room(amount):
            with pytest.raises(BudgetExhausted):
                self.ledger.reserve(amount)
            return multiple()
        reservation = self.ledger.reserve(amount)
        self.held[reservation.number] = amount
        return reservation

    @rule(target=closed, reservation=consumes(opened), part=st.integers(0, 4))
    def settle(self, reservation: Reservation, part: int) -> Reservation:
        most = self.held.pop(reservation.number)
        actual = Amount(
            most.requests, most.prompts * part // 4, most.tokens * part // 4, most.usd * part / 4
        )
        self.ledger.settle(reservation, actual)
        self.spent.append(actual)
        return reservation

    @rule(target=closed, reservation=consumes(opened))
    def lose(self, reservation: Reservation) -> Reservation:
        self.ledger.lost(reservation)
        self.spent.append(self.held.pop(reservation.number))
        return reservation

    @rule(target=closed, reservation=consumes(opened))
    def release(self, reservation: Reservation) -> Reservation:
        self.ledger.release(reservation)
        self.held.pop(reservation.number)
        return reservation

    @rule(amount=AMOUNTS)
    def replay(self, amount: Amount) -> None:
        self.ledger.replay(amount)
        self.replayed.append(amount)

    @rule(reservation=closed)
    def close_again(self, reservation: Reservation) -> None:
        for close in (self.ledger.lost, self.ledger.release):
            with pytest.raises(ValueError, match="closed before"):
                close(reservation)
        with pytest.raises(ValueError, match="closed before"):
            self.ledger.settle(reservation, Amount())

    @invariant()
    def never_exceeded(self) -> None:
        total = self.ledger.spent + self.ledger.held
        for name in NAMES:
            assert Fraction(getattr(total, name)) == self.total(name)
            most = getattr(self.ledger.budget, name)
            assert most is None or getattr(total, name) <= most
            used = Fraction(getattr(self.ledger.used + self.ledger.held, name))
            assert used == self.total(name, cached=True)

    @invariant()
    def a_snapshot_holds_all(self) -> None:
        again = Ledger(self.ledger.budget)
        again.restore(orjson.loads(orjson.dumps(self.ledger.snapshot())))
        for name in ("spent", "used", "held", "replayed", "crashed"):
            assert getattr(again, name) == getattr(self.ledger, name)


def test_the_ledger_keeps_every_limit_under_random_use() -> None:
    """Spent and held never exceed a limit, whatever is reserved and however it ends."""
    run_state_machine_as_test(
        LedgerMachine, settings=settings(max_examples=60, stateful_step_count=30)
    )


@pytest.mark.parametrize("name", [field.name for field in fields(Budget)])
@pytest.mark.parametrize("value", [0, -1, -0.5, float("nan")])
def test_a_limit_that_is_no_positive_number_is_refused(name: str, value: float) -> None:
    """Zero, negative and NaN grants are errors that name the limit."""
    with pytest.raises(ConfigError, match=f"budget {name} must be above 0"):
        Budget(**{name: value})  # type: ignore[arg-type]  # what a caller without types may do


def test_the_refusal_names_the_limit() -> None:
    """The error says which of several limits is too small, and nothing is held then."""
    ledger = Ledger(Budget(requests=5, prompts=10))
    with pytest.raises(BudgetExhausted, match="budget of 10 prompts"):
        ledger.reserve(Amount(requests=1, prompts=11))
    assert ledger.held == Amount()
    assert ledger.shortage(Amount(requests=6, prompts=11)) == "requests"


def test_without_limits_everything_fits() -> None:
    """No limit is not a limit of zero."""
    ledger = Ledger(Budget())
    ledger.reserve(Amount(10**9, 10**9, 10**12, 1e9))
    assert ledger.share(Amount(10**9)) == 0.0


@given(AMOUNTS)
def test_share_is_the_part_of_the_tightest_limit(amount: Amount) -> None:
    """Of several limits the one of which most is taken counts."""
    ledger = Ledger(Budget(requests=10, tokens=1000))
    assert ledger.share(amount) == max(amount.requests / 10, amount.tokens / 1000)


def test_what_the_cache_answers_fills_the_budget_and_costs_nothing() -> None:
    """A warm cache makes a run cheaper and no longer: replays leave room as payments do."""
    ledger = Ledger(Budget(requests=10, prompts=100))
    ledger.replay(Amount(requests=9, prompts=90, tokens=900, usd=0.5))
    assert ledger.spent == Amount()
    assert ledger.used == Amount(9, 90, 900, 0.5)
    assert ledger.fits(Amount(requests=1, prompts=10))
    assert ledger.shortage(Amount(requests=1, prompts=11)) == "prompts"
    with pytest.raises(BudgetExhausted, match="budget of 10 requests"):
        ledger.reserve(Amount(requests=2))
    ledger.settle(ledger.reserve(Amount(1, 10)), Amount(1, 10, 100))
    assert (ledger.spent, ledger.used.prompts) == (Amount(1, 10, 100), 100)


def test_replays_beyond_the_budget_refuse_the_rest() -> None:
    """What was granted more generously once may be more than is granted now; nothing is paid."""
    ledger = Ledger(Budget(prompts=10))
    ledger.replay(Amount(1, 50))
    assert not ledger.fits(Amount(prompts=1))
    assert ledger.spent == Amount()


def test_what_was_in_flight_at_the_end_of_a_process_counts_as_spent() -> None:
    """It fills the budget, and is no part of what the run used: no decision may depend on it."""
    ledger = Ledger(Budget(prompts=100))
    ledger.settle(ledger.reserve(Amount(1, 10, 120, 0.5)), Amount(1, 10, 100, 0.25))
    open_, gone = ledger.reserve(Amount(1, 50, 50, 0.125)), ledger.reserve(Amount(1, 5))
    again = Ledger(ledger.budget)
    again.restore(ledger.snapshot())
    again.crash(again.held_as(open_.number))
    again.release(again.held_as(gone.number))
    assert again.crashed == Amount(1, 50, 50, 0.125)
    assert again.spent == Amount(2, 60, 150, 0.375)
    assert again.used == Amount(1, 10, 100, 0.25)
    assert again.held == Amount()
    assert again.shortage(Amount(prompts=41)) == "prompts"
    assert again.reserve(Amount(prompts=40)).number > gone.number
    with pytest.raises(ValueError, match="no reservation"):
        again.held_as(open_.number)


@pytest.mark.parametrize("numbers", [(1, 2, 3), (1, 2, 3, -0.5), (1, 2, 3, float("nan")), "abcd"])
def test_what_is_no_amount_is_refused(numbers: Sequence[float]) -> None:
    """Four numbers from zero up."""
    with pytest.raises((TypeError, ValueError)):
        Amount.of(numbers)


def test_dollars_do_not_drift() -> None:
    """However often a tenth of a cent is held and given back, nothing held is exactly nothing."""
    ledger = Ledger(Budget(usd=1.0))
    for _ in range(1000):
        first, second = ledger.reserve(Amount(usd=0.001)), ledger.reserve(Amount(usd=0.3))
        ledger.release(first)
        ledger.release(second)
    assert ledger.held == Amount()
    assert ledger.fits(Amount(usd=1.0))
