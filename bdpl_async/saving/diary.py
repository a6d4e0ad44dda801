"""What a run writes down before and after it spends, and what a resumed run hears of it again.

    pick NAME      a decision: the plan, the size of an update, how many finalists
    ask MARK       texts are asked for; MARK says which
      sent, paid, fail, cut, hit, tell    what it does to the books, see `bdpl_async.books`
      text         what became of texts
    of MARK        what follows belongs to that ask, though another has begun since
    tape, seen, anew     pieces of a probe, its end, and that it is made again
    stop                 the run was ended, and when: waits count as well

A resumed run decides and asks again from its checkpoint on, in the same order, since every random
number comes from the seed. As long as the diary knows what came of it, it is told, and nothing is
sent; the books change at each ask as they did then. So it comes to the very point where the run
was cut off, whatever the time and the order in which answers came.

Without a journal it writes nothing and knows nothing: a run without RUN_DIR has that one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final

from bdpl_async.budget import Amount
from bdpl_async.errors import ConfigError, StorageError
from bdpl_async.saving.journal import Journal, Record

__all__ = ["Diary"]

ENDS: Final = ("paid", "fail", "cut")
PER_REQUEST: Final = 600  # bytes of room kept for what will be known of a request
PER_PROBE: Final = 1 << 16  # more of them where replies are kept whole
CHANGED: Final = "the run does not go the way it went: the program or one of its libraries changed"
HINT: Final = (
    "run it anew in another folder; what was paid for comes from the cache:"
    " bdpl-async run RUN_DIR/run.toml --out ..."
)


ASKED: Final[ContextVar[tuple[object, str] | None]] = ContextVar("ASKED", default=None)
"""Diary and mark of the ask that the current task works for; several may be under way."""


@dataclass(slots=True)
class _Scene:
    """A decision or an ask, and what followed until the next one."""

    head: Record
    body: list[Record] = field(default_factory=list)


_Place = tuple[str | None, list[Record]]
"""The ask to which records belong, if to any, and the body that they are in."""


class Diary:
    """One run's.

    Attributes:
        opening: what was written before the first decision.
        pieces: of a probe that did not come to its end.
        seen: what the last probe that did has left, see `saw`.
        anew: a probe that the cache had repeated is made after all.
        elapsed: seconds of the run until the last record.
        requests: the highest number of one that was sent.
    """

    def __init__(self) -> None:
        self.opening: list[Record] = []
        self.pieces: list[bytes] = []
        self.seen: Record | None = None
        self.anew = False
        self.elapsed = 0.0
        self.requests = 0
        self._journal: Journal | None = None
        self._script: deque[_Scene] = deque()
        self._waiting: list[Sequence[object]] = []
        self._due = False  # before the loop waits for anything, it is flushed
        self._of: str | None = None  # the ask to which belongs what is written next
        self._lost = False  # a decision could not be written down
        self._owed = 0  # bytes that requests in flight will need
        self._per_text = 0

    @property
    def writes(self) -> bool:
        """Whether anything is written down."""
        return self._journal is not None

    @property
    def live(self) -> bool:
        """Whether all that it knew is told, so that what comes now is new."""
        return not self._script

    @property
    def journal(self) -> Journal | None:
        """Where it is written."""
        return self._journal

    def open(self, journal: Journal, per_text: int) -> None:
        """Write to `journal` from now on; a text's row takes `per_text` bytes at most."""
        self.flush()
        self._journal, self._per_text = journal, per_text

    def continues(self, records: Iterable[Record]) -> None:
        """Hear what was written since the checkpoint; requests without an end were cut off.

        Raises:
            LookupError, TypeError, ValueError: a record is not as it is written.
        """
        asks: dict[str, list[Record]] = {}
        under_way: dict[int, _Place] = {}
        place: _Place = None, self.opening
        for record in records:
            place = self._placed(record, place, asks)
            self._hear(record)
            if record[0] == "sent":
                under_way[record[1]] = place
            elif record[0] in ENDS:
                under_way.pop(record[1], None)
        self._of = place[0]
        for number, (of, body) in under_way.items():
            cut: Record = ["cut", number]
            body.append(cut)
            self._put(*self._marked(of), cut)

    def _placed(self, record: Record, place: _Place, asks: dict[str, list[Record]]) -> _Place:
        """Where a record belongs, by where the one before it did; there it is put."""
        kind = record[0]
        if kind == "of":
            return record[1], asks[record[1]]
        if kind not in ("ask", "pick"):
            place[1].append(record)
            return place
        self._script.append(_Scene(record))
        body = self._script[-1].body
        if kind == "pick":
            return None, body
        asks[record[1]] = body
        return record[1], body

    def _hear(self, record: Record) -> None:
        """Know by a record how long the run took, and how far a probe has come."""
        kind = record[0]
        if kind == "sent":
            self.requests = max(self.requests, int(record[1]))
        if kind in ("sent", "ask", "stop"):
            self.elapsed = max(self.elapsed, float(record[-1]))
        elif kind == "tape":
            self.pieces.append(str(record[1]).encode())
        elif kind == "seen":
            self.seen, self.pieces, self.anew = record, [], False
        elif kind == "anew":
            self.anew = True

    def note(self, *record: object) -> None:
        """Write it down with all that waits, for which there is room."""
        if self._journal is not None and not self._lost:
            records, self._waiting = [*self._waiting, *self._marked(self._asked), record], []
            self._put(*records)

    def wait(self, *record: object) -> None:
        """Write it down in one with what follows at once: a half of it would mislead."""
        if self._journal is not None and not self._lost:
            if not self._due:
                self._due = True
                asyncio.get_running_loop().call_soon(self._fall_due)
            self._waiting += (*self._marked(self._asked), record)

    def _fall_due(self) -> None:
        self._due = False
        self.flush()

    def flush(self) -> None:
        """Write down what waits."""
        if self._waiting and not self._lost:
            records, self._waiting = self._waiting, []
            self._put(*records)

    @property
    def _asked(self) -> str | None:
        """The ask that the current task works for."""
        diary, mark = ASKED.get() or (None, None)
        return mark if diary is self else None

    def _put(self, *records: Sequence[object]) -> None:
        if self._journal is not None:
            with suppress(StorageError):  # told by the next `sent`, before more is spent
                self._journal.append(*records)

    def _marked(self, of: str | None) -> list[Sequence[object]]:
        """What is to be written first, so that what follows is read as of this ask."""
        if of is None or of == self._of:
            return []
        self._of = of
        return [("of", of)]

    def saw(self, record: str | None, replayed: list[float] | None) -> None:
        """A probe came to its end.

        Args:
            record: from which it can be repeated, if it can.
            replayed: what it had cost and taught, if the cache repeated it.
        """
        self.seen, self.pieces, self.anew = ["seen", record, replayed], [], False
        self.note(*self.seen)

    @contextmanager
    def whole_replies(self) -> Iterator[None]:
        """Keep room for a probe's, as long as this lasts."""
        self._owed += PER_PROBE
        try:
            yield
        finally:
            self._owed -= PER_PROBE

    def sent(self, number: int, amount: Amount, now: float) -> None:
        """A request leaves now.

        Raises:
            StorageError: it could not be written, or there is no room for what will come of it.
        """
        if self._journal is None:
            return
        owed = self._owed + PER_REQUEST + self._per_text * amount.prompts
        self._journal.promise(owed)
        marked = self._marked(self._asked)
        self._journal.append(*self._waiting, *marked, ("sent", number, *amount.numbers, now))
        self._waiting = []
        self._owed = owed

    def ended(self, amount: Amount, *record: object) -> None:
        """A request came to its end, in whatever way; it had been sent for `amount`."""
        if self._journal is not None:
            self._owed -= PER_REQUEST + self._per_text * amount.prompts
            self.wait(*record)

    def ask(self, mark: str, now: float) -> list[Record]:
        """Texts are about to be asked for; what came of it already.

        Raises:
            ConfigError: it was not these that were asked for.
        """
        if self._journal is None:
            return []
        ASKED.set((self, mark))
        if not self._script:
            self._decided("ask", mark, now)
            self._of = mark
            return []
        return self._next("ask", mark).body

    def pick(self, name: str, make: Callable[[], Any]) -> Any:
        """What was decided, else what `make` decides now: something that JSON can hold.

        Raises:
            ConfigError: something else was decided at this point.
        """
        if self._journal is None:
            return make()
        ASKED.set(None)
        if not self._script:
            value = make()
            self._decided("pick", name, value)
            self._of = None
            return value
        return self._next("pick", name).head[2]

    def _decided(self, *record: object) -> None:
        """Write it down, unless one before it may be missing: without that it would mislead.

        So would whatever follows one that is missing; nothing is paid for from there on.
        """
        if self._journal is not None:
            if self._journal.trouble is None:
                self.flush()
                self._put(record)
            self._lost = self._journal.trouble is not None

    def _next(self, kind: str, what: str) -> _Scene:
        scene = self._script.popleft()
        if scene.head[:2] != [kind, what]:
            folder = self._journal.path.parent if self._journal else ""
            raise ConfigError(f"{folder}: {CHANGED}", hint=HINT)
        return scene
