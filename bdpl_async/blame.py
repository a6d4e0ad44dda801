"""Whose fault a request's failure is: its texts', or the provider's, which is down. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from bdpl_async.errors import (
    ProviderError,
    ProviderRefused,
    ProviderUnavailable,
    ServerFault,
    UnusableAnswer,
)
from bdpl_async.memory import Outcome

__all__ = ["Blame", "at_fault", "breaks"]

HOPELESS = 10  # the same, of requests that are bad or answers that cannot be used
BARREN = 3  # requests given up, and no answer to any between them


def at_fault(error: ProviderError) -> bool:
    """The server broke on what it was sent: it will again, and a probe has other ways to ask."""
    return isinstance(error, ServerFault)


def breaks(error: ProviderError) -> bool:
    """One of several texts may be what breaks the server each time: parted, they will tell."""
    return at_fault(error) or error.fate == "unknown"


class Blame:
    """Counts requests that were given up while nothing was answered."""

    def __init__(self) -> None:
        self._barren = 0
        self._answers = 0  # at the last request that was given up
        self._at_first = 0  # when the ask began

    def begin(self, answers: int) -> None:
        """An ask begins; so many requests have been answered till now."""
        self._at_first = answers

    def weigh(self, error: ProviderError, answers: int) -> None:
        """Hear of a request that was given up.

        A provider that cannot be reached, or says that it is busy, is down when request after
        request was given up; one that breaks on what it was sent, when nothing of the ask was
        answered. One that refuses what it was sent, or answers without usable numbers, gets a few
        more chances, for the texts may be at fault.

        Raises:
            ProviderUnavailable: the provider is down.
            ProviderRefused: it answers, and nothing that it says can be used.
        """
        self._barren = 1 if answers != self._answers else self._barren + 1
        self._answers = answers
        fruitless = answers == self._at_first
        if isinstance(error, ProviderUnavailable):
            if self._barren >= BARREN and (fruitless or not breaks(error)):
                raise error
        elif fruitless and self._barren >= HOPELESS:
            what = f"{self._barren} requests running brought nothing usable"
            raise ProviderRefused(f"{what}; the last: {error.args[0]}", hint=error.hint)

    def weigh_all(self, outcomes: Sequence[Outcome], answers: int) -> None:
        """Hear of a request that was answered, perhaps without one usable number; as `weigh`."""
        last = outcomes[-1]
        if isinstance(last, UnusableAnswer) and all(
            [isinstance(outcome, UnusableAnswer) for outcome in outcomes]
        ):
            self.weigh(last, answers)
