"""The rules of `bdpl_async.limits.window`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bdpl_async.limits.concurrency import Slot
from bdpl_async.limits.window import Ticket, Window


def ticket(number: int, at: float, tokens: int = 0) -> Ticket:
    return Ticket(number, at, tokens, Slot(0, 1))


@given(
    st.floats(1, 6),
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 9)), max_size=60),
)
def test_a_period_never_holds_more_than_the_limit(
    limit: float, steps: list[tuple[int, int]]
) -> None:
    """Whoever waits as told finds room then and not before, and no period ever overflows."""
    for window in (Window("requests", limit, 61.0), Window("tokens", 3 * limit, 61.0)):
        now, sent = 0.0, []
        for number, (pause, tokens) in enumerate(steps, 1):
            now += pause
            wait = window.wait(tokens, now)
            if wait > 0:
                assert window.wait(tokens, now + wait / 2) > 0
                now += wait
                assert window.wait(tokens, now) == 0
            sent.append(ticket(number, now, tokens))
            window.add(sent[-1])
        for first in sent:
            inside = [t for t in sent if first.at <= t.at < first.at + 61]
            costs = [1 if window.unit == "requests" else t.tokens for t in inside]
            assert sum(costs) <= max(window.limit, *costs)


@given(st.lists(st.tuples(st.integers(0, 30), st.sampled_from(["keep", "less", "drop"]))))
def test_what_is_given_back_is_exact(steps: list[tuple[int, str]]) -> None:
    """A correction counts while its ticket counts, and never after: at the end nothing is held."""
    window, now, sent = Window("tokens", 1000, 61.0), 0.0, []
    for number, (pause, what) in enumerate(steps, 1):
        now += pause
        window.wait(0, now)
        new = ticket(number, now, 50)
        window.add(new)
        sent.append(new)
        old = sent[number // 2]  # some count no more
        if not old.open:
            continue
        old.open = what == "keep"
        if what == "less":
            window.correct(old, 10)
            old.tokens = 10
        elif what == "drop":
            window.drop(old)
            old.tokens = old.requests = 0
        assert window.held == sum(t.tokens for t in sent if t.at + 61 > now)
    window.wait(0, now + 61)
    assert window.held == 0


def test_fewer_than_one_a_minute_is_a_longer_minute() -> None:
    """A limit of half a request lets one through in twice the period."""
    window = Window("requests", 0.5, 61.0)
    window.add(ticket(1, 0.0))
    assert window.wait(0, 1.0) == 121.0


def test_tickets_from_before_it_was_opened_do_not_count() -> None:
    """What an older ticket gives back was never counted here."""
    window = Window("tokens", 100, 61.0, after=7)
    window.correct(ticket(7, 0.0, 50), 10)
    window.drop(ticket(3, 0.0, 50))
    assert window.held == 0


def test_it_knows_what_was_there_before_a_ticket() -> None:
    """Only what was sent earlier, and still counts, stood in its way."""
    window = Window("requests", 9, 61.0)
    for number in range(1, 6):
        window.add(ticket(number, 10.0 * number))
    assert window.before(ticket(4, 40.0)) == 3
    window.wait(1, 75.0)
    assert window.before(ticket(4, 40.0)) == 2
