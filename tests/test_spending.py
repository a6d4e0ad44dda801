"""The rules of `bdpl_async.spending`."""

from __future__ import annotations

import pytest

from bdpl_async.budget import Amount, Budget, Ledger
from bdpl_async.caching.cache import MemoryCache
from bdpl_async.channel import Channel
from bdpl_async.errors import ProviderUnavailable
from bdpl_async.probing import probe
from bdpl_async.records import Reply, Request, Score, Usage
from bdpl_async.spending import Spending, SpendingWatch
from bdpl_async.terms import Terms
from tests.test_probing import SAMPLE, Remote, gate_for

PARTS = ("probe", "train", "dev", "test", "failed")


async def send(channel: Channel, tokens: int, *, fails: int = 0) -> None:
    """One answered request, after as many that get no answer."""
    left = [ProviderUnavailable("gone", fate="unknown")] * fails

    async def exchange() -> Reply:
        if left:
            raise left.pop()
        return Reply([Score((-1.0, -2.0))], Usage(tokens))

    await channel.send(exchange, Amount(1, 1, tokens))


def added(spending: Spending) -> Amount:
    return sum((getattr(spending, part) for part in PARTS), Amount())


async def asleep(seconds: float) -> None:
    """No time at all."""


async def test_parts_add_up() -> None:
    """What is spent belongs to the part that was entered last; failures are told apart."""
    channel = Channel("test/x", Ledger(Budget()), Terms(), sleep=asleep)
    watch = SpendingWatch(channel)
    await send(channel, 10)
    watch.enter("train")
    await send(channel, 20, fails=2)
    watch.enter("test")
    await send(channel, 30)
    found = watch.spending
    assert (found.dev, found.train) == (Amount(1, 1, 10), Amount(1, 1, 20))
    assert (found.test, found.failed) == (Amount(1, 1, 30), Amount(2, 2, 40))
    assert added(found) == channel.ledger.spent


@pytest.mark.parametrize("kept", [True, False])
async def test_probes_are_told_apart(kept: bool) -> None:
    """A probe is no part of the split that it comes before; one from the cache is saved."""
    cache: MemoryCache[bytes] | None = MemoryCache() if kept else None
    gate = gate_for(Remote(), cache)
    watch = SpendingWatch(gate.channel)
    await probe(gate, Remote(), SAMPLE)
    assert watch.spending.probe == gate.ledger.spent == Amount(2, 2, 2)
    assert watch.spending.dev == Amount()
    again = gate_for(Remote(), cache)
    await probe(again, Remote(), SAMPLE)
    found = SpendingWatch(again.channel).spending
    assert found.saved == (Amount(2, 2, 2) if kept else Amount())
    assert found.probe == (Amount() if kept else Amount(2, 2, 2))


async def test_a_probe_that_is_due_in_the_middle() -> None:
    """Made anew when the first text is sent, it counts as a probe, not as the text's part."""
    cache: MemoryCache[bytes] = MemoryCache()
    await probe(gate_for(Remote(), cache), Remote(), SAMPLE)
    gate = gate_for(remote := Remote(), cache)
    watch = SpendingWatch(gate.channel)
    await probe(gate, remote, SAMPLE)
    watch.enter("train")
    await gate.score(Request(SAMPLE.texts, SAMPLE.labels).texts)
    found = watch.spending
    assert (found.probe.requests, found.train.requests) == (2, 1)
    assert added(found) == gate.ledger.spent
