"""checkpoint*: a run's state and its journal, as one thing that can be taken up again.

checkpoint.json     the state after a step: which journal it goes with, and how far it knows it
checkpoint-N.log    the journal; a longer one than `LARGE` is followed by one of what still counts
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from bdpl_async.errors import ConfigError, StorageError
from bdpl_async.saving.checkpoint import FILE, Checkpoints, read_checkpoint
from bdpl_async.saving.diary import Diary
from bdpl_async.saving.identity import refuse_changed
from bdpl_async.saving.journal import Journal, Record

__all__ = ["Store"]

LOG: Final = "checkpoint-{}.log"
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
        self._journal: Journal | None = None
        self._most = LARGE

    def clear(self) -> None:
        """Remove what is left of a run that never began."""
        for file in (self._folder / FILE, *self._logs()):
            file.unlink(missing_ok=True)

    def begin(self) -> None:
        """Begin an empty one.

        Raises:
            OSError: it cannot be written.
        """
        self._open(0, 0)

    def take_up(self) -> int:
        """Read what there is, and be ready to write on; how many bytes of events.jsonl it knows.

        Raises:
            ConfigError: it is damaged, or of another release.
            OSError: it cannot be read, or not be written.
        """
        self.state = read_checkpoint(self._folder / FILE)
        number, at, events = self._place(self.state)
        path = self._folder / LOG.format(number)
        records = list(Journal.read(path)) if path.exists() else []
        end = records[-1][1] if records else 0
        if end < at:
            raise ConfigError(f"{path}: missing or damaged", hint=ANEW)
        self._open(number, end)
        try:
            self._hear(records, at)
        except (IndexError, TypeError, ValueError):
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
        if self._journal.end > self._most:
            self._renew(known)
        place = {"journal": self._number, "at": self._journal.end, "events": events}
        self.checkpoints.put(step, {**place, **state})

    def close(self) -> None:
        """Let go of the files."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def _open(self, number: int, end: int) -> None:
        self._number = number
        self._journal = Journal(self._folder / LOG.format(number), end)
        self.diary.open(self._journal, self._per_text)

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

    def _renew(self, known: Iterable[Record]) -> None:
        """Begin a journal that holds what still counts; the old one stays until a state says so."""
        assert self._journal is not None  # noqa: S101  begun
        old = self._journal
        try:
            self._open(self._number + 1, 0)
        except OSError as error:
            raise StorageError(f"{self._folder}: cannot be written: {error.strerror}") from None
        old.close()
        self.diary.note("run", self._identity)
        for record in known:
            self.diary.note(*record)
        self._most = max(LARGE, 2 * self._journal.end)

    def _flush(self) -> None:
        if (journal := self._journal) is not None:
            journal.flush()

    def _written(self, state: Mapping[str, Any]) -> None:
        """A state is on the disk: journals before its own are of no more use."""
        for number in range(state["journal"] - 1, -1, -1):
            path = self._folder / LOG.format(number)
            if not path.exists():
                return
            path.unlink()

    def _logs(self) -> list[Path]:
        return list(self._folder.glob(LOG.format("*")))
