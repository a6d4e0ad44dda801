"""What one process took of a group's budget: spent, held, and kept for its end. Pure.

All of it is absolute and grows from nothing when the process joins, so that it can be told again
as often as one likes.
"""

from __future__ import annotations

from collections.abc import Mapping

from bdpl_async.budget import Amount, Budget

__all__ = ["Share", "narrowed"]


class Share:
    """One member's.

    Attributes:
        spent: on requests that are over.
        kept: for what comes after the search, not to be taken by others.
        draws: whether that is being used up.
    """

    def __init__(self) -> None:
        self.spent = Amount()
        self.kept = Amount()
        self.draws = False
        self._open: dict[int, tuple[Amount, int]] = {}
        self._corrections: dict[int, int] = {}

    @property
    def held(self) -> Amount:
        """For requests under way."""
        return sum((amount for amount, _ in self._open.values()), Amount())

    @property
    def settled(self) -> bool:
        """Whether nothing is under way."""
        return not self._open

    def take(self, number: int, amount: Amount, second: int) -> None:
        """The group granted `amount`, in that second of its clock, to reservation `number`."""
        self._open[number] = (amount, second)
        if self.draws:
            left = [max(0, a - b) for a, b in zip(self.kept.numbers, amount.numbers, strict=True)]
            self.kept = Amount.of(left)

    def settle(self, number: int, actual: Amount) -> bool:
        """Reservation `number` came to `actual`, which is nothing if it was not sent.

        Returns:
            Whether it was the group's at all.
        """
        amount, second = self._open.pop(number, (None, 0))
        if amount is None:
            return False
        self.spent += actual
        if change := actual.tokens - amount.tokens:
            self._corrections[second] = self._corrections.get(second, 0) + change
        return True

    def corrections(self) -> dict[int, int]:
        """By how many tokens grants of a second were too large or small, since it was asked."""
        found, self._corrections = self._corrections, {}
        return found


def narrowed(budget: Budget, used: Amount, left: Mapping[str, float | None]) -> Budget:
    """The smaller of a run's own budget and what its group has left, limit by limit.

    Args:
        budget: its own.
        used: of it so far.
        left: of each limit of the group; None where there is none.
    """

    def least(name: str, smallest: float) -> float | None:
        own: float | None = getattr(budget, name)
        rest = left[name]
        if rest is None:
            return own
        ours: float = max(getattr(used, name) + rest, smallest)
        return ours if own is None else min(own, ours)

    whole = {name: least(name, 1) for name in ("requests", "prompts", "tokens")}
    counts = {name: None if limit is None else int(limit) for name, limit in whole.items()}
    return Budget(**counts, usd=least("usd", 1e-9), seconds=budget.seconds)
