"""RUN_DIR: what a run leaves on disk, written whole or not at all, and private to the user.

run.toml            what the run was told, before all else
events.jsonl        what it said
checkpoint*         what it goes on with should it be cut off, see `bdpl_async.saving.store`
answers.json, policy.json, result.json    at its end
.lock               held by the process that works here
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import orjson

from bdpl_async.config import Config
from bdpl_async.data.textfile import exists
from bdpl_async.errors import ConfigError, StorageError
from bdpl_async.events import Checkpoint, Event, Finished, Note, Resumed
from bdpl_async.saving.claim import Claim
from bdpl_async.saving.diary import Diary
from bdpl_async.saving.durable import once_mended, write_atomically
from bdpl_async.saving.eventlog import FILE as EVENTS
from bdpl_async.saving.eventlog import EventLog
from bdpl_async.saving.journal import Record
from bdpl_async.saving.rows import size
from bdpl_async.saving.store import Store

__all__ = ["RunDir", "refuse_taken"]

OURS: Final = re.compile(
    r"\.?(run\.toml|events\.jsonl|(result|answers|policy)\.json|checkpoint|lock)"
)
HALF: Final = re.compile(r"\.(run\.toml|(result|answers|policy|checkpoint)\.json)\.\d+")
HINT: Final = "give another folder as --out"
BUSY: Final = "wait until it ends, or stop it"
MEND: Final = "mend that, then resume it again"


def refuse_taken(path: Path) -> None:
    """See to it, before anything is spent, that a run may be written to `path`.

    Raises:
        ConfigError: a file is in the way, or the folder holds a run already.
    """
    above = next((folder for folder in path.parents if exists(folder)), None)
    for place in (path, above):
        if place is not None and exists(place) and not place.is_dir():
            raise ConfigError(f"{place}: a file stands where the run's folder should be", hint=HINT)
    if exists(path / "run.toml"):
        onward = "" if exists(path / "result.json") else ", or go on with it: bdpl-async resume"
        raise ConfigError(f"{path}: holds a run already", hint=f"{HINT}{onward}")


class RunDir:
    """The folder of one run; a context manager.

    Args:
        path: the folder; made by `begin`, if it is not there.
        config: what the run is told.
        resumed: a run is there that was cut off, and goes on.

    Raises:
        ConfigError: the folder holds a run already, or a file is in the way; of a resumed one,
            another process works there, or what is there cannot be used.
    """

    def __init__(self, path: Path, config: Config, *, resumed: bool = False) -> None:
        self.path = path
        self.config = config
        self.resumed = resumed
        self._store = Store(path, size(len(config.task.labels)))
        self._claim: Claim | None = None
        self._log: EventLog | None = None
        self._quiet = False  # what the run says as it opens stands in the log already
        self._done = self._warned = False
        if not resumed:
            refuse_taken(path)
            return
        with self._closing("cannot be used"):
            self._claim = Claim(path, BUSY, MEND)
            events = self._store.take_up()
            self._log, self._quiet = EventLog(path / EVENTS, events), bool(events)
            self._tidy(HALF)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    @property
    def diary(self) -> Diary:
        """What the run writes down as it goes, and what it wrote before it was cut off."""
        return self._store.diary

    @property
    def state(self) -> Mapping[str, Any] | None:
        """Of the last checkpoint; None where there is none."""
        return self._store.state

    @property
    def unfinished(self) -> bool:
        """Whether a run stands there that can be resumed."""
        return self._claim is not None and not self._done

    def known(self) -> list[Record]:
        """What was written down until then; given once, for there may be much of it."""
        known, self._store.known = self._store.known, []
        return known

    def begin(self, identity: Mapping[str, str]) -> None:
        """Take the folder, write run.toml and then all else; or see that the run is the same.

        Args:
            identity: what must be the same when the run is resumed.

        Raises:
            ConfigError: the folder cannot be written, another process works there, or something
                changed since the run began.
        """
        if self._claim is None:
            with self._closing("cannot be written"):
                self._take()
                try:
                    self._begin()
                except OSError:
                    self.discard()
                    raise
        self._store.is_of(identity)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """While what the folder holds is read: what cannot be used is a matter of the folder.

        Raises:
            ConfigError: it could not be used.
        """
        try:
            yield
        except (IndexError, KeyError, TypeError, ValueError) as error:
            reason = f"{type(error).__name__} {error}"[:200]
            raise ConfigError(
                f"{self.path}: what the run left is not as a run writes it: {reason}",
                hint="run it anew in another folder; what was paid for comes from the cache",
            ) from None

    def discard(self) -> None:
        """Leave no run behind, since nothing came of it; one that was resumed stays."""
        if self._claim is None or self.resumed:
            return
        self._close()
        self._tidy(OURS)
        with suppress(OSError):  # it holds other things
            self.path.rmdir()

    def save(self, step: int, state: Mapping[str, Any], known: Iterator[Record]) -> None:
        """Keep the state of the run after a step; see `Store.save`.

        Not while the diary still tells what an earlier process did: the journal is ahead then.

        Raises:
            StorageError: it cannot be written.
        """
        if not self.diary.live:
            return
        assert self._log is not None  # noqa: S101  begun
        self._store.save(step, self._log.size, state, known)

    def write(self, event: Event) -> list[Event]:
        """Append the event, and what there is to say of checkpoints since; which that is."""
        if not self._quiet or isinstance(event, Resumed):
            self._quiet = False
            self._append(event)
        return self._told(event.t)

    async def finish(
        self, event: Finished, documents: Mapping[str, Mapping[str, Any]]
    ) -> list[Event]:
        """Write what a run leaves at its end; result.json comes last: with it, all is there.

        Raises:
            StorageError: it cannot be written.
        """
        try:
            await self._store.checkpoints.settled(soon=event.result.cut_off)
            self._store.spare()
            told = self._told(event.t)
            self._append(event)
            named = {**documents, "result.json": event.result.to_json()}
            await asyncio.shield(asyncio.to_thread(self._write_all, named))
        except OSError as error:
            reason = error.strerror or str(error)
            raise StorageError(
                f"{self.path}: the result cannot be written: {reason}", hint=once_mended(self.path)
            ) from None
        self._done = not event.result.cut_off
        return told

    def _write_all(self, documents: Mapping[str, Mapping[str, Any]]) -> None:
        """In a thread, since a disk may be slow."""
        for name, document in documents.items():
            option = orjson.OPT_INDENT_2 if name == "result.json" else 0
            write_atomically(self.path / name, orjson.dumps(document, option=option) + b"\n")

    def _take(self) -> None:
        self._claim = Claim(self.path)
        refuse_taken(self.path)  # nobody else may begin one from here on

    def _begin(self) -> None:
        path = self.path
        if all(OURS.match(entry.name) for entry in path.iterdir()):
            path.chmod(0o700)  # a folder that holds other things keeps its owner's rights
        (path / "result.json").unlink(missing_ok=True)
        self._store.clear()
        write_atomically(path / "run.toml", self.config.to_toml().encode())
        self._store.begin()
        self._log = EventLog(path / EVENTS)

    def _told(self, now: float) -> list[Event]:
        """Checkpoints that came to the disk, and trouble with the log, each once."""
        checkpoints = self._store.checkpoints
        steps, checkpoints.written = checkpoints.written, []
        events: list[Event] = [Checkpoint(now, step) for step in steps]
        for event in events:
            self._append(event)
        if self._log is not None and self._log.trouble is not None and not self._warned:
            self._warned = True
            events.append(Note(now, self._log.trouble))
        return events

    def _append(self, event: Event) -> None:
        if self._log is not None:
            self._log.write(event)

    def _tidy(self, names: re.Pattern[str]) -> None:
        for file in self.path.iterdir():
            if names.match(file.name):
                file.unlink(missing_ok=True)

    @contextmanager
    def _closing(self, what: str) -> Iterator[None]:
        """Let go of everything if it fails; errors of the system become ours."""
        try:
            yield
        except BaseException as error:
            self._close()
            if isinstance(error, OSError | ValueError):  # a path may hold what no disk takes
                reason = getattr(error, "strerror", None) or str(error)
                hint = MEND if self.resumed else HINT
                raise ConfigError(f"{self.path}: {what}: {reason}", hint=hint) from None
            raise

    def _close(self) -> None:
        self._store.close()
        if self._log is not None:
            self._log.close()
            self._log = None
        if self._claim is not None:
            self._claim.close()
            self._claim = None
