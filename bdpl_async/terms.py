"""How requests may be sent, and a count of what went through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from typing import Any, Final

from bdpl_async.budget import Amount, Ledger
from bdpl_async.latency import Latencies
from bdpl_async.records import Price
from bdpl_async.result import Totals

__all__ = ["Terms", "Traffic"]

COUNTS: Final = (
    "prompt_tokens",
    "completion_tokens",
    "retries",
    "failures",
    "failed",
    "lost",
    "answers",
)


@dataclass(frozen=True, slots=True)
class Terms:
    """How requests may be sent.

    Attributes:
        concurrency: in flight at most.
        timeout: seconds for one attempt in all; None for scorers that keep the time themselves.
        attempts: tries of one request at most, the first included.
        rpm: requests a minute.
        tpm: tokens a minute.
        price: USD per million tokens, where it is known.
        local: the model runs in this process: what is cut off with it was not spent.
    """

    concurrency: int = 64
    timeout: float | None = None
    attempts: int = 8
    rpm: float | None = None
    tpm: float | None = None
    price: Price | None = None
    local: bool = False


@dataclass(slots=True)
class Traffic:
    """What went through so far, beside what the ledger counts."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    retries: int = 0
    failures: int = 0  # requests and texts without a usable answer
    failed: int = 0  # requests without an answer
    lost: int = 0  # those of them that may have been billed
    answers: int = 0
    wasted: Amount = field(default_factory=Amount)  # on requests without an answer
    probed: Amount = field(default_factory=Amount)  # on probes that were answered
    latencies: Latencies = field(default_factory=Latencies)

    def fail(self, amount: Amount, *, lost: bool) -> None:
        """Count a request without an answer, and what it counts as."""
        self.failures += 1
        self.failed += 1
        self.lost += lost
        self.wasted += amount
        self.prompt_tokens += amount.tokens

    def totals(self, ledger: Ledger, cache_hits: int, seconds: float) -> Totals:
        """Everything consumed, in the form of a result."""
        spent = ledger.spent
        return Totals(
            requests=spent.requests,
            prompts=spent.prompts,
            prompt_tokens=self.prompt_tokens + ledger.crashed.tokens,
            completion_tokens=self.completion_tokens,
            usd=spent.usd,
            cache_hits=cache_hits,
            retries=self.retries,
            failures=self.failures,
            seconds=seconds,
        )

    def snapshot(self) -> dict[str, Any]:
        """All of it, as JSON."""
        counts = {name: getattr(self, name) for name in COUNTS}
        parts = {"wasted": astuple(self.wasted), "probed": astuple(self.probed)}
        return {**counts, **parts, "latencies": self.latencies.snapshot()}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Be as at `snapshot`.

        Raises:
            KeyError, TypeError, ValueError: it is none.
        """
        for name in COUNTS:
            setattr(self, name, int(snapshot[name]))
        self.wasted, self.probed = Amount.of(snapshot["wasted"]), Amount.of(snapshot["probed"])
        self.latencies.restore(snapshot["latencies"])
