"""What one run knows of its texts: answers, texts that fail whenever they are sent, label mass.

Texts go by a digest, so that neither memory nor journal holds them whole. What is learned is
written to the run's diary, before the loop turns; and of an ask that an earlier process began, the
diary says what it got.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from bdpl_async.caching.cache import Entry, digest
from bdpl_async.errors import ProviderError
from bdpl_async.records import Score, Text
from bdpl_async.saving.diary import Diary
from bdpl_async.saving.journal import Record
from bdpl_async.saving.rows import LASTING, Found, found, row

__all__ = ["Memory", "Outcome"]

CAPACITY: Final = 50_000  # texts
Outcome = Score | ProviderError


class _Names(dict[Text, bytes]):
    """The name of each text, made when it is first looked up."""

    def __missing__(self, text: Text) -> bytes:
        spelled = f"{text.before}\0{text.after}\0{text.cuttable or ''}"
        name = self[text] = digest(spelled.encode("utf-8", "surrogatepass"))
        return name


class Memory:
    """Bounded, so that a run of a million prompts stays flat.

    It forgets by whole asks, so that what it knows does not depend on the order of answers.

    Attributes:
        answers: that were kept so far.
        asked: texts so far that it did not know.
    """

    def __init__(self, diary: Diary | None = None) -> None:
        self.answers = self.asked = 0
        self._diary = Diary() if diary is None else diary
        self._known: dict[bytes, Found] = {}
        self._asks: deque[list[bytes]] = deque([[]])  # names of what each was about
        self._size = 0  # of them all: what is known by now depends on the order of answers
        self._names = _Names()  # of what is being asked
        self._tries: dict[bytes, int] = {}  # of those: answers without usable numbers
        self._parts: dict[bytes, int] = {}  # and which belong together, where requests were parted
        self._mass, self._masses = 0.0, 0

    @property
    def mass(self) -> float | None:
        """Mean label mass of the answers so far; None where the model tells none."""
        return self._mass / self._masses if self._masses else None

    def recall(self, text: Text) -> Outcome | None:
        """The answer to `text`, or why there will be none."""
        known = self._known.get(self._names[text])
        return known.score if isinstance(known, Entry) else known

    def ask(self, texts: Sequence[Text], now: float) -> tuple[dict[Text, Outcome], list[Record]]:
        """Texts that it does not know are about to be asked for.

        Returns:
            What the diary knows of them, and what that did to the books.
        """
        self.asked += len(texts)
        names = {self._names[text]: text for text in texts}
        self._begin(names)
        if not self._diary.writes:
            return {}, []
        records = self._diary.ask(digest(b"".join(names)).hex(), now)
        rows = [stands for record in records if record[0] == "text" for stands in record[1]]
        outcomes: dict[Text, Outcome] = {}
        for record in records:
            if record[0] in ("vain", "part"):
                self._hear(record[0], [bytes.fromhex(name) for name in record[1]])
        for name, what in map(found, rows):
            self._learn(name, what)
            if name in names:
                outcomes[names[name]] = what.score if isinstance(what, Entry) else what
        return outcomes, records

    def done(self, texts: Iterable[Text]) -> None:
        """These texts are no longer being asked for."""
        for text in texts:
            if name := self._names.pop(text, None):
                self._tries.pop(name, None)
                self._parts.pop(name, None)

    def tries(self, text: Text) -> int:
        """How many answers to `text` had no usable numbers, though another may have."""
        return self._tries.get(self._names[text], 0)

    def vain(self, texts: Sequence[Text]) -> None:
        """One more such answer to each of `texts`; what else was answered with them follows."""
        if texts:
            names = [self._names[text] for text in texts]
            self._diary.wait("vain", [name.hex() for name in names])
            self._hear("vain", names)

    def part(self, texts: Sequence[Text]) -> None:
        """What only together fails is sent in two parts."""
        names = [self._names[text] for text in texts]
        self._diary.note("part", [name.hex() for name in names])
        self._hear("part", names)

    def parted(self, texts: Sequence[Text]) -> list[tuple[Text, ...]]:
        """Texts of a request as they are to be sent: apart, where it was parted already."""
        if not self._parts:
            return [tuple(texts)] if texts else []
        together: dict[int, list[Text]] = {}
        for text in texts:
            together.setdefault(self._parts.get(self._names[text], 0), []).append(text)
        return [tuple(part) for part in together.values()]

    def _hear(self, kind: str, names: Sequence[bytes]) -> None:
        middle, part = (len(names) + 1) // 2, max(self._parts.values(), default=0)
        for place, name in enumerate(names):
            if kind == "vain":
                self._tries[name] = self._tries.get(name, 0) + 1
            else:
                self._parts[name] = part + 1 + (place >= middle)

    def keep(self, outcomes: Mapping[Text, Found]) -> None:
        """Remember answers, and why there will be none."""
        named = [(self._names[text], what) for text, what in outcomes.items()]
        self._write(named)
        for name, what in named:
            self._learn(name, what)

    def fail(self, text: Text, error: ProviderError) -> None:
        """Hear that `text` got no usable answer, and remember it if it would get none again."""
        name = self._names[text]
        if isinstance(error, LASTING) and name not in self._known:
            self._write([(name, error)])
            self._learn(name, error.with_traceback(None))  # which would hold the reply and more

    def records(self) -> Iterator[Record]:
        """All that is known, for another journal: one record for each ask, oldest first."""
        for names in filter(None, self._asks):
            yield ["kept", [row(name, self._known[name]) for name in names if name in self._known]]

    def reread(self, records: Iterable[Record]) -> None:
        """Know what an earlier process wrote down; what is not about texts is left out.

        Raises:
            IndexError, KeyError, TypeError, ValueError: something is not as it is written.
        """
        asks: dict[str, list[bytes]] = {}
        names = self._asks[-1]
        for kind, *rest in records:
            if kind in ("ask", "kept"):
                names = self._begin()
            if kind == "ask":
                asks[rest[0]] = names
            elif kind == "of":
                names = asks.get(rest[0], names)
            elif kind in ("text", "kept"):
                self._know(rest[0], names)

    def _know(self, rows: Iterable[Any], names: list[bytes]) -> None:
        """What an earlier process learned of texts that it asked for together."""
        for name, what in map(found, rows):
            if name not in self._known:
                names.append(name)
                self._size += 1
            self._learn(name, what)

    def snapshot(self) -> list[float]:
        """The counts, as JSON."""
        return [self.answers, self.asked, self._mass, self._masses]

    def restore(self, snapshot: Sequence[float]) -> None:
        """Count on from `snapshot`.

        Raises:
            TypeError, ValueError: it is none.
        """
        answers, asked, mass, masses = snapshot
        self.answers, self.asked, self._masses = int(answers), int(asked), int(masses)
        self._mass = float(mass)

    def _begin(self, names: Iterable[bytes] = ()) -> list[bytes]:
        """An ask for so many more; with too many, the oldest is forgotten."""
        while self._size > CAPACITY and len(self._asks) > 1:
            forgotten = self._asks.popleft()
            self._size -= len(forgotten)
            for name in forgotten:
                self._known.pop(name, None)
        self._asks.append([*names])
        self._size += len(self._asks[-1])
        return self._asks[-1]

    def _write(self, named: Sequence[tuple[bytes, Found]]) -> None:
        if self._diary.writes:
            self._diary.wait("text", [row(name, what) for name, what in named])

    def _learn(self, name: bytes, what: Found) -> None:
        self._known.setdefault(name, what)
        if isinstance(what, Entry):
            self.answers += 1
            if what.score.mass is not None:
                self._mass += what.score.mass
                self._masses += 1
