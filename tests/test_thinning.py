"""The rules of `bdpl_async.thinning`."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import Any, cast

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bdpl_async.events import Checkpoint, Event, Note, Retry, Step, to_json
from bdpl_async.history import from_json
from bdpl_async.result import Totals
from bdpl_async.thinning import APART, CAUSES, DENSE, SINGLE, Line, Thinning, whole
from tests.test_events import EVALUATED, EVENTS, STARTED, STEP

FULL = replace(STEP, tokens=("a", "b"), odds=(0.5, 0.25), spread=(1.0, 2.0), lowest=0.25, drawn="a")
LONG = 16 * DENSE  # updates


def step(number: int, positions: int = 2) -> Step:
    return replace(
        FULL,
        t=float(number),
        step=number,
        tokens=("word",) * positions,
        odds=(0.1234,) * positions,
        spread=(4.3210,) * positions,
        usage=Totals(requests=number, prompts=20 * number, seconds=1.0 * number),
    )


def checkpoint(number: int) -> Checkpoint:
    return Checkpoint(float(number), number)


def retry(t: float, cause: str = "rate limit", *, wait: float = 0.5, attempt: int = 2) -> Retry:
    return Retry(t, attempt, wait, f"429: {cause}", cause)


def told(*events: Event) -> list[Line]:
    thinning = Thinning()
    return [*(line for event in events for line in thinning.lines(event)), *thinning.rest()]


def of(kind: str, lines: list[Line]) -> list[Line]:
    return [line for line in lines if line["type"] == kind]


def test_a_short_run_is_told_whole() -> None:
    """Up to 1,023 updates with few retries, each event is one line with all of its keys."""
    events: list[Event] = list(EVENTS[:-1])
    for number in range(1, 2 * DENSE):
        events += [retry(number), step(number), checkpoint(number)]
    assert told(*events) == [to_json(event) for event in events]


def test_every_update_has_a_line() -> None:
    """However long the run: its number, loss, entropy and usage, in order."""
    lines = of("step", told(*map(step, range(1, LONG + 1))))
    assert [line["step"] for line in lines] == list(range(1, LONG + 1))
    assert all({"type", "t", "loss", "entropy", "usage"} <= line.keys() for line in lines)


def test_whole_updates_grow_with_the_logarithm() -> None:
    """Each doubling of the updates has as many whole ones, and in even steps."""
    for doubling in range(1, 8):
        span = range(DENSE << doubling, DENSE << (doubling + 1))
        numbers = [number for number in span if whole(number)]
        assert len(numbers) == DENSE
        assert len({b - a for a, b in pairwise(numbers)}) == 1


def test_what_is_whole_does_not_depend_on_the_process() -> None:
    """A run that was resumed in the midst tells the same updates whole."""
    numbers = range(1, LONG + 1)
    once = of("step", told(*map(step, numbers)))
    twice = of("step", [*told(*map(step, numbers[:7001])), *told(*map(step, numbers[7001:]))])
    assert once == twice


@pytest.mark.parametrize("positions", [10, 75])
def test_the_log_of_a_long_run_is_small(positions: int) -> None:
    """Under faults all the way, an update costs 400 bytes once the log is long."""
    thinning, size, sizes = Thinning(), 0, []
    for number in range(1, LONG + 1):
        events: list[Event] = [retry(number, f"cause {n % 4}") for n in range(12)]
        for event in [*events, step(number, positions), checkpoint(number)]:
            size += sum(len(orjson.dumps(line)) + 1 for line in thinning.lines(event))
        sizes.append(size)
    whole_ones = sum(map(whole, range(LONG // 2 + 1, LONG + 1)))
    a_whole_one = 400 + 30 * positions + (SINGLE + 4) * 150 // APART
    assert sizes[-1] - sizes[LONG // 2] <= 400 * LONG / 2 + whole_ones * a_whole_one
    assert whole_ones == DENSE


def test_many_retries_are_told_together() -> None:
    """A few one by one, the others as one line a cause, before the update's own."""
    events = [*(retry(0.1 * n) for n in range(100)), *(retry(20.0, "busy") for _ in range(3))]
    lines = told(*events, step(APART))
    assert [line["type"] for line in lines] == ["retry"] * (SINGLE + 2) + ["step"]
    assert [line["times"] for line in lines[:-1]] == [1] * SINGLE + [100 - SINGLE, 3]
    assert [line["cause"] for line in lines[SINGLE:-1]] == ["rate limit", "busy"]


