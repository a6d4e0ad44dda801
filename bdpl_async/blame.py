"""Whose fault a request's failure is: its texts', or the provider's, which is down. Pure."""

from __future__ import annotations

from bdpl_async.errors import ProviderError, ProviderUnavailable, ServerFault

__all__ = ["Blame", "at_fault", "breaks"]

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
        answered.

        Raises:
            ProviderUnavailable: the provider is down.
        """
        self._barren = 1 if answers != self._answers else self._barren + 1
        self._answers = answers
        if not isinstance(error, ProviderUnavailable) or self._barren < BARREN:
            return
        if not breaks(error) or answers == self._at_first:
            raise error
