"""The grant and the ledger that holds it: reserve before sending, settle after.

    reserve --sent--> settle   what the model's side reported
       |                lost   fate unknown: counted as spent
       |                crash  cut off with its process, or when that was told to stop
       +--not sent--> release

Pure bookkeeping: no clock (seconds are passed in), no requests, no event loop. Since a reservation
is refused before anything is sent, nothing is ever exceeded, however many are in flight.

What an earlier run paid for and the cache answers now is `replay`ed: it costs nothing, but it fills
the budget as it did then. So a budget says how long a run is, and a warm cache makes it cheaper,
never longer: where nothing failed, the same seed gives the same result, whatever it holds.

What was in flight when a process ended is paid for and asked again by the next one. It fills the
budget, but it is no part of what the run `used`: no decision may depend on when a run was killed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from math import inf
from typing import Any, NamedTuple

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

    @classmethod
    def of(cls, numbers: Sequence[float]) -> Amount:
        """From requests, prompts, tokens and USD, in this order.

        Raises:
            TypeError, ValueError: they are not four finite numbers from zero up.
        """
        requests, prompts, tokens, usd = numbers
        if not all([0 <= number < inf for number in numbers]):
            raise ValueError(f"{numbers} is no amount")
        return cls(int(requests), int(prompts), int(tokens), float(usd))

    @property
    def numbers(self) -> tuple[int, int, int, float]:
        """What `of` takes."""
        return self.requests, self.prompts, self.tokens, self.usd

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
    """Counts what was spent and what is held for requests under way, against one budget.

    Attributes:
        told: called with the number of each reservation that comes to its end, and at what.
    """

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        limits = ((name, getattr(budget, name)) for name in COUNTED)
        self._limits = [(name, limit) for name, limit in limits if limit is not None]
        self._spent, self._replayed, self._held = _Sum(), _Sum(), _Sum()
        self._crashed = Amount()
        self._open: dict[int, Amount] = {}
        self._count = 0
        self.told: Callable[[int, Amount], None] | None = None

    def __repr__(self) -> str:
        return f"<Ledger spent={self.spent} held={self.held} of {self.budget}>"

    @property
    def spent(self) -> Amount:
        """What was paid in this run, or may have been."""
        return self._spent.amount() + self._crashed

    @property
    def crashed(self) -> Amount:
        """The part of it that was in flight when a process of the run was killed or stopped."""
        return self._crashed

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
        """What the run took of its budget, whether paid or replayed; the same if never stopped."""
        return self._spent.amount() + self.replayed

    def fits(self, amount: Amount) -> bool:
        """Whether `amount` more could be reserved now."""
        return self.shortage(amount) is None

    def shortage(self, amount: Amount) -> str | None:
        """The name of the first limit that `amount` more would break, or None."""
        spent, replayed, held, crashed = self._spent, self._replayed, self._held, self._crashed
        for name, limit in self._limits:
            total = getattr(spent, name) + getattr(replayed, name) + getattr(held, name)
            if total + getattr(crashed, name) + getattr(amount, name) > limit:
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
        self._close(reservation, actual)
        self._spent.add(actual)

    def lost(self, reservation: Reservation) -> None:
        """Count the whole reservation as spent: nobody knows whether it was."""
        self.settle(reservation, reservation.amount)

    def replay(self, amount: Amount) -> None:
        """Fill the budget with what the cache answered."""
        self._replayed.add(amount)

    def release(self, reservation: Reservation) -> None:
        """Give the reservation back: the request was never sent."""
        self._close(reservation, Amount())

    def _close(self, reservation: Reservation, actual: Amount) -> None:
        amount = self._open.pop(reservation.number, None)
        if amount is None:
            raise ValueError(f"reservation {reservation.number} was closed before")
        if self._open:
            self._held.add(amount, -1)
        else:
            self._held = _Sum()  # nothing held is exactly nothing: no rounding builds up
        if self.told is not None:
            self.told(reservation.number, actual)

    def crash(self, reservation: Reservation) -> None:
        """Count the whole reservation as spent by a process that came to its end."""
        self._close(reservation, reservation.amount)
        self._crashed += reservation.amount

    def hold(self, reservation: Reservation) -> None:
        """Take up a reservation that an earlier process of this run made."""
        self._count = max(self._count, reservation.number)
        self._open[reservation.number] = reservation.amount
        self._held.add(reservation.amount)

    def number_after(self, number: int) -> None:
        """Give reservations to come higher numbers than those that may still be taken up."""
        self._count = max(self._count, number)

    def held_as(self, number: int) -> Reservation:
        """The open reservation of this number.

        Raises:
            ValueError: there is none.
        """
        if number not in self._open:
            raise ValueError(f"no reservation {number} is open")
        return Reservation(number, self._open[number])

    def snapshot(self) -> dict[str, Any]:
        """What must survive a restart, as JSON."""
        return {
            "spent": astuple(self._spent),
            "replayed": astuple(self._replayed),
            "crashed": self._crashed.numbers,
            "open": [[number, *amount.numbers] for number, amount in self._open.items()],
            "count": self._count,
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Be as at `snapshot`.

        Raises:
            KeyError, TypeError, ValueError: it is none.
        """
        spent, replayed = Amount.of(snapshot["spent"]), Amount.of(snapshot["replayed"])
        self._crashed = Amount.of(snapshot["crashed"])
        self._spent, self._replayed, self._held = _Sum(), _Sum(), _Sum()
        self._spent.add(spent)
        self._replayed.add(replayed)
        self._open.clear()
        self._count = int(snapshot["count"])
        for number, *amount in snapshot["open"]:
            self.hold(Reservation(int(number), Amount.of(amount)))