def test_a_line_for_many_has_their_mean_wait_and_highest_attempt() -> None:
    """So that what was waited in all can still be told: `times` times `wait`."""
    few = [retry(0.0, "other") for _ in range(SINGLE)]
    waits = [(0.5, 2), (1.5, 3), (4.0, 2)]
    lines = told(*few, *(retry(1.0, wait=wait, attempt=n) for wait, n in waits), step(APART))
    assert lines[SINGLE]["wait"] == 2.0
    assert lines[SINGLE]["attempt"] == 3
    assert lines[SINGLE]["t"] == APART


def test_kinds_of_failure_are_bounded() -> None:
    """A server with a new excuse each time gets no line for each of them."""
    lines = told(*(retry(1.0, f"cause {n}") for n in range(1000)), step(APART))
    assert len(of("retry", lines)) == SINGLE + CAUSES
    assert sum(cast(int, line["times"]) for line in of("retry", lines)) == 1000


def test_what_is_held_comes_before_the_end() -> None:
    """Retries in the midst of an interval stand before the next other event, or the end."""
    late: list[Event] = [step(1), *(retry(1.0) for _ in range(SINGLE + 9)), step(2)]
    assert [line["type"] for line in told(*late)] == ["step", *["retry"] * SINGLE, "step", "retry"]
    kinds = [line["type"] for line in told(*late, EVALUATED)]
    assert kinds == ["step", *["retry"] * SINGLE, "step", "retry", "evaluated"]


def test_checkpoints_follow_whole_updates() -> None:
    """One after each update that is told whole, none after another."""
    lines = told(*(event for n in range(1, LONG + 1) for event in (step(n), checkpoint(n))))
    assert [line["step"] for line in of("checkpoint", lines)] == list(
        filter(whole, range(1, LONG + 1))
    )


def test_a_note_is_not_repeated_at_once() -> None:
    """A disk that comes and goes does not fill itself with saying so."""
    note = Note(1.0, "the disk is full")
    lines = told(STARTED, note, note, Note(1.0, "else"), note, step(1), note, step(APART), note)
    assert [line["message"] for line in of("note", lines)] == [
        "the disk is full",
        "else",
        "the disk is full",
    ]


def test_each_line_is_read_back() -> None:
    """History reads what is thinned: an update with its curve, a retry with its times."""
    assert not whole(2 * DENSE + 1)
    lines = told(*(retry(1.0) for _ in range(SINGLE + 9)), step(2 * DENSE + 1))
    found = [from_json(orjson.loads(orjson.dumps(line))) for line in lines]
    bare = step(2 * DENSE + 1)
    bare = replace(bare, prompt="", tokens=(), odds=(), spread=(), lowest=None, drawn=None)
    assert bare in found
    assert replace(retry(float(2 * DENSE + 1)), times=9) in found


HAPPENINGS = st.lists(
    st.one_of(
        st.builds(retry, st.just(0.0), st.sampled_from("abc"), wait=st.floats(0, 9)),
        st.just("step"),
        st.just("note"),
    ),
    max_size=80,
)


@given(HAPPENINGS, st.integers(1, 2**20))
def test_nothing_is_lost_but_what_repeats(happenings: list[Any], first: int) -> None:
    """All retries are counted under their cause, all updates are there; time never runs back."""
    events: list[Event] = []
    for place, what in enumerate(happenings):
        if isinstance(what, Retry):
            events.append(replace(what, t=float(place)))
        elif what == "note":
            events.append(Note(float(place), "the same"))
        else:
            events.append(replace(step(first + place), t=float(place)))
    lines = told(*events)
    retries: Counter[object] = Counter()
    for line in of("retry", lines):
        retries[line["cause"]] += cast(int, line["times"])
    assert retries == Counter(event.cause for event in events if isinstance(event, Retry))
    steps = [event.step for event in events if isinstance(event, Step)]
    assert [line["step"] for line in of("step", lines)] == steps
    times = [cast(float, line["t"]) for line in lines]
    assert times == sorted(times)
