"""The rules of `bdpl_async.saving.diary`: a run that goes on comes to where it was cut off."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bdpl_async.budget import Amount
from bdpl_async.errors import ConfigError, StorageError
from bdpl_async.saving.diary import PER_REQUEST, Diary
from bdpl_async.saving.journal import Journal, Record

ONE = Amount(1, 2, 30, 0.5)
PER_TEXT = 1000
DECISIONS = st.tuples(st.just("pick"), st.sampled_from("ab"), st.integers(0, 99))
ASKS = st.tuples(st.just("ask"), st.sampled_from("xy"), st.integers(0, 4))
SCHEDULES = st.lists(DECISIONS | ASKS, min_size=1, max_size=8)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal(tmp_path / "log")
    yield opened
    opened.close()


def diary_on(journal: Journal, earlier: list[Record] | None = None) -> Diary:
    diary = Diary()
    diary.open(journal, PER_TEXT)
    diary.continues(earlier or [])
    return diary


def written(path: Path) -> list[Record]:
    return [record for record, _ in Journal.read(path)]


class Player:
    """A run of picks and asks, as a function of its schedule; an ask sends some requests.

    Attributes:
        found: what each decision was, and each ask got.
        sent: requests.
    """

    def __init__(self, diary: Diary) -> None:
        self.diary = diary
        self.found: list[Any] = []
        self.sent = 0

    async def play(self, schedule: list[tuple[Any, ...]]) -> None:
        for kind, name, value in schedule:
            if kind == "pick":
                self.found.append(self.diary.pick(name, partial(int, value)))
            else:
                self.found.append(await self._asked(name, value))

    async def _asked(self, mark: str, texts: int) -> list[int]:
        records = self.diary.ask(mark, 1.0)
        told = [text for record in records if record[0] == "text" for text in record[1]]
        for text in range(texts):
            if text not in told:
                self.sent += 1
                number = 100 * len(self.found) + text
                self.diary.sent(number, ONE, 1.0)
                await asyncio.sleep(0)
                self.diary.ended(ONE, "paid", number)
                self.diary.note("text", [text])
        return list(range(texts))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SCHEDULES, st.data())
def test_cut_after_any_record_it_goes_on(
    tmp_path: Path, schedule: list[tuple[Any, ...]], data: st.DataObject
) -> None:
    """The same decisions, whatever would be decided now; nothing told is sent; then it is live."""
    path = tmp_path / "log"

    async def play(end: int, earlier: list[Record], plan: list[tuple[Any, ...]]) -> Player:
        journal = Journal(path, end)
        try:
            player = Player(diary_on(journal, earlier))
            await player.play(plan)
            assert player.diary.live
            return player
        finally:
            journal.close()

    whole = asyncio.run(play(0, [], schedule))
    content, lines = path.read_bytes(), list(Journal.read(path))
    ends = sorted({0, *(end for _, end in lines)})
    end = data.draw(st.sampled_from(ends))
    known = [record for record, at in lines if at <= end]
    decided = sum(record[0] in ("pick", "ask") for record in known)
    # What was not decided yet may be decided otherwise by now; what was stays.
    other = [
        (kind, name, 77 if kind == "pick" and place < decided else value)
        for place, (kind, name, value) in enumerate(schedule)
    ]
    path.write_bytes(content[:end])
    again = asyncio.run(play(end, known, other))
    assert again.found == whole.found
    told = sum(record[0] == "text" for record in known)
    assert again.sent == whole.sent - told
    after = written(path)
    assert [r for r in after if r[0] in ("pick", "ask", "text")] == [
        r for r, _ in lines if r[0] in ("pick", "ask", "text")
    ]
    sent = [record[1] for record in known if record[0] == "sent"]
    paid = [record[1] for record in known if record[0] == "paid"]
    assert [record[1] for record in after if record[0] == "cut"] == [
        number for number in sent if number not in paid
    ]


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        (["pick", "plan", 1], ("pick", "update")),
        (["pick", "plan", 1], ("ask", "plan")),
        (["ask", "abc", 0.0], ("ask", "abd")),
        (["ask", "abc", 0.0], ("pick", "abc")),
    ],
)
def test_another_way_is_refused(journal: Journal, earlier: Record, later: tuple[str, str]) -> None:
    """A program that decides otherwise does not go on with this run, and sends nothing."""
    diary = diary_on(journal, [earlier])
    with pytest.raises(ConfigError, match="does not go the way it went"):
        diary.pick(later[1], int) if later[0] == "pick" else diary.ask(later[1], 0.0)


def test_what_was_under_way_is_cut(journal: Journal, tmp_path: Path) -> None:
    """It is written down once, however often the run goes on."""
    earlier: list[Record] = [
        ["ask", "abc", 2.0],
        ["sent", 1, 1, 2, 30, 0.5, 3.0],
        ["sent", 2, 1, 2, 30, 0.5, 4.0],
        ["paid", 1, 1, 2, 30, 0.5, 7, 0],
    ]
    diary = diary_on(journal, earlier)
    assert diary.elapsed == 4.0
    assert written(journal.path) == [["cut", 2]]
    body = diary.ask("abc", 9.0)
    assert body == [*earlier[1:], ["cut", 2]]
    assert diary.live
    second = diary_on(journal, [*earlier, ["cut", 2]])
    assert written(journal.path) == [["cut", 2]]
    assert second.ask("abc", 9.0) == body


def test_before_the_first_decision(journal: Journal) -> None:
    """What was written then is the probe's, and what it was told so far goes on."""
    earlier: list[Record] = [["sent", 1, 1, 0, 0, 0.0, 0.5], ["tape", "piece"], ["paid", 1]]
    diary = diary_on(journal, earlier)
    assert diary.opening == earlier
    assert diary.pieces == [b"piece"]
    assert diary.seen is None
    diary = diary_on(journal, [*earlier, ["seen", "record", None], ["anew"], ["tape", "more"]])
    assert (diary.seen, diary.pieces, diary.anew) == (["seen", "record", None], [b"more"], True)


