"""The rules of `bdpl_async.sharing.share`: what one process took, in absolute numbers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bdpl_async.budget import Amount, Budget
from bdpl_async.sharing.share import Share, narrowed

ONE = Amount(1, 2, 30, 0.5)


def test_what_is_taken_is_held_until_it_is_settled() -> None:
    """Then it is spent at what it came to."""
    share = Share()
    share.take(7, ONE, 100)
    assert (share.held, share.spent, share.settled) == (ONE, Amount(), False)
    assert share.settle(7, Amount(1, 2, 20, 0.25))
    assert (share.held, share.spent, share.settled) == (Amount(), Amount(1, 2, 20, 0.25), True)


def test_what_was_not_sent_costs_nothing() -> None:
    """A reservation that is given back is as if it had never been."""
    share = Share()
    share.take(1, ONE, 100)
    share.settle(1, Amount())
    assert (share.held, share.spent) == (Amount(), Amount())


def test_reservations_of_an_earlier_process_are_not_ours() -> None:
    """The group has counted them at that process."""
    share = Share()
    assert not share.settle(3, ONE)
    assert share.spent == Amount()


def test_what_is_kept_is_used_up_once_the_search_is_over() -> None:
    """Not before: until then it is beside what is taken."""
    share = Share()
    share.kept = Amount(2, 4, 40, 1.0)
    share.take(1, ONE, 100)
    assert share.kept == Amount(2, 4, 40, 1.0)
    share.draws = True
    share.take(2, ONE, 100)
    assert share.kept == Amount(1, 2, 10, 0.5)
    share.take(3, Amount(5, 5, 50, 5.0), 100)
    assert share.kept == Amount()


def test_corrections_are_told_once() -> None:
    """By how much the grants of a second were too large."""
    share = Share()
    for number, second in ((1, 100), (2, 100), (3, 101)):
        share.take(number, ONE, second)
        share.settle(number, Amount(1, 2, 20, 0.0))
    assert share.corrections() == {100: -20, 101: -10}
    assert share.corrections() == {}


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 9), st.integers(0, 99), st.booleans()),
        max_size=30,
    )
)
def test_spent_and_held_are_what_was_taken(steps: list[tuple[int, int, int, bool]]) -> None:
    """Whatever the order: all that was taken is held, spent, or was given back."""
    share, spent, held = Share(), Amount(), Amount()
    for number, (requests, prompts, tokens, settles) in enumerate(steps):
        amount = Amount(requests, prompts, tokens)
        share.take(number, amount, number)
        if settles:
            share.settle(number, amount)
            spent += amount
        else:
            held += amount
    assert (share.spent, share.held) == (spent, held)


def test_a_run_plans_with_the_smaller_of_two_budgets() -> None:
    """Its own, or what it has used and the group has left; never with nothing at all."""
    left = {"requests": 10.0, "prompts": None, "tokens": -5.0, "usd": 0.5}
    used = Amount(3, 3, 3, 0.25)
    found = narrowed(Budget(requests=100, prompts=7, seconds=9.0), used, left)
    assert found == Budget(requests=13, prompts=7, tokens=1, usd=0.75, seconds=9.0)
    assert narrowed(Budget(requests=12), used, left).requests == 12
