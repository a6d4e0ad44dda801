"""How long to wait before the next try of a request: pure arithmetic.

What the other side asks for wins; else the wait doubles with each try: eight tries outlast a server
that is away for half a minute. It knows no clock and no random numbers: a uniform draw is passed
in, which spreads those who wait at the same time.
"""

from __future__ import annotations

from typing import Final

from bdpl_async.errors import ProviderError, RateLimited

__all__ = ["LONGEST_WAIT", "too_long", "wait"]

FIRST = 0.25  # seconds before the second try
CAP = 30.0
WIDER = 0.25  # of a wait, added to it at most
BELIEVED = 2  # waits of a server that asks for less than it needs
SPREAD = 0.1  # seconds added at most to what the other side asked for
LONGEST_WAIT: Final = 300.0
"""Seconds; whoever asks for more than this refuses."""


def asked(error: ProviderError) -> float | None:
    """Seconds that the other side asked for, if they mean anything for this error.

    Gateways put the length of their minute into every 429, but a request that was one too many at
    the same time may come as soon as another one is back. Zero asks for nothing.
    """
    seconds = error.retry_after
    if seconds is None or not seconds > 0:  # also NaN
        return None
    return None if isinstance(error, RateLimited) and error.kind == "parallel" else seconds


def too_long(error: ProviderError) -> bool:
    """Whether the wait asked for is a refusal in other words."""
    return (asked(error) or 0.0) > LONGEST_WAIT


def wait(attempt: int, error: ProviderError, draw: float) -> float:
    """Seconds before the next try.

    Args:
        attempt: tries so far, from 1.
        error: what the last one brought.
        draw: uniform in [0, 1).
    """
    ours = min(CAP, FIRST * 2.0 ** min(attempt - 1, 16))
    seconds = asked(error)
    if seconds is None:
        return ours * (1.0 + WIDER * draw)
    if attempt > BELIEVED and not isinstance(error, RateLimited):  # of limits it knows more
        seconds = max(seconds, ours)
    return seconds + SPREAD * draw
