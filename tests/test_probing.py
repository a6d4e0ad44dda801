"""The rules of `bdpl_async.probing`: nothing is sent unprobed or probed for nothing."""

from __future__ import annotations

from collections.abc import Sequence

from bdpl_async.budget import Amount, Budget, Ledger
from bdpl_async.caching.cache import Cache, MemoryCache, digest
from bdpl_async.channel import Channel
from bdpl_async.gate import Gate
from bdpl_async.probing import probe
from bdpl_async.records import Reply, Request, Score, Text, Usage
from bdpl_async.scorer import Capabilities, Keep, Line, nothing
from bdpl_async.terms import Terms

LABELS = (" no", " yes")
SAMPLE = Request((Text("sample"),), LABELS)


class Remote:
    """A scorer whose probe takes two requests, and may be repeated from a record."""

    name = "test/remote"
    capabilities = Capabilities(batch=1)

    def __init__(self, batch: int = 4, place: str = "here") -> None:
        self.batch = batch
        self.place = place
        self.probes = self.sent = 0

    def key(self, text: Text, labels: tuple[str, ...]) -> bytes:
        return text.before.encode()

    def circumstances(self, request: Request) -> bytes:
        return self.place.encode()

    async def score(self, request: Request) -> Reply:
        self.sent += 1
        return Reply([Score((-1.0, -2.0))] * len(request.texts), Usage(len(request.texts)))

    async def probe(self, request: Request, line: Line) -> Capabilities:
        self.probes += 1
        for _ in range(2):
            await line(lambda: self.score(request), ["sample"])
        return Capabilities(batch=self.batch)

    async def recorded(
        self, request: Request, line: Line, *, earlier: Sequence[bytes] = (), keep: Keep = nothing
    ) -> tuple[Capabilities, bytes]:
        return await self.probe(request, line), b"batch=%d" % self.batch

    async def recall(self, request: Request, record: bytes) -> Capabilities | None:
        if not record.startswith(b"batch="):
            return None
        return Capabilities(batch=int(record.partition(b"=")[2]))


def gate_for(scorer: Remote, cache: Cache | None) -> Gate:
    channel = Channel(scorer.name, Ledger(Budget(requests=100)), Terms())
    return Gate(scorer, LABELS, channel, scorer.capabilities, cache)


def texts(names: str) -> Sequence[Text]:
    return [Text(name) for name in names]


async def test_a_probe_is_paid_for_once() -> None:
    """What the cache can repeat fills the budget as it did, and sends nothing."""
    cache: Cache = MemoryCache()
    cold, warm = Remote(), Remote()
    first, second = gate_for(cold, cache), gate_for(warm, cache)
    await probe(first, cold, SAMPLE)
    await probe(second, warm, SAMPLE)
    assert first.ledger.spent == Amount(2, 2, 2) == second.ledger.replayed
    assert second.capabilities == first.capabilities == Capabilities(batch=4)
    assert (warm.probes, warm.sent) == (0, 0)


async def test_a_warm_run_sends_nothing_at_all() -> None:
    """Neither a probe nor a text, as long as every answer is known."""
    cache: Cache = MemoryCache()
    for scorer in (cold := Remote(), warm := Remote()):
        gate = gate_for(scorer, cache)
        await probe(gate, scorer, SAMPLE)
        await gate.score(texts("abcdef"))
        assert gate.ledger.used == Amount(4, 8, 8)
    assert (cold.sent, warm.sent) == (4, 0)


async def test_before_anything_is_sent_the_server_is_probed_anew() -> None:
    """The server may have changed since: the newest finding counts, and is paid for once."""
    cache: Cache = MemoryCache()
    cold, changed = Remote(batch=4), Remote(batch=2)
    await probe(gate_for(cold, cache), cold, SAMPLE)
    gate = gate_for(changed, cache)
    await probe(gate, changed, SAMPLE)
    await gate.score(texts("abcd"))
    assert changed.probes == 1
    assert gate.capabilities.batch == 2
    assert gate.ledger.spent == Amount(4, 6, 6)
    assert gate.ledger.replayed == Amount()
    await gate.score(texts("efgh"))
    assert changed.probes == 1


async def test_other_circumstances_are_another_probe() -> None:
    """Another server, template or read-out is not answered from the record."""
    cache: Cache = MemoryCache()
    for place in ("here", "there"):
        scorer = Remote(place=place)
        await probe(gate_for(scorer, cache), scorer, SAMPLE)
        assert scorer.probes == 1


async def test_a_record_that_does_not_tell_is_none() -> None:
    """A damaged record costs a probe, never a wrong belief."""
    for record in (b"", b"\n", b"[1]\nbatch=3", b"[1,1,1,0.0]\nnonsense", b"batch=3"):
        cache: Cache = MemoryCache()
        scorer = Remote()
        cache.remember(digest(b"here"), record)
        await probe(gate_for(scorer, cache), scorer, SAMPLE)
        assert scorer.probes == 1


async def test_without_a_cache_every_run_probes() -> None:
    """There is nowhere to remember."""
    scorer = Remote()
    for _ in range(2):
        await probe(gate_for(scorer, None), scorer, SAMPLE)
    assert scorer.probes == 2
