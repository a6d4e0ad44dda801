"""What the provider's newest answer says is left of its limits, less what was sent since.

A `limit` is no rate, for nobody tells its period: it may be a second or a day. It only says how
many may follow a reset before the next answer tells more. Pure: the time is passed in.
"""

from __future__ import annotations

from collections.abc import Iterable

from bdpl_async.limits.backoff import LONGEST_WAIT
from bdpl_async.records import Quota

__all__ = ["Allowance"]

SETTLE = 10.0  # seconds after a reset for an answer to tell what is left then


class Allowance:
    """What may be sent before the limits are whole again: nothing is known at first."""

    def __init__(self) -> None:
        self._left: dict[str, float] = {}
        self._until: dict[str, float] = {}
        self._whole: dict[str, float] = {}  # what is left after a reset

    def __bool__(self) -> bool:
        return bool(self._left)

    def __repr__(self) -> str:
        return ", ".join(f"{left:g} {unit} left" for unit, left in self._left.items())

    def observe(self, quotas: Iterable[Quota], now: float, requests: int, tokens: int) -> None:
        """Take over what an answer says.

        Args:
            quotas: from the answer's headers.
            now: when it came.
            requests: in flight, which the other side may not have counted yet.
            tokens: theirs.
        """
        for quota in quotas:
            if quota.remaining is None or quota.reset is None or not quota.reset > 0:
                continue
            if quota.reset > LONGEST_WAIT:
                self._forget(quota.unit)  # nobody waits that long in silence: a refusal will say it
                continue
            flying = requests if quota.unit == "requests" else tokens
            self._left[quota.unit] = quota.remaining - flying
            self._until[quota.unit] = now + quota.reset
            if quota.limit is not None and quota.limit > 0:
                self._whole[quota.unit] = quota.limit

    def _forget(self, unit: str) -> None:
        for known in (self._left, self._until, self._whole):
            known.pop(unit, None)

    def wait(self, tokens: int, now: float) -> float:
        """Seconds until a request of so many tokens may be sent; 0 if it may be."""
        longest = 0.0
        for unit in list(self._left):
            if self._until[unit] <= now:
                self._reset(unit, now)
            if self._left.get(unit, tokens + 1) < (1 if unit == "requests" else tokens):
                longest = max(longest, self._until[unit] - now)
        return longest

    def spend(self, tokens: int) -> None:
        """Count a request that is sent."""
        if "requests" in self._left:
            self._left["requests"] -= 1
        if "tokens" in self._left:
            self._left["tokens"] -= tokens

    def _reset(self, unit: str, now: float) -> None:
        """Whole again, until an answer tells more; if none does, nothing is known any more."""
        whole = self._whole.pop(unit, None)
        if whole is None:
            del self._left[unit], self._until[unit]
        else:
            self._left[unit], self._until[unit] = whole, now + SETTLE
