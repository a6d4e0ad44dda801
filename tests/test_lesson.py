"""The rules of `bdpl_async.limits.lesson`."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from bdpl_async.limits.concurrency import Slot
from bdpl_async.limits.lesson import ALIKE, FEW, QUIET, SHUT_OUT, Lesson
from bdpl_async.limits.window import MARGIN, Ticket


class Course:
    """A lesson, and a clock that requests and refusals move."""

    def __init__(self) -> None:
        self.lesson = Lesson()
        self.now = 1000.0
        self.count = 0

    def send(self, requests: int, apart: float = 0.1) -> list[Ticket]:
        """So many leave, one after another, as the window allows."""
        tickets = []
        for _ in range(requests):
            window = self.lesson.window
            if window is not None and (delay := window.wait(1, self.now)) > 0:
                self.now += delay
            self.count += 1
            tickets.append(Ticket(self.count, self.now, 0, Slot(0, 1)))
            if window is not None:
                window.add(tickets[-1])
            self.lesson.sent(tickets[-1])
            self.now += apart
            self.lesson.raised(self.now)
        return tickets

    def refuse(
        self, tickets: list[Ticket], pause: float, hint: float | None = None, strikes: int = 1
    ) -> None:
        """All of them come back refused, and sending begins again after the pause."""
        for ticket in tickets:
            self.lesson.unsent(ticket)
        self.lesson.refused(tickets[0], self.now, strikes, hint)
        self.now += pause
        self.lesson.settle(self.now)

    def cycle(self, through: int, pause: float = 1.0) -> None:
        """So many get through, and one more is asked to come back soon."""
        self.refuse(self.send(through + 1, 0.02)[-1:], pause, pause)

    @property
    def rate(self) -> float | None:
        window = self.lesson.window
        return None if window is None else window.limit / window.period


def test_a_late_hint_teaches_its_cycle() -> None:
    """From the first request to the time to come back so many got through: no other did."""
    course = Course()
    course.refuse(course.send(16)[10:], 30.0, 30.0)
    window = course.lesson.window
    assert window is not None
    assert window.limit == 10
    assert window.period == pytest.approx(31.6 * MARGIN)
    assert 0 < window.wait(1, course.now) < 3.0  # those that got through count already


def test_a_late_hint_after_a_long_time_means_a_minute() -> None:
    """What left before the last minute has nothing to do with a refusal."""
    course = Course()
    course.send(5)
    course.now += 100.0
    course.refuse(course.send(16)[10:], 30.0, 30.0)
    window = course.lesson.window
    assert window is not None
    assert (window.limit, window.period) == pytest.approx((10, 60.0 * MARGIN))


@pytest.mark.parametrize("hint", [None, 0.05, 1.0, 4.9])
def test_one_early_refusal_teaches_nothing(hint: float | None) -> None:
    """Nine answers in the first second and a refusal are not nine a minute."""
    course = Course()
    course.refuse(course.send(10)[9:], 0.25, hint)
    assert course.lesson.window is None


def test_cycles_that_are_alike_teach() -> None:
    """The same number got through, again and again: so many in as long as a cycle takes."""
    course = Course()
    for number in range(1, ALIKE + 1):
        assert course.lesson.window is None
        course.cycle(10 + number % 2)
    window = course.lesson.window
    assert window is not None
    assert window.limit == 10
    assert window.period == pytest.approx(1.23 * MARGIN, rel=0.01)


def test_few_a_cycle_take_more_evidence() -> None:
    """Two and two and two is chance more often than ten and ten and ten."""
    course = Course()
    for _ in range(2 * ALIKE):
        assert course.lesson.window is None
        course.cycle(FEW - 1)
    assert course.lesson.window is not None


def test_cycles_that_differ_teach_nothing() -> None:
    """Refusals at random intervals are accidents, however many there are."""
    course, chance = Course(), random.Random(3)
    for _ in range(300):
        course.cycle(int(chance.expovariate(0.05)))
    assert course.lesson.window is None


def test_to_be_shut_out_means_a_minute() -> None:
    """Who is refused again and again, with nothing let through, has used up a minute's worth."""
    course = Course()
    course.refuse(course.send(24)[20:], 0.25)
    for strikes in range(2, SHUT_OUT + 1):
        assert course.lesson.window is None
        course.refuse(course.send(1), 1.0, strikes=strikes)
    window = course.lesson.window
    assert window is not None
    assert (window.limit, window.period) == pytest.approx((20, 60.0 * MARGIN))


