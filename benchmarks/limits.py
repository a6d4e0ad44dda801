"""How the loopback server limits its clients: each by requests or tokens a minute.

Written apart from the limiter under test, on purpose. Pure: the time is passed in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

MINUTE = 60.0


class Limit(Protocol):
    """What lets requests in."""

    def wait(self, cost: float, now: float) -> float:
        """0 if a request is let in, and counted; else seconds after which to come back."""
        ...


class Fixed:
    """So much in each minute from the first request on."""

    def __init__(self, amount: float) -> None:
        self._amount = amount
        self._began = -MINUTE
        self._held = 0.0

    def wait(self, cost: float, now: float) -> float:
        """See `Limit.wait`."""
        if now >= self._began + MINUTE:
            whole = (now - self._began) // MINUTE * MINUTE
            self._began = now if self._began < 0 else self._began + whole
            self._held = 0.0
        if self._held + cost > self._amount:
            return self._began + MINUTE - now
        self._held += cost
        return 0.0


class Sliding:
    """So much in any minute."""

    def __init__(self, amount: float) -> None:
        self._amount = amount
        self._log: deque[tuple[float, float]] = deque()
        self._held = 0.0

    def wait(self, cost: float, now: float) -> float:
        """See `Limit.wait`."""
        while self._log and self._log[0][0] + MINUTE <= now:
            self._held -= self._log.popleft()[1]
        if self._held + cost > self._amount:
            return self._log[0][0] + MINUTE - now if self._log else MINUTE
        self._log.append((now, cost))
        self._held += cost
        return 0.0


class Bucket:
    """Full at first, and filled again evenly; it holds what `seconds` bring."""

    def __init__(self, amount: float, seconds: float = MINUTE) -> None:
        self._rate = amount / MINUTE
        self._most = self._held = self._rate * seconds
        self._at = 0.0

    def wait(self, cost: float, now: float) -> float:
        """See `Limit.wait`."""
        self._held = min(self._most, self._held + (now - self._at) * self._rate)
        self._at = now
        if self._held < cost:
            return (cost - self._held) / self._rate
        self._held -= cost
        return 0.0


KINDS = ("fixed", "sliding", "bucket", "by the second")


def made(kind: str, amount: float) -> Limit:
    """A limit of one of `KINDS`; the last is a bucket that holds a second's worth."""
    if kind == "by the second":
        return Bucket(amount, 1.0)
    makers: dict[str, Callable[[float], Limit]] = {
        "fixed": Fixed,
        "sliding": Sliding,
        "bucket": Bucket,
    }
    return makers[kind](amount)
