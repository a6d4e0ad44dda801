"""A run's accounts: the ledger, and what went through; every change is written down as it is made.

    sent N AMOUNT T         a request leaves; it was reserved for AMOUNT
    paid N AMOUNT P C       it was answered: what it counts as, prompt and completion tokens
    fail N AMOUNT LOST      it was not: what it counts as, and whether that is a guess
    cut N                   it was in flight when its process ended, or was told to
    hit AMOUNT              the cache answered, at what it had cost

What was written is `applied` in the next process of the same run, one record at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bdpl_async.budget import Amount, Ledger, Reservation
from bdpl_async.records import Usage
from bdpl_async.saving.diary import Diary
from bdpl_async.saving.journal import Record
from bdpl_async.terms import Traffic

__all__ = ["Books"]


class Books:
    """Changes ledger and traffic together, and says so to the diary.

    Args:
        ledger: counts against the budget.
        diary: where it is written.
        local: what is cut off was not spent, for the model was here and ended with it.
    """

    def __init__(self, ledger: Ledger, diary: Diary, *, local: bool = False) -> None:
        self.ledger = ledger
        self.traffic = Traffic()
        self.diary = diary
        self._local = local

    def sent(self, reservation: Reservation, now: float) -> None:
        """A request leaves.

        Raises:
            StorageError: that cannot be written down, so it must not leave.
        """
        self.diary.sent(reservation.number, reservation.amount, now)

    def paid(self, reservation: Reservation, amount: Amount, usage: Usage) -> None:
        """It was answered, and counts as `amount`."""
        tokens = usage.prompt_tokens, usage.completion_tokens
        self.diary.ended(reservation.amount, "paid", reservation.number, *amount.numbers, *tokens)
        self._pay(reservation, amount, tokens)

    def failed(self, reservation: Reservation, amount: Amount, *, lost: bool) -> None:
        """It was not answered, and counts as `amount`; `lost`: since it may have been."""
        self.diary.ended(reservation.amount, "fail", reservation.number, *amount.numbers, lost)
        self._fail(reservation, amount, lost=lost)

    def cut(self, reservation: Reservation) -> None:
        """It was in flight when the run was told to stop, and did not arrive in time."""
        self.diary.ended(reservation.amount, "cut", reservation.number)
        self._cut(reservation)

    def replay(self, amount: Amount) -> None:
        """The cache answered what had cost so much; less than nothing takes that back."""
        self.diary.wait("hit", *amount.numbers)
        self.ledger.replay(amount)

    def applied(self, record: Record) -> bool:
        """Do once more what was done when `record` was written; False if it is none of ours.

        Raises:
            IndexError, TypeError, ValueError: it is not as it is written.
        """
        match record:
            case ["sent", number, requests, prompts, tokens, usd, _]:
                amount = Amount.of((requests, prompts, tokens, usd))
                self.ledger.hold(Reservation(int(number), amount))
            case ["paid", number, requests, prompts, tokens, usd, prompt, completion]:
                amount = Amount.of((requests, prompts, tokens, usd))
                self._pay(self.ledger.held_as(number), amount, (int(prompt), int(completion)))
            case ["fail", number, requests, prompts, tokens, usd, lost]:
                amount = Amount.of((requests, prompts, tokens, usd))
                self._fail(self.ledger.held_as(number), amount, lost=bool(lost))
            case ["cut", number]:
                self._cut(self.ledger.held_as(number))
            case ["hit", requests, prompts, tokens, usd]:
                self.ledger.replay(Amount(int(requests), int(prompts), int(tokens), float(usd)))
            case _:
                return False
        return True

    def snapshot(self) -> dict[str, Any]:
        """All of it, as JSON."""
        return {"ledger": self.ledger.snapshot(), "traffic": self.traffic.snapshot()}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Be as at `snapshot`.

        Raises:
            KeyError, TypeError, ValueError: it is none.
        """
        self.ledger.restore(snapshot["ledger"])
        self.traffic.restore(snapshot["traffic"])

    def _pay(self, reservation: Reservation, amount: Amount, tokens: tuple[int, int]) -> None:
        self.ledger.settle(reservation, amount)
        self.traffic.answers += 1
        self.traffic.prompt_tokens += tokens[0]
        self.traffic.completion_tokens += tokens[1]

    def _fail(self, reservation: Reservation, amount: Amount, *, lost: bool) -> None:
        self.ledger.settle(reservation, amount)
        self.traffic.fail(amount, lost=lost)

    def _cut(self, reservation: Reservation) -> None:
        if self._local:
            self.ledger.release(reservation)
        else:
            self.ledger.crash(reservation)
