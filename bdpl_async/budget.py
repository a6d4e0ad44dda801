"""The grant and the ledger that holds it: reserve before sending, settle after.

    reserve --sent--> settle   what the model's side reported
       |                lost   fate unknown: counted as spent
       +--not sent--> release

Pure bookkeeping: no clock (seconds are passed in), no requests, no event loop. Since a reservation
is refused before anything is sent, nothing is ever exceeded, however many are in flight.

What an earlier run paid for and the cache answers now is `replay`ed: it costs nothing, but it fills
the budget as it did then. So a budget says how long a run is, and a warm cache makes it cheaper,
never longer: where nothing failed, the same seed gives the same result, whatever it holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import NamedTuple

from bdpl_async.errors import BudgetExhausted, ConfigError

__all__ = ["Amount", "Budget", "Ledger", "Reservation"]

COUNTED = ("requests", "prompts", "tokens", "usd")


@dataclass(frozen=True, slots=True)
class Budget:
    """What the user granted; None means no limit.

    Attributes:
        requests: requests sent, retries, failures and probes included.
        prompts: example evaluations answered by the model.
        tokens: prompt and completion tokens.
        usd: US dollars.
        seconds: of wall clock, by a monotonic clock.
    """

    requests: int | None = None
    prompts: int | None = None
    tokens: int | None = None
    usd: float | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        """Refuse a limit that is no positive number.

        Raises:
            ConfigError: naming the limit.
        """
        for limit in fields(self):
            value = getattr(self, limit.name)
            if value is not None and not value > 0:
                raise ConfigError(
                    f"budget {limit.name} must be above 0, not {value}",
                    hint=f"leave {limit.name} out for no limit",
                )


@dataclass(frozen=True, slots=True)
class Amount:
    """So much of each thing that the ledger counts."""

    requests: int = 0
    prompts: int = 0
    tokens: int = 0
    usd: float = 0.0

    def __add__(self, other: Amount) -> Amount:
        return Amount(
            self.requests + other.requests,
            self.prompts + other.prompts,
            self.tokens + other.tokens,
            self.usd + other.usd,
        )

    def __sub__(self, other: Amount) -> Amount:
        return Amount(
            self.requests - other.requests,
            self.prompts - other.prompts,
            self.tokens - other.tokens,
            self.usd - other.usd,
        )


class Reservation(NamedTuple):
    """A promise of the ledger; to be settled, lost or released exactly once."""

    number: int
    amount: Amount


@dataclass(slots=True)
class _Sum:
    """An amount that grows; thousands of times a second, so it is changed and not made anew."""

    requests: int = 0
    prompts: int = 0
    tokens: int = 0
    usd: float = 0.0

    def add(self, amount: Amount, sign: int = 1) -> None:
        self.requests += sign * amount.requests
        self.prompts += sign * amount.prompts
        self.tokens += sign * amount.tokens
        self.usd += sign * amount.usd

    def amount(self) -> Amount:
        return Amount(self.requests, self.prompts, self.tokens, self.usd)


class Ledger:
    """Counts what was spent and what is held for requests under way, against one budget."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        limits = ((name, getattr(budget, name)) for name in COUNTED)
        self._limits = [(name, limit) for name, limit in limits if limit is not None]
        self._spent, self._replayed, self._held = _Sum(), _Sum(), _Sum()
        self._open: dict[int, Amount] = {}
        self._count = 0

    def __repr__(self) -> str:
        return f"<Ledger spent={self.spent} held={self.held} of {self.budget}>"

    @property
    def spent(self) -> Amount:
        """What was paid in this run."""
        return self._spent.amount()

    @property
    def replayed(self) -> Amount:
        """What the cache answered, at what it had cost."""
        return self._replayed.amount()

    @property
    def held(self) -> Amount:
        """The sum of all reservations that are open."""
        return self._held.amount()

    @property
    def holding(self) -> bool:
        """Whether any reservation is open."""
        return bool(self._open)

    @property
    def used(self) -> Amount:
        """What fills the budget and is over: spent and replayed."""
        return self.spent + self.replayed

    def fits(self, amount: Amount) -> bool:
        """Whether `amount` more could be reserved now."""
        return self.shortage(amount) is None

    def shortage(self, amount: Amount) -> str | None:
        """The name of the first limit that `amount` more would break, or None."""
        spent, replayed, held = self._spent, self._replayed, self._held
        for name, limit in self._limits:
            total = getattr(spent, name) + getattr(replayed, name) + getattr(held, name)
            if total + getattr(amount, name) > limit:
                return name
        return None

    def share(self, amount: Amount) -> float:
        """The largest part of any one limit that `amount` takes; 0 without limits."""
        return max((getattr(amount, name) / limit for name, limit in self._limits), default=0.0)

    def reserve(self, amount: Amount) -> Reservation:
        """Hold `amount`.

        Raises:
            BudgetExhausted: it does not fit; nothing is held then.
        """
        short = self.shortage(amount)
        if short is not None:
            raise BudgetExhausted(
                f"the budget of {getattr(self.budget, short)} {short} leaves no room for"
                f" {getattr(amount, short)} more"
            )
        self._count += 1
        self._open[self._count] = amount
        self._held.add(amount)
        return Reservation(self._count, amount)

    def settle(self, reservation: Reservation, actual: Amount) -> None:
        """Replace the reservation by what was really spent."""
        self._close(reservation)
        self._spent.add(actual)

    def lost(self, reservation: Reservation) -> None:
        """Count the whole reservation as spent: nobody knows whether it was."""
        self.settle(reservation, reservation.amount)

    def replay(self, amount: Amount) -> None:
        """Fill the budget with what the cache answered."""
        self._replayed.add(amount)

    def release(self, reservation: Reservation) -> None:
        """Give the reservation back: the request was never sent."""
        self._close(reservation)

    def _close(self, reservation: Reservation) -> None:
        amount = self._open.pop(reservation.number, None)
        if amount is None:
            raise ValueError(f"reservation {reservation.number} was closed before")
        if self._open:
            self._held.add(amount, -1)
        else:
            self._held = _Sum()  # nothing held is exactly nothing: no rounding builds up

    def snapshot(self) -> dict[str, float]:
        """What must survive a restart; what is in flight then counts as spent."""
        total = self.spent + self.held
        return {f.name: getattr(total, f.name) for f in fields(total)}

    def restore(self, snapshot: Mapping[str, float]) -> None:
        """Go on counting from `snapshot`."""
        self._spent = _Sum(
            requests=int(snapshot["requests"]),
            prompts=int(snapshot["prompts"]),
            tokens=int(snapshot["tokens"]),
            usd=float(snapshot["usd"]),
        )
        self._replayed, self._held = _Sum(), _Sum()
        self._open.clear()
