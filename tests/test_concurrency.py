"""The rules of `bdpl_async.limits.concurrency`."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bdpl_async.limits.concurrency import Concurrency, Outcome, Slot


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def fill(slots: Concurrency) -> list[Slot]:
    taken = []
    while not slots.full:
        taken.append(slots.take())
    return taken


def wave(
    slots: Concurrency, capacity: int, outcome: Outcome, order: Callable[[Slot], float]
) -> int:
    """One wave against a provider that takes so many at once; how many it refused."""
    taken = fill(slots)
    arrived = sorted(taken, key=order)  # requests overtake each other
    for slot in arrived[capacity:]:
        slots.free(slot, outcome)
    for slot in arrived[:capacity]:
        slots.free(slot, "fine")
    return len(arrived[capacity:])


def test_it_starts_low_and_knows_its_most() -> None:
    """The first limit is 16, or the most that is allowed if that is less; none at all is wrong."""
    assert Concurrency(64).limit == 16
    assert Concurrency(4).limit == 4
    assert Concurrency(64, start=2).limit == 2
    with pytest.raises(ValueError, match="not 0"):
        Concurrency(0)


def test_it_grows_only_when_all_slots_are_taken() -> None:
    """A success with slots to spare says nothing; a full house makes room, up to the most."""
    slots = Concurrency(64, start=4)
    for _ in range(100):
        slots.free(slots.take(), "fine")
    assert slots.limit == 4
    for _ in range(200):
        taken = fill(slots)
        slots.free(taken.pop(), "fine")
        for slot in taken:
            slots.free(slot, "failed")
    assert slots.limit == 64


def test_it_grows_fast_before_the_first_cut_and_slowly_after() -> None:
    """One more per success up to nine tenths of the last good level, then one a round trip."""
    slots = Concurrency(1000, start=4)
    while slots.limit < 40:
        taken = fill(slots)
        slots.free(taken.pop(), "fine")
        assert slots.limit == len(taken) + 2
        for slot in taken:
            slots.free(slot, "failed")
    taken = fill(slots)
    slots.free(taken.pop(), "refused")
    for slot in taken:
        slots.free(slot, "failed")
    assert slots.limit == 20
    rounds = []
    while slots.limit < 40:
        rounds.append(slots.limit)
        for _ in range(slots.limit):  # one round trip of a full house
            taken = fill(slots)
            slots.free(taken.pop(), "fine")
            for slot in taken:
                slots.free(slot, "failed")
    assert rounds[:2] == [20, 36]  # nine tenths of 40, and a little
    assert rounds[2:] == [37, 38, 39]


def test_one_wave_cuts_once() -> None:
    """What was sent before a cut cuts no more, however many refusals still come in; never to 0."""
    slots = Concurrency(64)
    for slot in fill(slots):
        slots.free(slot, "refused")
    assert slots.limit == 8
    slots = Concurrency(1)
    slots.free(slots.take(), "refused")
    assert slots.limit == 1


def test_cuts_take_their_time() -> None:
    """A second of sending and three rounds of answers lie between two cuts; pauses do not count."""
    clock = Clock()
    slots = Concurrency(64, clock=clock)

    def refuse(pause: float) -> int:
        slots.free(slots.take(), "refused", clock.now + pause)
        clock.now += pause
        return slots.limit

    def answer(count: int) -> None:
        for _ in range(count):
            slots.free(slots.take(), "fine")

    assert refuse(60.0) == 8
    clock.now += 0.5
    answer(100)
    assert refuse(60.0) == 8  # too soon
    clock.now += 0.6
    assert refuse(60.0) == 4
    clock.now += 100.0
    answer(3 * 8 - 1)
    assert refuse(60.0) == 4  # too few answers
    answer(1)
    assert refuse(60.0) == 2


@given(st.integers(1, 12), st.randoms(use_true_random=False))
def test_it_learns_how_many_got_through(capacity: int, chance: object) -> None:
    """After one wave the limit is what the provider took at once, in whatever order they came."""
    slots = Concurrency(64, clock=Clock())
    assert wave(slots, capacity, "crowded", lambda _: chance.random()) == 16 - capacity  # type: ignore[attr-defined]
    assert slots.limit == capacity
    for _ in range(50):
        assert wave(slots, capacity, "crowded", lambda slot: slot.crowd) == 0


def test_it_tries_one_more_after_a_long_quiet_time() -> None:
    """A wall is tried again after a minute, then after two, four: and by one request alone."""
    clock = Clock()
    slots = Concurrency(64, clock=clock)
    assert wave(slots, 4, "crowded", lambda slot: slot.crowd) == 12
    tried = []
    for second in range(1, 1000):
        clock.now = float(second)
        if refused := wave(slots, 4, "crowded", lambda slot: slot.crowd):
            assert refused == 1
            tried.append(second)
    gaps = [after - before for before, after in zip([0, *tried], tried, strict=False)]
    assert [round(gap / 60) for gap in gaps] == [1, 2, 4, 8]
    assert min(gaps) > 60


def test_a_wall_that_is_gone_is_left_behind() -> None:
    """Where one more goes well, the next comes sooner: a wall of a minute does not last an hour."""
    clock = Clock()
    slots = Concurrency(64, clock=clock)
    wave(slots, 4, "crowded", lambda slot: slot.crowd)
    flying: list[Slot] = []
    while slots.limit < 64:
        clock.now += 0.1
        flying += fill(slots)
        slots.free(flying.pop(0), "fine")
    assert 60 < clock.now < 360


def test_in_doubt_it_starts_from_one() -> None:
    """A refusal that may mean either leaves one request, which grows fast to what got through."""
    slots = Concurrency(64, clock=Clock())
    wave(slots, 4, "doubtful", lambda slot: slot.crowd)
    assert slots.limit == 1
    alone = slots.take()
    slots.free(alone, "fine")
    for expected in (2, 3, 4, 4):
        assert slots.limit == expected
        wave(slots, 4, "doubtful", lambda slot: -slot.crowd)


@pytest.mark.parametrize("outcome", ["crowded", "doubtful"])
def test_what_is_refused_below_the_wall_takes_it_down(outcome: Outcome) -> None:
    """With no more in flight than once got through, it is not the crowd: the wall is forgotten."""
    clock = Clock()
    slots = Concurrency(64, clock=clock)
    wave(slots, 4, "crowded", lambda slot: slot.crowd)
    clock.now += 10.0
    slots.free(slots.take(), outcome)
    for _ in range(1000):
        wave(slots, 64, outcome, lambda slot: slot.crowd)
    assert slots.limit > 20


def test_after_an_accident_a_wall_needs_a_majority() -> None:
    """Two of many refused are accidents then; most of them are a wall again."""
    clock = Clock()
    slots = Concurrency(64, clock=clock)
    wave(slots, 4, "crowded", lambda slot: slot.crowd)
    clock.now += 10.0
    slots.free(slots.take(), "crowded")
    for _ in range(100):
        clock.now += 2.0
        wave(slots, 64, "crowded", lambda slot: slot.crowd)
    before = slots.limit
    assert before > 12
    wave(slots, before - 2, "crowded", lambda slot: slot.crowd)
    assert slots.limit >= before // 2
    for _ in range(100):
        clock.now += 2.0
        wave(slots, 64, "crowded", lambda slot: slot.crowd)
    assert slots.limit > 12
    wave(slots, 3, "crowded", lambda slot: slot.crowd)
    for _ in range(50):
        clock.now += 1.0
        assert wave(slots, 3, "crowded", lambda slot: slot.crowd) == 0


@given(
    st.integers(1, 40),
    st.lists(
        st.sampled_from(["take", "fine", "failed", "refused", "crowded", "doubtful"]), max_size=200
    ),
    st.randoms(use_true_random=False),
)
def test_the_limit_always_lies_between_one_and_the_most(
    most: int, steps: list[str], chance: object
) -> None:
    """Whatever comes back in whatever order: one may always go, and never more than the most."""
    slots = Concurrency(most, clock=Clock())
    taken: list[Slot] = []
    for step in steps:
        if step == "take":
            if not slots.full:
                taken.append(slots.take())
        elif taken:
            slots.free(taken.pop(chance.randrange(len(taken))), step)  # type: ignore[attr-defined, arg-type]
        assert slots.in_flight == len(taken) <= most
        assert 1 <= slots.limit <= most
        assert slots.full == (slots.in_flight >= slots.limit)
