"""The cache that outlives a run: one private SQLite file that several processes may share.

It is read while the loop waits, a quarter of a second at most, and written behind.
A damaged file, or one of another schema, is set aside and begun anew; where the file cannot be
used, the run goes on in memory and `trouble` says so. One that may only be read is read.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bdpl_async.caching.access import may_write
from bdpl_async.caching.cache import Cache, Entry, Kept, MemoryCache
from bdpl_async.caching.opening import TROUBLES, reason_of
from bdpl_async.caching.place import HINT, Place
from bdpl_async.caching.reader import Reader
from bdpl_async.caching.table import Foreign, Unreadable
from bdpl_async.caching.writer import Writer, set_aside
from bdpl_async.errors import ConfigError
from bdpl_async.sharing.address import Address, is_address

__all__ = ["CacheFile", "default_path", "open_cache"]

FIRST = 2.0  # seconds that a run waits at its start for a file which another process has locked


def default_path() -> Path:
    """``$XDG_CACHE_HOME/bdpl-async/cache.db``, else under ``~/.cache``."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    folder = Path(base) if os.path.isabs(base) else Path.home() / ".cache"
    return folder / "bdpl-async" / "cache.db"


def open_cache(setting: str | None, clock: Callable[[], float] = time.time) -> Cache | None:
    """The cache that ``run.cache`` names; None if it says ``none``.

    Raises:
        ConfigError: the path or address that was given can never work.
    """
    if setting == "none":
        return None
    if setting is None:
        return _default(clock)
    if is_address(setting):
        from bdpl_async.sharing.link import Link
        from bdpl_async.sharing.rediscache import RedisCache

        return RedisCache(Link("run.cache", Address.of("run.cache", setting)))
    if not setting:
        raise ConfigError("run.cache: is empty", hint=HINT)
    return CacheFile(Path(setting), clock)


def _default(clock: Callable[[], float]) -> Cache:
    """The file that nobody asked for by name: if it cannot be, the run has one in memory."""
    try:
        return CacheFile(default_path(), clock)
    except (ConfigError, RuntimeError) as error:  # RuntimeError: no home
        memory: MemoryCache[bytes] = MemoryCache()
        memory.trouble = f"{reason_of(error)}; answers are kept in memory"
        return memory


class CacheFile:
    """A `Cache` in a file.

    Args:
        path: the file; made, with its folder, if it is not there. ``~`` is the user's home.
        clock: seconds since 1970, for the age of entries.
        ticks: seconds that only grow, for what is waited for.

    Raises:
        ConfigError: no cache can ever be there: a folder, another program's database, ...
    """

    def __init__(
        self,
        path: Path,
        clock: Callable[[], float] = time.time,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._place = Place(path)
        self._ending = threading.Lock()  # a cancelled close may be under way when another comes
        self._writer = Writer(self._place, clock, self._let_go)
        self._reader = Reader(self._place, ticks, self._writer.report, self._is_mended)
        try:
            self._open_first()
        except BaseException:
            self._place.release()
            raise

    @property
    def path(self) -> Path:
        """Where the file is, links followed."""
        return self._place.path

    @property
    def trouble(self) -> str | None:
        """Why answers are kept in memory only at present, in one sentence."""
        return self._writer.trouble or self._reader.trouble

    @property
    def notes(self) -> tuple[str, ...]:
        """What happened to the file and should be said once."""
        return tuple(self._writer.notes)

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Entry]:
        """The entries there are, written or not. What cannot be read is as if it were not there."""
        found = self._kept(keys)
        return {key: kept for key, kept in found.items() if isinstance(kept, Entry)}

    def recall(self, key: bytes) -> bytes | None:
        """The record kept under `key`."""
        kept = self._kept([key]).get(key)
        return kept if isinstance(kept, bytes) else None

    def remember(self, key: bytes, record: bytes) -> None:
        """Keep a record, like an entry."""
        self._writer.put(key, record)

    def _kept(self, keys: Sequence[bytes]) -> dict[bytes, Kept]:
        pending, writing = self._writer.waiting()
        if not pending and not writing:
            return self._reader.read(keys)
        found: dict[bytes, Kept] = {}
        for key in keys:
            kept = pending.get(key) or writing.get(key)
            if kept is not None:
                found[key] = kept
        missing = [key for key in keys if key not in found]
        return {**found, **self._reader.read(missing)} if missing else found

    def put(self, key: bytes, entry: Entry) -> None:
        """Remember a paid answer: at once in memory, within 50 ms in the file."""
        self._writer.put(key, entry)

    async def close(self) -> None:
        """Return when everything is written; cancelled, it is written all the same."""
        await asyncio.to_thread(self._finish)

    def _let_go(self) -> None:
        self._reader.let_go()

    def _is_mended(self) -> bool:
        return self._writer.damage is None

    def _finish(self) -> None:
        with self._ending:
            self._writer.finish()
            self._reader.close()
            self._place.release()

    def _open_first(self) -> None:
        """Nothing else has the file open yet, so a file that cannot serve is set aside here."""
        try:
            self._place.prepare()
            try:
                self._reader.open(FIRST)
            except Unreadable as error:
                if may_write(self.path) and (note := set_aside(self._place, error)):
                    self._writer.notes.append(note)
                self._reader.open(FIRST)
        except Foreign as error:
            raise ConfigError(f"run.cache: {self.path}: {error}", hint=HINT) from None
        except ConfigError:
            raise
        except (Unreadable, *TROUBLES) as error:
            self._reader.rest(error)