async def test_what_belongs_together_is_one_line(journal: Journal) -> None:
    """A cost without its answer, or the other way round, never stands on the disk."""
    diary = diary_on(journal)
    diary.sent(1, ONE, 0.0)
    diary.ended(ONE, "paid", 1)
    diary.wait("tell", 1, 2)
    assert [record[0] for record in written(journal.path)] == ["sent"]
    diary.note("text", [])
    ends = [end for record, end in Journal.read(journal.path) if record[0] != "sent"]
    assert len(ends) == 3
    assert len(set(ends)) == 1


async def test_what_waits_does_not_wait_for_long(journal: Journal) -> None:
    """Without anything that follows at once it is written before anything else happens."""
    diary = diary_on(journal)
    diary.sent(1, ONE, 0.0)
    diary.ended(ONE, "fail", 1)
    await asyncio.sleep(0)
    assert [record[0] for record in written(journal.path)] == ["sent", "fail"]
    diary.sent(2, ONE, 0.0)
    diary.ended(ONE, "fail", 2)
    diary.sent(3, ONE, 0.0)
    assert [record[0] for record in written(journal.path)][2:] == ["sent", "fail", "sent"]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 5), max_size=30))
def test_room_for_what_is_under_way(tmp_path: Path, schedule: list[int]) -> None:
    """As much is promised as requests in flight may need, and no more is owed without any."""

    async def play() -> None:
        journal = Journal(tmp_path / "log")
        promised: list[int] = []
        real = journal.promise

        def promise(size: int) -> None:
            promised.append(size)
            real(size)

        journal.promise = promise  # type: ignore[method-assign]
        try:
            diary, flying, need = diary_on(journal), list[Amount](), 0
            for number, prompts in enumerate(schedule):
                if prompts and flying:
                    amount = flying.pop(prompts % len(flying))
                    need -= PER_REQUEST + PER_TEXT * amount.prompts
                    diary.ended(amount, "cut", number)
                flying.append(Amount(1, prompts, 1))
                need += PER_REQUEST + PER_TEXT * prompts
                diary.sent(number, flying[-1], 0.0)
                assert promised[-1] == need == diary._owed
            for amount in flying:
                diary.ended(amount, "cut", 0)
            assert diary._owed == 0
            diary.flush()
        finally:
            journal.close()

    asyncio.run(play())


async def test_a_request_that_cannot_be_written_down_does_not_leave(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And owes nothing."""
    diary = diary_on(journal)
    diary.sent(1, ONE, 0.0)
    owed = diary._owed
    monkeypatch.setattr(journal, "_make_room", no_room)
    with pytest.raises(StorageError, match="No space left"):
        diary.sent(2, ONE, 0.0)
    assert diary._owed == owed
    assert [record[1] for record in written(journal.path)] == [1]


async def test_what_follows_a_lost_decision_is_not_written(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the next process would take it for a part of the one before."""
    diary = diary_on(journal)
    diary.ask("first", 0.0)
    diary.note("text", [1])
    with monkeypatch.context() as full:
        full.setattr(journal, "_make_room", no_room)
        diary.ask("lost", 0.0)
    diary.wait("hit", 1)
    diary.note("text", [2])
    assert diary.pick("plan", lambda: 3) == 3
    await asyncio.sleep(0)
    assert written(journal.path) == [["ask", "first", 0.0], ["text", [1]]]
    with pytest.raises(StorageError):
        diary.sent(1, ONE, 0.0)


def no_room(size: int) -> None:
    raise OSError(28, "No space left on device")


def test_without_a_journal_nothing_is_known() -> None:
    """A run without RUN_DIR has such a one: it decides, asks and sends as if there were none."""
    diary = Diary()
    assert not diary.writes
    assert diary.pick("plan", lambda: 3) == 3
    assert diary.ask("abc", 0.0) == []
    diary.sent(1, ONE, 0.0)
    diary.ended(ONE, "paid", 1)
    diary.note("text", [])
    diary.saw("x", None)
    assert diary.seen == ["seen", "x", None]
