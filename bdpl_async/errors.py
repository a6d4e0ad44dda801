"""Every error this project raises on purpose, in one tree.

    BdplError
    ├── UsageError              yours to mend; nothing was sent
    │   ├── ConfigError         a file, key or option says something we cannot use
    │   ├── DataError           a data file, row or column is not what the task needs
    │   └── LabelError          a label word cannot be read off this model
    ├── BudgetTooSmall          the grant does not buy one update and its evaluation
    ├── BudgetExhausted         a reservation did not fit; the run ends in good order
    ├── StorageError            the disk: what is paid for could not be kept, so nothing is sent
    └── ProviderError           the model's side
        ├── ProviderRefused     for good: key, quota, unknown model, no usable read-out
        ├── RequestFailed       this request, however often it is sent; others may pass
        │   └── UnusableAnswer  answered, and billed, but without usable probabilities
        └── ProviderUnavailable for now: waits and retries may help
            ├── ServerFault     it broke on this request (500): perhaps by what stands in it
            └── RateLimited     too much at once (429)

Each class knows whether another try can help (`retryable`), the wait that the other side asked
for (`retry_after`, seconds) and what the reader can do (`hint`). A `ProviderError` also knows
what became of the request (`fate`), which is how the ledger counts it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from bdpl_async.keylike import hidden

if TYPE_CHECKING:
    from bdpl_async.records import Quota

__all__ = [
    "BdplError",
    "BudgetExhausted",
    "BudgetTooSmall",
    "ConfigError",
    "DataError",
    "LabelError",
    "ProviderError",
    "ProviderRefused",
    "ProviderUnavailable",
    "RateLimited",
    "RequestFailed",
    "ServerFault",
    "StorageError",
    "UnusableAnswer",
    "UsageError",
]

Fate = Literal["unsent", "refused", "unknown"]
"""Of a request that failed: it never left; it was answered with an error and is not billed; or
nobody knows, and it may have been answered and billed."""


class BdplError(Exception):
    """The root: catching it catches everything this project raises on purpose.

    What looks like a key of an account is hidden in both texts.

    Args:
        message: what happened, and to which file, key or request.
        hint: what to do next.
        retry_after: seconds that the other side asked us to wait.
    """

    retryable: bool = False

    def __init__(
        self, message: str, *, hint: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(hidden(message))
        self.hint = None if hint is None else hidden(hint)
        self.retry_after = retry_after

    def __str__(self) -> str:
        message = super().__str__()
        return f"{message}\n  {self.hint}" if self.hint else message


class UsageError(BdplError):
    """Raised when the caller's input cannot be used; nothing was sent."""


class ConfigError(UsageError):
    """Raised when a file, key or option of the configuration cannot be used."""


class DataError(UsageError):
    """Raised when a data file, one of its rows or columns, is not what the task needs."""


class LabelError(UsageError):
    """Raised when a label word cannot be read off the model, or two cannot be told apart."""


class BudgetTooSmall(BdplError):
    """Raised before anything is sent when the budget does not buy one update and its evaluation."""


class BudgetExhausted(BdplError):
    """Raised when a reservation does not fit into what is left; the run then ends in good order."""


class StorageError(BdplError):
    """Raised when a run's folder takes no more: it stops before an answer could be lost."""


class ProviderError(BdplError):
    """Raised when the model's side does not give a usable answer.

    Args:
        message: what happened, to which request; never a key.
        hint: what to do next.
        retry_after: seconds that the other side asked us to wait.
        fate: what became of the request; `unknown` counts as answered and billed.
        quotas: what the other side said is left of its limits.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        retry_after: float | None = None,
        fate: Fate = "unknown",
        quotas: tuple[Quota, ...] = (),
    ) -> None:
        super().__init__(message, hint=hint, retry_after=retry_after)
        self.fate: Fate = fate
        self.quotas = quotas

    @property
    def cause(self) -> str:
        """The kind of failure in a word or two, for counting."""
        return "not reached" if self.fate == "unsent" else "no answer"


class ProviderRefused(ProviderError):
    """Raised when the provider says no for good: key, quota, unknown model, no read-out."""


class RequestFailed(ProviderError):
    """Raised when one request fails however often it is sent; its neighbours may pass."""


class UnusableAnswer(RequestFailed):
    """Stands in a `Reply` for a text that was answered, and so billed, without usable numbers.

    Args:
        message: what is wrong with the answer.
        hint: what to do next.
        retryable: whether asking again may bring a better one; a model that said something else
            than a label word would say it again.
    """

    def __init__(self, message: str, *, hint: str | None = None, retryable: bool = True) -> None:
        super().__init__(message, hint=hint)
        self.retryable = retryable


class ProviderUnavailable(ProviderError):
    """Raised when the provider cannot answer now; another try may succeed.

    Attributes:
        alone: that nothing else was answered either since the try before this one failed.
    """

    retryable = True
    alone = False


class ServerFault(ProviderUnavailable):
    """Raised when the server broke on a request (500); perhaps it always will on this one."""

    cause = "server error"


class RateLimited(ProviderUnavailable):
    """Raised when the provider asks for less (429).

    Attributes:
        kind: `rate`, too many in its window; `slow_down`, cut the rate; `parallel`, too many at
            the same time.
    """

    kind: Literal["rate", "slow_down", "parallel"] = "rate"
    cause = "rate limit"
