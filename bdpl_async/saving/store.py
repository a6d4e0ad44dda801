"""checkpoint*: a run's state and its journal, as one thing that can be taken up again.

checkpoint.json     the state after a step: which journal it goes with, and how far it knows it
checkpoint-N.log    the journal; a longer one than `LARGE` is followed by one of what still counts,
                    which holds the state as well, since what comes next is written there at once
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from bdpl_async.errors import ConfigError, StorageError
from bdpl_async.saving.checkpoint import FILE, Checkpoints, read_checkpoint
from bdpl_async.saving.diary import Diary
from bdpl_async.saving.durable import keep_names, once_mended
from bdpl_async.saving.identity import refuse_changed
from bdpl_async.saving.journal import Journal, Record

__all__ = ["Store"]

LOG: Final = "checkpoint-{}.log"
OURS: Final = re.compile(r"checkpoint-\d{1,9}\.log$")
STATE: Final = "state"
PARTS: Final = ("tape", "paid", "tell", "hit", "anew")
"""Records that make sense only together with what is written right behind them."""
LARGE: Final = 32_000_000  # bytes
ANEW: Final = "run it anew in another folder; what was paid for comes from the cache"


class Store:
    """What one run has on disk to go on with.

    Args:
        folder: RUN_DIR, which nobody else writes to meanwhile.
        per_text: bytes that what becomes of a text takes at most.

    Attributes:
        diary: writes to the journal, and knows what it held.
        state: of the last checkpoint; None where there is none.
        known: what was written down until then.
        checkpoints: writes the states to come.
    """

    def __init__(self, folder: Path, per_text: int) -> None:
        self.diary = Diary()
        self.state: dict[str, Any] | None = None
        self.known: list[Record] = []
        self.checkpoints = Checkpoints(folder, self._flush, self._written)
        self._folder = folder
        self._per_text = per_text
        self._identity: dict[str, str] | None = None
        self._number = 0
        self._past: list[Journal] = []  # those before it, until a thread closes them
        self._journal: Journal | None = None
        self._most = LARGE

    def clear(self) -> None:
        """Remove what is left of a run that never began."""
        for file in (self._folder / FILE, *self._logs()):
            file.unlink(missing_ok=True)

    def begin(self) -> None:
        """Begin an empty one, with room for the first that is to be known.

        Raises:
            OSError: it cannot be written, or there is no room.
        """
        journal = self._use(0, Journal(self._path(0)))
        try:
            journal.promise(1)
        except StorageError:
            raise journal.trouble or OSError from None
        keep_names(self._folder)

    def take_up(self) -> int:
        """Read what there is, and be ready to write on; how many bytes of events.jsonl it knows.

        Raises:
            ConfigError: it is damaged, or of another release.
            OSError: it cannot be read, or not be written.
        """
        self.state = read_checkpoint(self._folder / FILE)
        number, at, events = self._place(self.state)
        path = self._path(number)
        records = list(Journal.read(path)) if path.exists() else []
        for newer in sorted(n for n in self._numbers() if n > number):
            held = list(Journal.read(self._path(newer)))
            if state := _state(held, newer):  # whose checkpoint did not reach the disk
                self.state, path, records = state, self._path(newer), held
                number, at, events = self._place(state)
        records = _without_parts(records, at)
        end = records[-1][1] if records else 0
        if end < at:
            raise ConfigError(f"{path}: missing or damaged", hint=ANEW)
        self._use(number, Journal(path, end))
        try:
            self._hear(records, at)
        except (LookupError, TypeError, ValueError):
            raise ConfigError(f"{path}: not as a run writes it", hint=ANEW) from None
        for other in self._logs():
            if other != path:
                other.unlink()
        return events

    def is_of(self, identity: Mapping[str, str]) -> None:
        """Write down which run it is, or see to it that it is this one.

        Raises:
            ConfigError: something changed since the run began.
        """
        if self._identity is None:
            self._identity = dict(identity)
            self.diary.note("run", self._identity)
        refuse_changed(self._folder, self._identity, identity)

    def save(
        self, step: int, events: int, state: Mapping[str, Any], known: Iterable[Record]
    ) -> None:
        """Keep a state, at a moment when nothing is in flight.

        Args:
            step: how many the run has done.
            events: bytes of events.jsonl that belong to it.
            state: JSON that nobody changes any more.
            known: what is to be known of texts, should the journal be renewed.

        Raises:
            StorageError: it cannot be written.
        """
        assert self._journal is not None  # noqa: S101  begun
        self.diary.flush()
        state = {"events": events, **state}
        if self._journal.end > self._most:
            self._renew(known, state)
        place = {"journal": self._number, "at": self._journal.end}
        self.checkpoints.put(step, {**place, **state})

    def spare(self) -> None:
        """Nothing more is sent: give back the room that was kept for it."""
        if self._journal is not None:
            self._journal.spare()

    def close(self) -> None:
        """Let go of the files."""
        self.checkpoints.close()
        self._close_past()
        self.diary.flush()
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def _use(self, number: int, journal: Journal) -> Journal:
        self._number, self._journal = number, journal
        self.diary.open(journal, self._per_text)
        return journal

    def _place(self, state: Mapping[str, Any] | None) -> tuple[int, int, int]:
        """Which journal, the bytes of it that the state knows, and those of the event log."""
        if state is None:
            return 0, 0, 0
        try:
            self.diary.elapsed = float(state["t"])
            return int(state["journal"]), int(state["at"]), int(state["events"])
        except (KeyError, TypeError, ValueError):
            path = self._folder / FILE
            raise ConfigError(f"{path}: not as a run writes it", hint=ANEW) from None

    def _hear(self, records: Sequence[tuple[Record, int]], at: int) -> None:
        """Divide what was written: which run it is, what the state knows, what came after."""
        if records:
            (kind, found), records = records[0][0], records[1:]
            if kind != "run":
                raise ValueError(kind)
            self._identity = {str(name): str(value) for name, value in found.items()}
        self.known = [record for record, end in records if end <= at]
        self.diary.continues([record for record, end in records if end > at])

    def _renew(self, known: Iterable[Record], state: Mapping[str, Any]) -> None:
        """Begin a journal that holds what still counts; the old one stays until a state says so."""
        assert self._journal is not None  # noqa: S101  begun
        path = self._path(self._number + 1)
        try:
            journal = Journal(path)
        except OSError as error:
            raise StorageError(
                f"{path}: cannot be written: {error.strerror}: nothing more is sent",
                hint=once_mended(self._folder),
            ) from None
        try:
            for record in (["run", self._identity], *known, [STATE, state]):
                journal.append(record)
        except StorageError:  # the old one knows all of it, and goes on
            journal.close()
            path.unlink(missing_ok=True)
            raise
        self._past.append(self._journal)
        self._use(self._number + 1, journal)
        self._most = max(LARGE, 2 * journal.end)

    def _flush(self) -> None:
        """In a thread, since a disk may be slow."""
        if (journal := self._journal) is not None:
            journal.flush()
        if self._past:
            keep_names(self._folder)
        self._close_past()

    def _close_past(self) -> None:
        while self._past:
            self._past.pop().close()

    def _written(self, state: Mapping[str, Any]) -> None:
        """A state is on the disk: journals before its own are of no more use."""
        for number in range(state["journal"] - 1, -1, -1):
            path = self._path(number)
            if not path.exists():
                return
            path.unlink()

    def _path(self, number: int) -> Path:
        return self._folder / LOG.format(number)

    def _numbers(self) -> list[int]:
        """Of the journals that stand there."""
        names = [file.name for file in self._logs()]
        return [int(name[len("checkpoint-") : -len(".log")]) for name in names]

    def _logs(self) -> list[Path]:
        return [file for file in self._folder.glob(LOG.format("*")) if OURS.match(file.name)]


def _state(records: Sequence[tuple[Record, int]], number: int) -> dict[str, Any] | None:
    """What a renewed journal of this number was begun with; None where it was cut off before."""
    for record, end in records:
        if record[0] == STATE and isinstance(record[-1], dict):
            return {**record[-1], "journal": number, "at": end}
    return None


def _without_parts(records: list[tuple[Record, int]], at: int) -> list[tuple[Record, int]]:
    """Without a cost at the end whose answer is missing, or an answer without all of its cost.

    Else what is asked again would count as if it were something more.
    """
    count = len(records)
    while count and records[count - 1][1] > at and records[count - 1][0][0] in PARTS:
        count -= 1
    whole = [record[0] for record, _ in records[count:]] == ["tape", "paid", "tell"]
    return records if whole else records[:count]
