"""The view of a run: a pure fold of bounded size, and the paces told from it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bdpl_async.budget import Amount, Budget
from bdpl_async.evaluation import Evaluation
from bdpl_async.events import Evaluated, Event, Finished, Note, Probed, Retry, Started, Step
from bdpl_async.limits.standing import Level, Standing
from bdpl_async.pulse import PHASES, Pulse
from bdpl_async.result import Totals
from bdpl_cli.screen.curve import MOST, Curve, grown, resampled
from bdpl_cli.screen.look import Look
from bdpl_cli.screen.shape import frame
from bdpl_cli.screen.timing import progress, seconds_left, sent_a_minute
from bdpl_cli.screen.view import NOTES, View, fold
from tests.test_events import EVALUATED, STARTED, STEP
from tests.test_result import RESULT

TIME = st.floats(0, 1e6)
COUNT = st.integers(0, 10**9)
ANY = st.floats(allow_nan=True, allow_infinity=True)
WORD = st.text(max_size=12)
AMOUNT = st.builds(Amount, COUNT, COUNT, COUNT, st.floats(0, 1e6))
ODDS = st.lists(st.floats(0, 1), max_size=30).map(tuple)
STANDING = st.builds(
    Standing,
    COUNT,
    COUNT,
    COUNT,
    st.lists(st.builds(Level, st.just("requests"), st.floats(0, 1e9), ANY, ANY), max_size=2).map(
        tuple
    ),
    WORD,
    st.none() | st.floats(0, 1e6),
)
LIMIT = st.none() | st.integers(1, 10**12)
BUDGETS = st.builds(
    Budget,
    LIMIT,
    LIMIT,
    LIMIT,
    st.none() | st.floats(1e-4, 1e6),
    st.none() | st.floats(0.1, 1e6),
)
PULSE = st.builds(
    Pulse,
    TIME,
    st.sampled_from(PHASES),
    COUNT,
    st.none() | COUNT,
    BUDGETS,
    AMOUNT,
    AMOUNT,
    AMOUNT,
    st.builds(Totals, COUNT, COUNT, COUNT, COUNT, st.floats(0, 1e6), COUNT, COUNT, COUNT, TIME),
    standing=STANDING,
    stopping=st.booleans(),
)
STEPS = st.builds(
    Step,
    TIME,
    COUNT,
    ANY,
    ANY,
    ANY,
    WORD,
    st.just(Totals()),
    st.lists(WORD, max_size=30).map(tuple),
    ODDS,
    ODDS,
    st.none() | ANY,
    st.none() | WORD,
)
SPLIT, ROLE = st.sampled_from(("dev", "test")), st.sampled_from(("empty", "learned"))
ITEM: st.SearchStrategy[Event | Pulse] = st.one_of(
    PULSE,
    STEPS,
    st.builds(Started, TIME, WORD, WORD, WORD, COUNT, COUNT, COUNT, COUNT, st.none() | COUNT),
    st.builds(Probed, TIME, COUNT, st.just(("a", "b")), st.none() | WORD),
    st.builds(Retry, TIME, COUNT, st.floats(0, 100), WORD, WORD),
    st.builds(
        Evaluated,
        TIME,
        SPLIT,
        ROLE,
        WORD,
        st.builds(Evaluation, WORD, st.floats(0, 1), st.just((0.0, 1.0)), COUNT),
    ),
    st.builds(Note, TIME, WORD),
    st.builds(Finished, TIME, st.just(RESULT)),
)


def folded(items: list[Event | Pulse]) -> View:
    view = View()
    for item in items:
        view = fold(view, item)
    return view


def pulse(t: float, steps: int = 0, **more: object) -> Pulse:
    return replace(Pulse(t, "search", steps, 100), **more)  # type: ignore[arg-type]


@given(items=st.lists(ITEM, max_size=12))
def test_any_order_can_be_seen(items: list[Event | Pulse]) -> None:
    """Whatever comes, in whatever order, makes a view that can be drawn and stays of one size."""
    view = folded(items)
    assert view.t == max((int(item.t) for item in items), default=0)
    retries = [item for item in items if isinstance(item, Retry)]
    assert sum(count for _, count in view.retries) == len(retries)
    assert [n.message for n in view.notes] == [i.message for i in items if isinstance(i, Note)]
    assert len(view.scores) == len({(s.split, s.role) for s in view.scores})
    left, share = seconds_left(view), progress(view)
    assert left is None or left >= 0
    assert share is None or 0 <= share <= 1
    lines = frame(view, 80, 24, Look.of("utf-8"))
    assert [line.cell_len for line in lines] == [80] * 24


def test_it_stays_small() -> None:
    """After ten thousand of everything the view holds as much as after a few hundred."""
    view = View()
    for n in range(10_000):
        view = fold(view, replace(STEP, t=float(n), step=n, loss=float(n % 7), spread=(1.0,)))
        view = fold(view, Note(n, str(n)))
        view = fold(view, Retry(n, 2, 1.0, "busy", f"cause {n}"))
        view = fold(view, pulse(float(n), n))
    assert len(view.losses.points) <= MOST
    assert len(view.entropies.points) <= MOST
    assert len(view.notes) == NOTES
    assert len(view.retries) < 12
    assert sum(count for _, count in view.retries) == 10_000
    assert len(view.marks) <= 62
    assert view.notes[-1].message == "9999"


@given(numbers=st.lists(ANY, max_size=2_000))
def test_a_curve_keeps_ends_and_mean(numbers: list[float]) -> None:
    """Thinned or not, a curve knows its last number, its range and its mean; NaN is left out."""
    curve = Curve()
    for number in numbers:
        curve = grown(curve, number)
    known = [number for number in numbers if math.isfinite(number)]
    assert curve.last == (known[-1] if known else None)
    if known:
        assert (curve.low, curve.high) == (min(known), max(known))
        stood_for = len(curve.points) * curve.stride + len(curve.rest)
        assert stood_for == len(known)


@given(numbers=st.lists(st.floats(-1e3, 1e3), max_size=300), width=st.integers(1, 80))
def test_resampled(numbers: list[float], width: int) -> None:
    """Never more than there is room for, and never outside of what was there."""
    found = resampled(numbers, width)
    assert len(found) <= width
    assert not numbers or min(numbers) - 1e-6 <= min(found) <= max(found) <= max(numbers) + 1e-6


def test_a_curve_that_was_drawn_stays() -> None:
    """While numbers are added, the points before them do not shimmer."""
    numbers = [float(n * n % 17) for n in range(90)]
    assert resampled(numbers[:88], 40)[:29] == resampled(numbers, 40)[:29]


def test_nothing_new_is_equal() -> None:
    """Two pulses of one second of an idle run make equal views, so nothing is drawn again."""
    first = fold(View(), pulse(5.1, standing=Standing(seconds=7.9)))
    again = fold(first, pulse(5.9, standing=Standing(seconds=7.1)))
    assert first == again
    assert fold(again, pulse(6.0)) != again


def test_the_luckiest_draw_is_the_least_of_all() -> None:
    """A later, worse draw does not replace it."""
    steps = [replace(STEP, step=n, lowest=low, drawn=f"d{n}") for n, low in enumerate((3, 1, 2))]
    best = folded([*steps]).best
    assert best is not None
    assert (best.loss, best.prompt, best.step) == (1, "d1", 1)


def test_entropy_is_left_out_where_there_are_no_distributions() -> None:
    """A method that cannot say how sure it is shows no entropy of zero."""
    assert folded([replace(STEP, entropy=0.0, spread=())]).entropies.last is None


def test_rate() -> None:
    """Requests a minute count over the last ten seconds, not over a burst an hour ago."""
    slow = [pulse(t, usage=Totals(requests=int(1000 + t))) for t in range(30)]
    rate = sent_a_minute(folded([pulse(0.0), *slow]))
    assert rate == pytest.approx(60)
    assert sent_a_minute(View()) is None


def test_time_left() -> None:
    """Updates that are planned at the pace of the last minute, and what the end takes after."""
    pulses = [
        pulse(t, 2 * t, used=Amount(prompts=20 * t), kept=Amount(prompts=100)) for t in range(11)
    ]
    left = seconds_left(folded([*pulses]))
    assert left == pytest.approx((100 - 20) / 2 + 100 / 20)
    assert seconds_left(folded([pulses[0]])) is None


def test_time_left_ends_with_the_seconds_granted() -> None:
    """A budget of seconds is the end, however many updates are planned."""
    pulses = [pulse(t, t, budget=Budget(seconds=30)) for t in range(11)]
    assert seconds_left(folded([*pulses])) == 20


def test_time_left_by_the_budget() -> None:
    """Where the plan was a guess and is over, the limit that runs out first tells."""
    budget = Budget(prompts=1_000, requests=1_000)
    pulses = [
        pulse(t, 200, budget=budget, used=Amount(prompts=50 * t, requests=t)) for t in range(11)
    ]
    assert seconds_left(folded([*pulses])) == pytest.approx((1_000 - 500) / 50)


def test_a_guess_of_updates_is_not_believed() -> None:
    """Known answers make the budget last longer than was planned: what is spent of it tells."""
    budget = Budget(prompts=1_000)
    pulses = [
        pulse(t, 9 * t, budget=budget, used=Amount(prompts=50 * t), kept=Amount(prompts=200))
        for t in range(11)
    ]
    guessed = folded([replace(STARTED, steps=None), *pulses])
    assert progress(guessed) == pytest.approx(500 / 800)
    assert seconds_left(guessed) == pytest.approx(300 / 50 + 200 / 50)
    asked = folded([replace(STARTED, steps=100), *pulses])
    assert progress(asked) == pytest.approx(0.9)
    assert seconds_left(asked) == pytest.approx(10 / 9 + 200 / 50)


def test_progress_of_the_end() -> None:
    """Selection and test are measured by the prompts that were kept for them."""
    search = pulse(9, 100, used=Amount(prompts=500), kept=Amount(prompts=200))
    half = replace(search, t=12, phase="test", used=Amount(prompts=600), kept=Amount(prompts=50))
    assert progress(folded([search, half])) == pytest.approx(0.5)


def test_scores() -> None:
    """The newest of each split and role is kept."""
    better = replace(EVALUATED, result=replace(EVALUATED.result, score=0.75))
    assert folded([STARTED, EVALUATED, better]).scores == (better,)
