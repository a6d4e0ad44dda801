"""The cache that processes on many machines share: one Redis, and single flight across them all.

Who misses an answer claims its key, asks the model, and puts the answer there; who finds a claim of
a process that lives waits for the answer instead of paying for it once more. A process that dies
leaves claims that count no more within `LEASE`. Answers are written behind, in batches.

It fails open. Where the Redis cannot be reached, nothing is found and nothing waited for; what is
paid meanwhile stays in memory and is written when the Redis is back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from struct import Struct
from typing import Any, Final
from uuid import uuid4

from bdpl_async.caching.cache import Entry, Kept
from bdpl_async.caching.row import RECORD, packed, unpacked
from bdpl_async.errors import ConfigError
from bdpl_async.sharing.link import Link, Unreachable

__all__ = ["RedisCache"]

PREFIX: Final = "bdpl:1:"  # 1: of what lies under a key
CHECKSUM: Final = Struct(">I")
CHUNK: Final = 256  # keys a script
LEASE: Final = 15.0  # seconds that a process counts as alive
BEAT: Final = LEASE / 3
REST: Final = 3.0  # seconds before a Redis that failed is asked again
CAPACITY: Final = 100_000  # answers that wait in memory for a Redis that is away
SHORT, LONG = 0.01, 0.25  # seconds between two looks for an answer of another process
PARTING: Final = 5.0  # seconds in which the last answers are written


class RedisCache:
    """A `bdpl_async.caching.cache.SharedCache`.

    Args:
        link: to the Redis; closed with the cache.
        clock: monotonic seconds.
        sleep: as `asyncio.sleep`.
    """

    def __init__(
        self,
        link: Link,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.notes: tuple[str, ...] = ()
        self._link = link
        self._clock, self._sleep = clock, sleep
        self._owner = uuid4().hex
        self._expire = round((link.address.expire or 0) * 1000)
        self._pending: dict[bytes, Kept] = {}
        self._claimed: set[bytes] = set()
        self._dropped: set[bytes] = set()  # claims to let go of
        self._damaged: set[bytes] = set()  # rows that are none, to be replaced
        self._lost = 0
        self._trouble: str | None = None
        self._again = 0.0  # then a Redis that failed is asked again
        self._work = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """See whether the Redis is there; one that is away now may come.

        Raises:
            ConfigError: it refuses us.
        """
        with suppress(Unreachable):
            await self._asked("look", 0, b"")
        self._writer = asyncio.create_task(self._write())

    @property
    def trouble(self) -> str | None:
        """Why answers are kept in memory only at present, in one sentence."""
        return self._trouble

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Entry]:
        """The entries at hand, that are still to be written."""
        found = {key: self._pending[key] for key in keys if key in self._pending}
        return {key: kept for key, kept in found.items() if isinstance(kept, Entry)}

    def recall(self, key: bytes) -> bytes | None:
        """The record at hand under `key`."""
        kept = self._pending.get(key)
        return kept if isinstance(kept, bytes) else None

    async def fetch(self, key: bytes) -> bytes | None:
        """The record kept under `key`, wherever it is."""
        if (record := self.recall(key)) is not None:
            return record
        found, _ = await self._looked([key], claim=False)
        kept = found.get(key)
        return kept if isinstance(kept, bytes) else None

    async def take(
        self, keys: Sequence[bytes], *, claim: bool = True
    ) -> tuple[dict[bytes, Entry], set[bytes]]:
        """The entries there are, and the keys that another process asks for at this moment.

        What is neither is the caller's to ask for, who then calls `put` or `give_up`. Returns as
        soon as there is anything to do: it waits as long as others ask for all of `keys`.
        """
        pause = SHORT
        while True:
            ready = self.get(keys)
            kept, others = await self._looked([k for k in keys if k not in ready], claim=claim)
            ready.update({k: entry for k, entry in kept.items() if isinstance(entry, Entry)})
            if len(others) < len(keys) or not keys:
                return ready, others
            await self._sleep(pause)
            pause = min(LONG, 1.5 * pause)

    def put(self, key: bytes, entry: Entry) -> None:
        """Remember a paid answer; an earlier one stands."""
        self._pending.setdefault(key, entry)
        if len(self._pending) > CAPACITY:
            del self._pending[next(iter(self._pending))]
            self._lost += 1
        self._work.set()

    def remember(self, key: bytes, record: bytes) -> None:
        """Keep a record; the newest counts."""
        self._pending[key] = record
        self._work.set()

    def give_up(self, keys: Iterable[bytes]) -> None:
        """These keys are no longer asked for; others need not wait."""
        dropped = [key for key in keys if key in self._claimed and key not in self._pending]
        if dropped:
            self._dropped.update(dropped)
            self._claimed.difference_update(dropped)
            self._work.set()

    async def close(self) -> None:
        """Write what is left, for a few seconds at most, and hang up."""
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)
        with suppress(TimeoutError, Unreachable, ConfigError):
            async with asyncio.timeout(PARTING):
                self._again = 0.0
                self._dropped |= self._claimed
                while self._pending or self._dropped:
                    await self._flush()
        if left := len(self._pending) + self._lost:
            reason = self._trouble or f"run.cache: {self._link.address} is too slow"
            self._trouble = f"{reason}; {left:,} answers were not saved there"
        await self._link.close()

    async def _looked(
        self, keys: Sequence[bytes], *, claim: bool
    ) -> tuple[dict[bytes, Kept], set[bytes]]:
        """What lies under `keys`, and which of them others ask for; nothing if the Redis is away"""
        found: dict[bytes, Kept] = {}
        others: set[bytes] = set()
        for start in range(0, len(keys), CHUNK):
            part = keys[start : start + CHUNK]
            try:
                rows = await self._asked("look", int(claim), *part)
            except (Unreachable, ConfigError):
                break
            for key, row in zip(part, rows, strict=True):
                if isinstance(row, bytes):
                    self._unpack(key, row, found)
                elif row:
                    others.add(key)
                elif claim:
                    self._claimed.add(key)
                    self._dropped.discard(key)
        return found, others

    def _unpack(self, key: bytes, row: bytes, found: dict[bytes, Kept]) -> None:
        """Put what a row holds into `found`; one that is damaged is as if it were not there."""
        kept = None
        if len(row) > CHECKSUM.size:
            kept = unpacked(key, row[CHECKSUM.size :], *CHECKSUM.unpack_from(row))
        if kept is None:
            self._damaged.add(key)
        else:
            found[key] = kept

    async def _asked(self, script: str, *values: bytes | int) -> Any:
        """What a script gives, unless the Redis was away a moment ago.

        Raises:
            Unreachable, ConfigError: as `Link.run`.
        """
        if self._clock() < self._again:
            raise Unreachable("a moment ago")
        try:
            found = await self._link.run(script, PREFIX, self._owner, round(LEASE * 1000), *values)
        except (Unreachable, ConfigError) as error:
            self._again = self._clock() + REST
            self._trouble = (
                f"run.cache: {self._link.address} cannot be used ({error.args[0]}); answers are"
                " kept in memory"
            )
            raise
        self._trouble = None
        return found

    async def _write(self) -> None:
        """Keep what is put, and the claims alive, as long as there are any."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(BEAT if self._claimed or self._pending else None):
                    await self._work.wait()
            self._work.clear()
            try:
                await self._flush()
            except (Unreachable, ConfigError):
                await self._sleep(REST)
            if self._pending or self._dropped:
                self._work.set()

    async def _flush(self) -> None:
        """One batch of rows to the Redis; what it did not take stays."""
        rows = list(self._pending.items())[:CHUNK]
        dropped = list(self._dropped)[:CHUNK]
        values: list[bytes | int] = [self._expire, 0]
        for key, kept in rows:
            row = packed(key, kept)
            if row is None:
                dropped.append(key)
            else:
                replaces = row[1][:1] == RECORD or key in self._damaged
                values += [key, CHECKSUM.pack(row[2]) + row[1], int(replaces)]
                values[1] = int(values[1]) + 1
        await self._asked("keep", *values, *dropped)
        for key, kept in rows:
            if self._pending.get(key) is kept:
                del self._pending[key]
            self._claimed.discard(key)
            self._damaged.discard(key)
        self._dropped.difference_update(dropped)
