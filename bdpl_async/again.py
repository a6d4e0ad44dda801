"""When a request that failed is sent again, and when no more: tenacity, with our reasons.

One per channel. What it announces waits here until somebody tells it: `retries` and `pauses`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from bdpl_async.errors import ProviderError, ProviderUnavailable, RateLimited
from bdpl_async.events import Retry
from bdpl_async.limits.backoff import too_long, wait
from bdpl_async.limits.limiter import Limiter
from bdpl_async.limits.standing import Pause
from bdpl_async.terms import Terms, Traffic

__all__ = ["Again", "Doubt", "always", "never"]

TRIES_AT_A_DOOR = 3  # of a server that nobody ever reached: it is not running
FEW_TRIES = 3  # where there is another way than to try to the end
Doubt = Callable[[ProviderError], bool]
"""After which errors a few tries are enough."""


def never(error: ProviderError) -> bool:
    """Every error is worth all tries."""
    return False


def always(error: ProviderError) -> bool:
    """No error is worth more than a few tries."""
    return True


class Way(Protocol):
    """What it must know of the channel."""

    terms: Terms
    limiter: Limiter

    @property
    def traffic(self) -> Traffic:
        """What went through."""
        ...

    @property
    def elapsed(self) -> float:
        """Seconds that the run has been at work."""
        ...

    def pause(self, seconds: float) -> Awaitable[None]:
        """Sleep between two tries, unless the run is over before."""
        ...


class Again:
    """Decides whether a request is worth another try, and how long to wait before it.

    Args:
        way: the channel.
        draw: uniform numbers in [0, 1) that spread waits.

    Attributes:
        retries: not yet told to anybody.
        pauses: before requests are sent again; some may be over.
    """

    def __init__(self, way: Way, draw: Callable[[], float]) -> None:
        self.retries: list[Retry] = []
        self.pauses: list[Pause] = []
        self._way = way
        self._draw = draw
        self._trying = AsyncRetrying(
            retry=retry_if_exception_type(ProviderUnavailable),
            stop=self._enough,
            wait=self._wait,
            before_sleep=self._announce,
            sleep=way.pause,
            reraise=True,
        )

    def trying(self) -> AsyncRetrying:
        """Calls a function until it is enough; a copy, for tenacity keeps a call's state on it."""
        return self._trying.copy()

    def _enough(self, state: RetryCallState) -> bool:
        """Whether one more try of this request would be one too many.

        One that refuses all that it is sent gets as many tries from many requests as from one.
        """
        error, tries = _error(state), state.attempt_number
        soon: Doubt = state.args[0]
        unreached = error.fate == "unsent" and not self._way.traffic.answers
        refused = self._way.limiter.strikes if isinstance(error, RateLimited) else 0
        return (
            max(tries, refused - 1) >= self._way.terms.attempts  # the first two waits are alike
            or too_long(error)
            or (unreached and tries >= TRIES_AT_A_DOOR)
            or (tries >= FEW_TRIES and soon(error))
        )

    def _wait(self, state: RetryCallState) -> float:
        return wait(state.attempt_number, _error(state), self._draw())

    def _announce(self, state: RetryCallState) -> None:
        pause = state.next_action.sleep if state.next_action else 0.0
        error = _error(state)
        reason, again = str(error).splitlines()[0], state.attempt_number + 1
        now = self._way.elapsed
        self.retries.append(Retry(now, again, pause, reason, error.cause))
        self.pauses = [p for p in self.pauses if p.until > now] + [Pause(now + pause, error.cause)]


def _error(state: RetryCallState) -> ProviderError:
    error = state.outcome.exception() if state.outcome is not None else None
    assert isinstance(error, ProviderError)  # noqa: S101  nothing else is tried again
    return error
