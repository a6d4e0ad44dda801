"""The cache that outlives a run: one private SQLite file that several processes may share.

It is read on the loop, which is cheaper than to hand the question to a thread, and written behind.
A damaged file, or one of another schema, is set aside and begun anew; where the file cannot be
used, the run goes on in memory and `trouble` says so.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bdpl_async.caching.cache import Cache, Entry, Kept, MemoryCache
from bdpl_async.caching.place import HINT, Place
from bdpl_async.caching.table import Foreign, Table, Unreadable
from bdpl_async.caching.writer import TROUBLES, Writer, reason_of, set_aside
from bdpl_async.errors import ConfigError

__all__ = ["CacheFile", "default_path", "open_cache"]

REST = 1.0  # seconds without reading after the file could not be read
PATIENCE = 0.25  # seconds that the loop waits for a file which another process has locked


def default_path() -> Path:
    """``$XDG_CACHE_HOME/bdpl-async/cache.db``, else under ``~/.cache``."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    folder = Path(base) if os.path.isabs(base) else Path.home() / ".cache"
    return folder / "bdpl-async" / "cache.db"


def open_cache(setting: str | None, clock: Callable[[], float] = time.time) -> Cache | None:
    """The cache that ``run.cache`` names; None if it says ``none``.

    Raises:
        ConfigError: the path that was given can never work.
    """
    if setting == "none":
        return None
    if setting is None:
        return _default(clock)
    if setting.startswith(("redis://", "rediss://")):
        raise ConfigError(f"run.cache = {setting.partition(':')[0]}://... is not built yet")
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

    Raises:
        ConfigError: no cache can ever be there: a folder, another program's database, ...
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._place = Place(path)
        self._clock = clock
        self._reading = threading.Lock()  # the writer takes it to set a damaged file aside
        self._reader: Table | None = None
        self._trouble: str | None = None
        self._rests_until = 0.0
        self._closed = False
        self._ending = threading.Lock()  # a cancelled close may be under way when another comes
        self._writer = Writer(self._place, clock, self._let_go)
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
        return self._writer.trouble or self._trouble

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
            return self._read(keys)
        found: dict[bytes, Kept] = {}
        for key in keys:
            kept = pending.get(key) or writing.get(key)
            if kept is not None:
                found[key] = kept
        missing = [key for key in keys if key not in found]
        return {**found, **self._read(missing)} if missing else found

    def put(self, key: bytes, entry: Entry) -> None:
        """Remember a paid answer: at once in memory, within 50 ms in the file."""
        self._writer.put(key, entry)

    async def close(self) -> None:
        """Return when everything is written; cancelled, it is written all the same."""
        self._closed = True
        await asyncio.to_thread(self._finish)

    def _finish(self) -> None:
        with self._ending:
            self._writer.finish()
            self._let_go()
            self._place.release()
            self._trouble = None  # what counts in the end is whether all is written

    def _let_go(self) -> None:
        with self._reading:
            self._drop()

    def _drop(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _open_first(self) -> None:
        """Nothing else has the file open yet, so a file that cannot serve is set aside here."""
        try:
            self._place.prepare()
            self._place.hold()
            try:
                self._reader = Table(self.path)
            except Unreadable as error:
                if note := set_aside(self._place, error):
                    self._writer.notes.append(note)
                self._reader = Table(self.path)
            self._reader.wait_at_most(PATIENCE)
        except Foreign as error:
            raise ConfigError(f"run.cache: {self.path}: {error}", hint=HINT) from None
        except ConfigError:
            raise
        except (Unreadable, *TROUBLES) as error:
            self._rest(error)

    def _read(self, keys: Sequence[bytes]) -> dict[bytes, Kept]:
        if not self._reading.acquire(blocking=False):
            return {}  # the file is being set aside
        try:
            if self._reader is None and not self._reopened():
                return {}
            assert self._reader is not None  # noqa: S101  or it was not reopened
            return self._reader.read(keys)
        except Unreadable as error:
            self._drop()
            self._writer.report(error)
        except TROUBLES as error:
            self._drop()
            self._rest(error)
        finally:
            self._reading.release()
        return {}

    def _reopened(self) -> bool:
        """After a trouble the file is tried again, now and then; while it is mended, it is not."""
        if self._closed or self._writer.damage is not None or self._clock() < self._rests_until:
            return False
        self._place.hold()
        self._reader = Table(self.path, patience=PATIENCE)
        self._trouble = None
        return True

    def _rest(self, error: Exception) -> None:
        self._rests_until = self._clock() + REST
        self._trouble = (
            f"the cache {self.path} cannot be read ({reason_of(error)}): answers are kept in memory"
        )
