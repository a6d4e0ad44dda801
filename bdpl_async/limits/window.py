"""At most so many requests or tokens in any period of so many seconds: a log that slides.

Pure: the time is passed in. A full window of the provider's own, fixed, sliding or a bucket that
refills, never holds more than this one, since no period of its length does.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

from bdpl_async.limits.concurrency import Slot

__all__ = ["MARGIN", "Ticket", "Unit", "Window"]

Unit = Literal["requests", "tokens"]

MARGIN = 61.0 / 60.0  # of a period: requests travel for different times


@dataclass(slots=True, eq=False)
class Ticket:
    """One request's leave to be sent.

    Attributes:
        number: counts up in the order of sending.
        at: when leave was given.
        tokens: what it may take, then what it took.
        slot: its place in flight.
        requests: 1, or 0 if it was never sent.
        open: whether its fate is still to be told.
    """

    number: int
    at: float
    tokens: int
    slot: Slot
    requests: int = 1
    open: bool = True


class Window:
    """A log of tickets, as long as they count.

    Args:
        unit: what is counted.
        limit: so many in any `period`; at least 1 request.
        period: seconds.
        after: the last ticket's number before the window was opened.
    """

    def __init__(self, unit: Unit, limit: float, period: float, *, after: int = 0) -> None:
        if unit == "requests" and limit < 1:  # one in a longer period, rather than none
            limit, period = 1.0, period / limit
        self.unit: Unit = unit
        self.limit = limit
        self.period = period
        self.held = 0
        self._tokens = unit == "tokens"
        self._log: deque[Ticket] = deque()
        self._gone = after  # the number of the last ticket that counts no more

    def __repr__(self) -> str:
        return f"{self.held}/{self.limit:g} {self.unit} in {self.period:.3g} s"

    def wait(self, tokens: int, now: float) -> float:
        """Seconds until a request of so many tokens fits; 0 if it does.

        One that is larger than the whole limit goes alone, when nothing else counts.
        """
        log, period = self._log, self.period
        while log and log[0].at + period <= now:
            ticket = log.popleft()
            self.held -= self._cost(ticket)
            self._gone = max(self._gone, ticket.number)
        amount = tokens if self._tokens else 1
        over = self.held if amount >= self.limit else self.held + amount - self.limit
        if over <= 0:
            return 0.0
        freed = 0  # summed in whole numbers: a limit may be a fraction
        for ticket in log:
            freed += self._cost(ticket)
            if freed >= over:
                return ticket.at + period - now
        raise AssertionError(f"{self!r} holds more than it lists")

    def add(self, ticket: Ticket) -> None:
        """Count `ticket`, the newest."""
        self._log.append(ticket)
        self.held += self._cost(ticket)

    def correct(self, ticket: Ticket, tokens: int) -> None:
        """Count `ticket`, if it still counts, at what it took; before the ticket says so itself."""
        if self._tokens and ticket.number > self._gone:
            self.held += tokens - ticket.tokens

    def drop(self, ticket: Ticket) -> None:
        """Count `ticket`, which was never sent, no more; before the ticket says so itself."""
        if ticket.number > self._gone:
            self.held -= self._cost(ticket)
            if self._log[-1] is ticket:
                self._log.pop()

    def before(self, ticket: Ticket) -> int:
        """What counted when `ticket` was sent, of what still does."""
        return sum(self._cost(other) for other in self._log if other.number < ticket.number)

    def _cost(self, ticket: Ticket) -> int:
        return ticket.tokens if self._tokens else ticket.requests
