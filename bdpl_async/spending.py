"""Where the money went: probe, train, dev, test, failed requests; and what a cache saved.

The parts add up to all that was spent. Found from the ledger at the borders between the phases of
a run, so that nothing is added to the way of a request.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from typing import TYPE_CHECKING, Any

from bdpl_async.budget import Amount

if TYPE_CHECKING:
    from bdpl_async.channel import Channel

__all__ = ["Spending", "SpendingWatch"]


@dataclass(frozen=True, slots=True)
class Spending:
    """What each part of a run took.

    Attributes:
        probe: finding out how to read the model.
        train: the updates.
        dev: choosing the prompt, the empty prompt's score included.
        test: both final scores.
        failed: requests without an answer, in whichever part; those cut off with their process too.
        saved: what the cache answered, at what it had cost; not spent.
    """

    probe: Amount = field(default_factory=Amount)
    train: Amount = field(default_factory=Amount)
    dev: Amount = field(default_factory=Amount)
    test: Amount = field(default_factory=Amount)
    failed: Amount = field(default_factory=Amount)
    saved: Amount = field(default_factory=Amount)

    @classmethod
    def of(cls, document: Mapping[str, Mapping[str, Any]]) -> Spending:
        """What a result.json holds.

        Raises:
            TypeError: it is something else.
        """
        return cls(**{part: Amount(**amount) for part, amount in document.items()})


class SpendingWatch:
    """Looks at a channel's ledger whenever another part begins."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._parts = dict.fromkeys(("train", "dev", "test"), Amount())
        self._part = "dev"  # a run begins with the empty prompt's score
        self._seen = self._paid()

    def enter(self, part: str) -> None:
        """From now on, what is spent is spent on `part`: train, dev or test."""
        paid = self._paid()
        self._parts[self._part] += paid - self._seen
        self._part, self._seen = part, paid

    @property
    def spending(self) -> Spending:
        """All so far."""
        self.enter(self._part)
        traffic, ledger = self._channel.traffic, self._channel.ledger
        failed, saved = traffic.wasted + ledger.crashed, ledger.replayed
        return Spending(**self._parts, probe=traffic.probed, failed=failed, saved=saved)

    def _paid(self) -> Amount:
        """For answers to texts: neither to a probe nor for nothing."""
        traffic, ledger = self._channel.traffic, self._channel.ledger
        return ledger.spent - ledger.crashed - traffic.wasted - traffic.probed

    def snapshot(self) -> dict[str, Any]:
        """All so far, as JSON."""
        self.enter(self._part)
        parts = {part: astuple(amount) for part, amount in self._parts.items()}
        return {"part": self._part, "parts": parts}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Be as at `snapshot`; the books are by now.

        Raises:
            KeyError, TypeError, ValueError: it is none.
        """
        parts = snapshot["parts"]
        self._parts = {part: Amount.of(parts[part]) for part in self._parts}
        self._part, self._seen = str(snapshot["part"]), self._paid()
