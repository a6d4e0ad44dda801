"""What a kill may cost, and how much of a grant is kept back for it.

What is in flight when a process ends counts as spent, for the server may bill it, and is sent again
by the next one. With room kept for that from the start, a run that was killed and resumed ends
where it would have ended, also when a budget ends it. Pure: prices come in as a function.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from bdpl_async.budget import Amount, Budget

__all__ = ["RESERVE_SHARE", "Held", "Stake"]

RESERVE_SHARE = 0.06  # of a limit, at most, for what may be in flight
TOKEN_SHARE = 0.05  # of tokens and dollars, of which margins leave some as well
LAST_SHARES = 0.15, 0.125  # for a single request, where not even one takes so little
FEW = 64  # texts in flight that are always allowed, but for small grants


class Held(Protocol):
    """What requests under way are reserved at, as `bdpl_async.forecast.Forecast.held` says it."""

    def __call__(self, requests: int, prompts: int) -> Amount:
        """At most, with so many texts in all."""
        ...


@dataclass(frozen=True, slots=True)
class Stake:
    """What a run may have in flight.

    Attributes:
        budget: the grant, a part of which may be kept back.
        requests: at a time, at most, as the model's side says; None: as many as there are. Not
            what the user says of it, for results depend on no concurrency.
        batch: texts in a full one.
        held: what so many are reserved at.
    """

    budget: Budget
    requests: int | None
    batch: int
    held: Held

    @staticmethod
    def needed(budget: Budget, *, local: bool) -> bool:
        """Whether a kill costs anything: a process on this machine that dies has cost nothing."""
        limits = (budget.requests, budget.prompts, budget.tokens, budget.usd)
        return not local and any(limit is not None for limit in limits)

    def kept(self, update: int, largest: int, fits: Callable[[Amount], bool]) -> tuple[int, Amount]:
        """How many requests may be in flight, and what is kept back for them.

        No more than one update has, or `FEW` texts; fewer until they take no more than their share
        of any limit and leave the room that is needed. One is the least, if need be with nothing
        kept back.

        Args:
            update: texts of one update; 0 for none.
            largest: texts of the largest ask.
            fits: whether so much may be kept back.
        """
        full = max(1, min(self.batch, largest))
        texts = min(max(update, FEW), largest) if update else largest
        most = max(1, -(-texts // self.batch))
        for count in range(min(most, self.requests or most), 1, -1):
            kept = self.held(count, count * full)
            if self._small(kept, RESERVE_SHARE, TOKEN_SHARE) and fits(kept):
                return count, kept
        one, bound = self.held(1, full), self.held(0, 1)  # the last text's bound is left over too
        return 1, one if self._small(one + bound, *LAST_SHARES) and fits(one) else Amount()

    def _small(self, kept: Amount, counted: float, paid: float) -> bool:
        """Whether `kept` is no more than its share of each limit: of what is counted, or paid."""
        budget = self.budget
        parts = (
            (kept.requests, budget.requests, counted),
            (kept.prompts, budget.prompts, counted),
            (kept.tokens, budget.tokens, paid),
            (kept.usd, budget.usd, paid),
        )
        return all(limit is None or part <= share * limit for part, limit, share in parts)