def test_what_nothing_got_through_of_teaches_nothing() -> None:
    """A refusal of the very first request says that it is too early, but no rate."""
    course = Course()
    course.refuse(course.send(1), 60.0, 60.0)
    assert course.lesson.window is None


def test_a_window_that_is_used_up_and_quiet_is_raised_faster_and_faster() -> None:
    """After five quiet periods a little, and then twice as much each period."""
    course = Course()
    course.refuse(course.send(101)[100:], 30.0, 30.0)
    window = course.lesson.window
    assert window is not None
    began, raises = course.now, []
    for _ in range(2000):
        before = window.limit
        course.send(1, 0.01)
        if window.limit > before:
            raises.append((course.now - began, window.limit / before))
    assert raises[0][0] == pytest.approx(QUIET * window.period, rel=0.05)
    assert [round(raised, 2) for _, raised in raises[:4]] == [1.02, 1.04, 1.08, 1.16]


def test_a_window_that_is_not_used_is_not_raised() -> None:
    """That nothing was refused says nothing where little was sent."""
    course = Course()
    course.refuse(course.send(101)[100:], 30.0, 30.0)
    before = course.rate
    course.send(300, 10.0)
    assert course.rate == before


def test_a_raise_that_fails_is_taken_back_and_tried_later() -> None:
    """As before at once, and the next try after twice the quiet time."""
    course = Course()
    course.refuse(course.send(101)[100:], 30.0, 30.0)
    window = course.lesson.window
    assert window is not None
    gaps = []
    for _ in range(3):
        began = course.now
        while window.limit == 100:
            course.send(1, 0.01)
        gaps.append(course.now - began)
        course.refuse(course.send(1), 30.0, 30.0)
        assert window.limit == 100
    assert gaps[1] / gaps[0] == pytest.approx(2, rel=0.15)
    assert gaps[2] / gaps[1] == pytest.approx(2, rel=0.15)


def test_a_window_that_still_refuses_is_lowered_and_then_forgotten() -> None:
    """Twice a little less; what is refused all the same was no window, and doubts remain."""
    course = Course()
    for _ in range(ALIKE):
        course.cycle(10)
    rates = []
    while course.rate is not None:
        rates.append(course.rate)
        course.cycle(10)
    steps = [after / before for before, after in pairwise(rates)]
    assert steps == pytest.approx([0.95, 0.95])
    for _ in range(2 * ALIKE - 2):  # the cycle that refuted it is the first
        course.cycle(10)
        assert course.rate is None
    course.cycle(10)
    assert course.rate is not None


def test_refusals_with_much_room_in_a_window_refute_it() -> None:
    """Once is an accident; twice, and it is forgotten."""
    course = Course()
    course.refuse(course.send(101)[100:], 30.0, 30.0)
    course.send(100, 0.01)
    course.now += 100.0
    course.refuse(course.send(10)[-1:], 100.0, 30.0)
    assert course.rate is not None
    course.refuse(course.send(10)[-1:], 30.0, 30.0)
    assert course.rate is None


def test_it_knows_what_got_through_of_late() -> None:
    """The last seconds alone count, without what was refused, from their first request on."""
    course = Course()
    course.send(100)
    course.now += 60.0
    tickets = course.send(20, 0.25)
    for ticket in tickets[:3]:
        course.lesson.unsent(ticket)
    assert course.lesson.recent(course.now - 0.25) == (17, 4.75)
    assert course.lesson.recent(course.now + 60) == (0, 0.0)
