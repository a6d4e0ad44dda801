"""The probe of a run: from its diary or the cache where it was made before, else from the model.

A probe that the cache repeats costs nothing and is made anew before anything is sent: the server
may have changed since. So a run whose answers are all known sends nothing at all, and no run sends
unprobed. A resumed run has its own probe from its diary, and goes on with one that was cut off.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, replace
from functools import partial
from typing import TypeVar

import orjson

from bdpl_async.budget import Amount
from bdpl_async.caching.cache import digest
from bdpl_async.gate import Gate
from bdpl_async.records import Billed, Request
from bdpl_async.saving.journal import Record
from bdpl_async.scorer import Capabilities, Probing, Recalling, Scorer

__all__ = ["probe"]

Answer = TypeVar("Answer", bound=Billed)
Paid = tuple[Amount, tuple[int, int]]
"""What a probe had cost, and what bounds and bills of tokens it taught."""


async def probe(gate: Gate, scorer: Scorer, request: Request) -> None:
    """Resolve label words and try sample texts, and ask from then on as was found best.

    Raises:
        LabelError: a label word cannot be read off this model.
        ProviderError: the model cannot be used.
    """
    diary = gate.channel.books.diary
    with _counted(gate):
        gate.again(diary.opening)
    if not isinstance(scorer, Recalling):
        await _probed(gate, scorer, request)
        return
    if diary.seen is not None and await _seen(gate, scorer, request, diary.seen):
        return
    if gate.cache is None or diary.pieces:
        await _recorded(gate, scorer, request)
        return
    key = digest(scorer.circumstances(request))
    cost, learned, record = _parted(await gate.recall(key))
    found = await scorer.recall(request, record) if record else None
    if found is None:
        await _recorded(gate, scorer, request)
        return
    gate.channel.books.replay(cost)
    gate.forecast.learn(*learned)
    diary.saw(record.decode(), [*astuple(cost), *learned])
    _adopt(gate, found)
    gate.before_sending = partial(_anew, gate, scorer, request, (cost, learned))


async def _probed(gate: Gate, scorer: Scorer, request: Request) -> None:
    """The probe of a scorer without records; one that an earlier process made is made again."""
    diary = gate.channel.books.diary
    if not isinstance(scorer, Probing):
        return
    if diary.seen is not None:
        _adopt(
            gate, await scorer.probe(request, _uncounted if gate.capabilities.local else gate.line)
        )
        return
    with _counted(gate):
        _adopt(gate, await scorer.probe(request, gate.line))
    diary.saw(None, None)


async def _seen(gate: Gate, scorer: Recalling, request: Request, record: Record) -> bool:
    """Adopt what an earlier process of this run found; whether its record tells."""
    _, spelled, replayed = record
    found = await scorer.recall(request, str(spelled).encode())
    if found is None:
        return False
    _adopt(gate, found)
    if gate.channel.books.diary.anew:
        gate.before_sending = partial(_recorded, gate, scorer, request)
    elif replayed is not None:
        *cost, bounded, billed = replayed
        paid = Amount.of(cost), (int(bounded), int(billed))
        gate.before_sending = partial(_anew, gate, scorer, request, paid)
    return True


async def _anew(gate: Gate, scorer: Recalling, request: Request, paid: Paid) -> None:
    """Make a probe that the cache had answered: it is paid for after all."""
    cost, (bounded, billed) = paid
    gate.channel.books.diary.wait("anew")
    gate.channel.books.replay(Amount() - cost)
    gate.forecast.learn(-bounded, -billed)
    await _recorded(gate, scorer, request)


async def _recorded(gate: Gate, scorer: Recalling, request: Request) -> None:
    diary = gate.channel.books.diary
    before, learned = gate.ledger.spent, gate.forecast.learned

    def keep(piece: bytes) -> None:
        diary.note("tape", piece.decode())

    with _counted(gate), diary.whole_replies():
        found, record = await scorer.recorded(request, gate.line, earlier=diary.pieces, keep=keep)
    whole = not diary.pieces
    diary.saw(record.decode(), None)
    _adopt(gate, found)
    if gate.cache is not None and whole:  # else it is not known what it cost in all
        bounded, billed = gate.forecast.learned
        more = bounded - learned[0], billed - learned[1]
        cost = orjson.dumps([*astuple(gate.ledger.spent - before), *more])
        key = digest(scorer.circumstances(request))
        gate.cache.remember(key, cost + b"\n" + record)


async def _uncounted(exchange: Callable[[], Awaitable[Answer]], texts: Sequence[str]) -> Answer:
    """The line of a probe that was counted when it was made before."""
    return await exchange()


@contextmanager
def _counted(gate: Gate) -> Iterator[None]:
    """Count what is spent meanwhile as spent on a probe, but for requests without an answer."""
    traffic, ledger = gate.channel.traffic, gate.ledger
    before = ledger.spent - ledger.crashed - traffic.wasted
    try:
        yield
    finally:
        traffic.probed += ledger.spent - ledger.crashed - traffic.wasted - before


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
