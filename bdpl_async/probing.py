"""The probe of a run: from the cache where it was made before, else from the model.

A probe that the cache repeats costs nothing and is made anew before anything is sent: the server
may have changed since. So a run whose answers are all known sends nothing at all, and no run sends
unprobed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, replace

import orjson

from bdpl_async.budget import Amount
from bdpl_async.caching.cache import digest
from bdpl_async.gate import Gate
from bdpl_async.records import Request
from bdpl_async.scorer import Capabilities, Probing, Recalling, Scorer

__all__ = ["probe"]


async def probe(gate: Gate, scorer: Scorer, request: Request) -> None:
    """Resolve label words and try sample texts, and ask from then on as was found best.

    Raises:
        LabelError: a label word cannot be read off this model.
        ProviderError: the model cannot be used.
    """
    if gate.cache is None or not isinstance(scorer, Recalling):
        if isinstance(scorer, Probing):
            with _counted(gate):
                _adopt(gate, await scorer.probe(request, gate.line))
        return
    key = digest(scorer.circumstances(request))
    cost, learned, record = _parted(gate.cache.recall(key))
    found = await scorer.recall(request, record) if record else None
    if found is None:
        await _recorded(gate, scorer, request)
        return
    gate.ledger.replay(cost)
    gate.forecast.learn(*learned)
    _adopt(gate, found)

    async def anew() -> None:  # it is paid for after all
        gate.ledger.replay(Amount() - cost)
        gate.forecast.learn(-learned[0], -learned[1])
        await _recorded(gate, scorer, request)

    gate.before_sending = anew


async def _recorded(gate: Gate, scorer: Recalling, request: Request) -> None:
    before, learned = gate.ledger.spent, gate.forecast.learned
    with _counted(gate):
        found, record = await scorer.recorded(request, gate.line)
    _adopt(gate, found)
    if gate.cache is not None:
        bounded, billed = gate.forecast.learned
        more = bounded - learned[0], billed - learned[1]
        cost = orjson.dumps([*astuple(gate.ledger.spent - before), *more])
        key = digest(scorer.circumstances(request))
        gate.cache.remember(key, cost + b"\n" + record)


@contextmanager
def _counted(gate: Gate) -> Iterator[None]:
    """Count what is spent meanwhile as spent on a probe, but for requests without an answer."""
    traffic, ledger = gate.channel.traffic, gate.ledger
    before = ledger.spent - traffic.wasted
    try:
        yield
    finally:
        traffic.probed += ledger.spent - traffic.wasted - before


def _parted(kept: bytes | None) -> tuple[Amount, tuple[int, int], bytes]:
    """What the probe had cost and taught, and its record; none if there is none of ours."""
    cost, _, record = (kept or b"").partition(b"\n")
    try:
        requests, prompts, tokens, usd, bounded, billed = orjson.loads(cost)
        amount = Amount(int(requests), int(prompts), int(tokens), float(usd))
        return amount, (int(bounded), int(billed)), record
    except (ValueError, TypeError):
        return Amount(), (0, 0), b""


def _adopt(gate: Gate, found: Capabilities) -> None:
    """Ask as the probe found best; a model here keeps the batch that the user gave."""
    if found.local:
        found = replace(found, batch=gate.capabilities.batch)
    gate.adopt(found)
