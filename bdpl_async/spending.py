"""Where the money went: probe, train, dev, test, failed requests; and what a cache saved.

The parts add up to all that was spent. Found from the ledger at the borders between the phases of
a run, so that nothing is added to the way of a request.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
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
        failed: requests without an answer, in whichever part.
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
        traffic = self._channel.traffic
        saved = self._channel.ledger.replayed
        return Spending(**self._parts, probe=traffic.probed, failed=traffic.wasted, saved=saved)

    def _paid(self) -> Amount:
        """For answers to texts: neither to a probe nor for nothing."""
        traffic = self._channel.traffic
        return self._channel.ledger.spent - traffic.wasted - traffic.probed
