"""The rules of `bdpl_async.books`: what was written down, applied again, gives the same books."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bdpl_async.books import Books
from bdpl_async.budget import Amount, Budget, Ledger, Reservation
from bdpl_async.records import GRAIN, Usage
from bdpl_async.saving.diary import Diary
from bdpl_async.saving.journal import Journal, Record

MONEY = st.integers(0, 10**6).map(lambda grains: grains * GRAIN)
AMOUNTS = st.builds(Amount, st.just(1), st.integers(0, 64), st.integers(0, 10**6), MONEY)
USAGES = st.builds(Usage, st.integers(0, 10**6), st.integers(0, 10**4))
STEPS = st.one_of(
    st.tuples(st.just("sent"), AMOUNTS),
    st.tuples(st.just("paid"), st.integers(0, 9), AMOUNTS, USAGES),
    st.tuples(st.just("fail"), st.integers(0, 9), AMOUNTS, st.booleans()),
    st.tuples(st.just("cut"), st.integers(0, 9)),
    st.tuples(st.just("hit"), AMOUNTS),
)


def act(books: Books, under_way: list[Reservation], step: tuple[Any, ...]) -> None:
    """One thing that happens to requests, if there are any it can happen to."""
    kind, *rest = step
    if kind == "sent":
        under_way.append(books.ledger.reserve(rest[0]))
        books.sent(under_way[-1], 1.5)
    elif kind == "hit":
        books.replay(rest[0])
    elif under_way:
        one = under_way.pop(rest[0] % len(under_way))
        match kind:
            case "paid":
                books.paid(one, rest[1], rest[2])
            case "fail":
                books.failed(one, rest[1], lost=rest[2])
            case _:
                books.cut(one)


def snapshot(books: Books) -> Any:
    return orjson.loads(orjson.dumps(books.snapshot()))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STEPS, max_size=30), st.booleans(), st.integers(0, 30))
def test_any_schedule_can_be_applied_again(
    tmp_path: Path, steps: list[tuple[Any, ...]], local: bool, middle: int
) -> None:
    """From the start, and from a snapshot in the middle, open reservations included."""

    async def play() -> tuple[Books, Any, int]:
        journal = Journal(tmp_path / "log")
        diary = Diary()
        diary.open(journal, 1000)
        books, under_way = Books(Ledger(Budget()), diary, local=local), list[Reservation]()
        taken, at = snapshot(books), 0
        for number, step in enumerate(steps):
            if number == middle:
                diary.flush()
                taken, at = snapshot(books), journal.end
            act(books, under_way, step)
            if number % 3 == 0:
                await asyncio.sleep(0)
        diary.flush()
        journal.close()
        return books, taken, at

    books, taken, at = asyncio.run(play())
    for begin, start in ((None, 0), (taken, at)):
        again = Books(Ledger(Budget()), Diary(), local=local)
        if begin is not None:
            again.restore(begin)
        for record, end in Journal.read(tmp_path / "log"):
            assert end <= start or again.applied(record)
        assert snapshot(again) == snapshot(books)
        assert again.ledger.held == books.ledger.held
        assert again.ledger.used == books.ledger.used


def both(*, local: bool) -> tuple[Books, Reservation]:
    books = Books(Ledger(Budget(requests=5)), Diary(), local=local)
    return books, books.ledger.reserve(Amount(1, 2, 30))


def test_what_is_cut_off_counts_where_somebody_may_bill_it() -> None:
    """A model on this machine ends with its process; what it had not answered costs nothing."""
    books, reservation = both(local=False)
    books.cut(reservation)
    assert books.ledger.crashed == books.ledger.spent == Amount(1, 2, 30)
    assert books.ledger.used == Amount()  # by which nothing is decided
    books, reservation = both(local=True)
    books.cut(reservation)
    assert books.ledger.spent == Amount()
    assert not books.ledger.holding


def test_a_kill_and_a_stop_count_alike() -> None:
    """Cut off by its process's end, as the next one applies it, or by a stop: the same books."""
    books, reservation = both(local=False)
    books.cut(reservation)
    again = Books(Ledger(Budget(requests=5)), Diary())
    assert again.applied(["sent", 1, 1, 2, 30, 0.0, 0.5])
    assert again.applied(["cut", 1])
    assert snapshot(again) == snapshot(books)


def test_other_records_are_not_ours() -> None:
    """They are left to whom they concern."""
    books = Books(Ledger(Budget()), Diary())
    others: list[Record] = [["text", []], ["ask", "x", 0.0], ["tell", 1, 2], ["x"]]
    assert not any(map(books.applied, others))


@pytest.mark.parametrize(
    "record",
    [
        ["paid", 9, 1, 1, 1, 0.0, 1, 0],
        ["fail", 9, 1, 0, 0, 0.0, False],
        ["cut", 9],
        ["sent", 1, -1, 0, 0, 0.0, 0.0],
        ["sent", "x", 1, 0, 0, 0.0, 0.0],
        ["sent", 1, 1, 0, 0, None, 0.0],
        ["hit", "x", 0, 0, 0.0],
    ],
)
def test_what_cannot_be_is_refused(record: list[Any]) -> None:
    """An end without a beginning, or no amount: the folder is damaged, and that is said."""
    with pytest.raises((IndexError, TypeError, ValueError)):
        Books(Ledger(Budget()), Diary()).applied(record)


@pytest.mark.parametrize("part", ["ledger", "traffic"])
def test_what_is_no_snapshot_is_refused(part: str) -> None:
    """Nothing is counted on from nonsense."""
    books = Books(Ledger(Budget()), Diary())
    several: list[Any] = [{}, [], None, {"spent": [1, 2, 3, -4.0]}, {"retries": "x"}]
    for wrong in several:
        with pytest.raises((KeyError, TypeError, ValueError)):
            books.restore({**books.snapshot(), part: wrong})
