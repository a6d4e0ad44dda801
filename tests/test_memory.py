"""The rules of `bdpl_async.memory`: answers stand, failures are not asked again, all is bounded."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path

import orjson
import pytest

from bdpl_async.caching.cache import Entry
from bdpl_async.errors import RequestFailed, UnusableAnswer
from bdpl_async.memory import Memory
from bdpl_async.records import Score, Text
from bdpl_async.saving.diary import Diary
from bdpl_async.saving.journal import Journal, Record


def test_what_was_answered_or_failed_is_known() -> None:
    """An answer, an error, or nothing known."""
    memory, error = Memory(), RequestFailed("too long")
    memory.keep({Text("a"): Entry(Score((-1.0,)))})
    memory.fail(Text("b"), error)
    assert memory.recall(Text("a")) == Score((-1.0,))
    assert memory.recall(Text("b")) is error
    assert memory.recall(Text("c")) is None


def test_label_mass_is_the_mean_of_what_is_told() -> None:
    """A model that tells no mass is not one of mass 0."""
    memory = Memory()
    memory.keep({Text("a"): Entry(Score((-1.0,)))})
    assert memory.mass is None
    memory.keep({Text("b"): Entry(Score((-1.0,), mass=0.2))})
    memory.keep({Text("c"): Entry(Score((-1.0,), mass=0.4))})
    assert memory.mass == pytest.approx(0.3)


def test_what_was_asked_longest_ago_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run with ever new texts stays flat, and forgets by whole asks: no order ever shows."""
    monkeypatch.setattr("bdpl_async.memory.CAPACITY", 3)
    memory = Memory()
    for number in range(5):
        first, second = Text(f"{number}a"), Text(f"{number}b")
        memory.ask([first, second], 0.0)
        memory.fail(second, RequestFailed("no"))
        memory.keep({first: Entry(Score((-1.0,)))})
        memory.done([first, second])
    known = [n for n in range(5) for c in "ab" if memory.recall(Text(f"{n}{c}")) is not None]
    assert known == [3, 3, 4, 4]
    assert memory.asked == 10


def test_a_failed_text_keeps_no_frames() -> None:
    """What is remembered of a failure is its words, not the reply that its frames hold."""

    def failed() -> RequestFailed:
        try:
            raise RequestFailed("no")
        except RequestFailed as error:
            return error

    memory, text = Memory(), Text("a")
    memory.fail(text, failed())
    known = memory.recall(text)
    assert isinstance(known, RequestFailed)
    assert known.__traceback__ is None


ANSWER = Entry(Score((-1.0, -math.inf), mass=0.5), 7, 1)


def lives(tmp_path: Path) -> tuple[Memory, Journal, list[Record]]:
    """A memory that goes on with what an earlier one wrote, and what that was."""
    path = tmp_path / "log"
    known = list(Journal.read(path)) if path.exists() else []
    journal = Journal(path, known[-1][1] if known else 0)
    diary = Diary()
    diary.open(journal, 2000)
    diary.continues([record for record, _ in known])
    return Memory(diary), journal, [record for record, _ in known]


async def test_an_ask_goes_on_with_what_it_got(tmp_path: Path) -> None:
    """Answers, failures, tries and parts of an earlier process are this one's."""
    texts = [Text(name) for name in "abcde"]
    first, journal, _ = lives(tmp_path)
    first.ask(texts, 0.0)
    first.part(texts)
    first.vain([texts[2]])
    first.keep({texts[0]: ANSWER, texts[1]: UnusableAnswer("no label", retryable=False)})
    first.fail(texts[3], RequestFailed("too long", fate="refused"))
    await asyncio.sleep(0)  # it is written before the loop turns
    journal.close()
    again, journal, _ = lives(tmp_path)
    told, records = again.ask(texts, 9.0)
    journal.close()
    assert told[texts[0]] == ANSWER.score
    assert [type(told[text]) for text in (texts[1], texts[3])] == [UnusableAnswer, RequestFailed]
    assert texts[2] not in told
    assert texts[4] not in told
    assert {record[0] for record in records} == {"part", "vain", "text"}
    assert again.parted(texts) == [tuple(texts[:3]), tuple(texts[3:])]
    assert [again.tries(text) for text in texts] == [0, 0, 1, 0, 0]
    assert (again.answers, again.asked, again.mass) == (first.answers, first.asked, first.mass)
    again.done(texts)
    assert again.parted(texts) == [tuple(texts)]
    assert again.tries(texts[2]) == 0


async def test_a_failure_is_written_once(tmp_path: Path) -> None:
    """Whoever tells it again tells nothing new."""
    memory, journal, _ = lives(tmp_path)
    text, error = Text("a"), RequestFailed("no")
    memory.ask([text], 0.0)
    for _ in range(3):
        memory.fail(text, error)
    memory.fail(text, RequestFailed("another"))
    await asyncio.sleep(0)
    journal.close()
    rows = [record for record, _ in Journal.read(tmp_path / "log") if record[0] == "text"]
    assert len(rows) == 1
    assert memory.recall(text) is error


@pytest.mark.parametrize("capacity", [2, 50])
async def test_another_journal_knows_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capacity: int
) -> None:
    """Read from the journal it wrote, or from one of what it knows: nothing differs, ever after."""
    monkeypatch.setattr("bdpl_async.memory.CAPACITY", capacity)
    memory, journal, _ = lives(tmp_path)
    for number in range(6):
        texts = [Text(f"{number}a"), Text(f"{number}b")]
        memory.ask(texts, 0.0)
        memory.keep({texts[0]: ANSWER})
        memory.fail(texts[1], RequestFailed("no"))
    await asyncio.sleep(0)
    journal.close()
    written = [record for record, _ in Journal.read(tmp_path / "log")]
    renewed = orjson.loads(orjson.dumps(list(memory.records())))
    for records in (written, renewed):
        again = Memory()
        again.reread(records)
        again.restore(orjson.loads(orjson.dumps(memory.snapshot())))
        assert again.snapshot() == memory.snapshot()
        assert list(again.records()) == list(memory.records())
