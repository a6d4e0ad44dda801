"""The rules of `bdpl_async.plan`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from types import MappingProxyType

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bdpl_async.budget import Amount, Budget, Ledger
from bdpl_async.errors import BudgetTooSmall
from bdpl_async.plan import Ask, Plan, Price, Sizes, make_plan, total
from bdpl_async.stake import Stake

SIZES = st.builds(
    Sizes,
    update=st.integers(0, 400),
    dev=st.integers(1, 300),
    test=st.integers(0, 2000),
    finalists=st.integers(1, 16),
    extra=st.sampled_from([0, 0, 3]),
)


LENGTHS = st.fixed_dictionaries(dict.fromkeys(("train", "dev", "test"), st.integers(1, 60)))
PROMPT = 3  # tokens that `price` takes for a prompt, where it counts tokens


def price(batch: int, tokens: Mapping[str, int] = MappingProxyType({})) -> Price:
    """What the gate says: whole requests, and as many tokens as a row of the split has."""

    def cost(prompts: int, split: str = "train", *, filled: bool = True) -> Amount:
        each = tokens[split] + PROMPT * filled if tokens else 0
        return Amount(-(-prompts // batch), prompts, each * prompts)

    return cost


def whole(plan: Plan, sizes: Sizes) -> list[Ask]:
    """Every ask of a run with one update: the baseline on dev, the update, and the end."""
    return [plan.baseline, Ask(sizes.update), *plan.closing()]


def smallest(sizes: Sizes) -> list[Ask]:
    """One update, and the least that the learned and the empty prompt are scored on."""
    least = min(sizes.dev, 32)
    return [Ask(least, "dev", filled=False), Ask(sizes.update), Ask(least + sizes.extra, "dev")]


def counted(asks: list[Ask]) -> int:
    """Texts of all asks."""
    return sum(ask.count for ask in asks)


@settings(max_examples=500)
@given(SIZES, st.integers(1, 5000), st.sampled_from([1, 7, 16, 64]), st.booleans())
def test_a_plan_fits_its_budget_or_is_refused(
    sizes: Sizes, limit: int, batch: int, by_requests: bool
) -> None:
    """Either one update and its evaluation are too much, or the whole plan and an update fit."""
    budget = Budget(requests=limit) if by_requests else Budget(prompts=limit)
    ledger, least = Ledger(budget), min(sizes.dev, 32)
    needed = total(price(batch), smallest(sizes))
    try:
        plan = make_plan(sizes, budget, price(batch))
    except BudgetTooSmall:
        assert not ledger.fits(needed)
        return
    assert ledger.fits(needed)
    assert ledger.fits(total(price(batch), whole(plan, sizes)))
    assert least <= plan.dev <= sizes.dev
    assert 0 <= plan.test <= sizes.test
    assert 1 <= plan.finalists <= sizes.finalists


def held(requests: int, prompts: int) -> Amount:
    """What so many requests under way may cost."""
    return Amount(requests, prompts)


@settings(max_examples=300)
@given(SIZES, st.integers(1, 5000), st.sampled_from([1, 7, 16, 64]), st.booleans())
def test_room_for_a_kill_refuses_nothing(
    sizes: Sizes, limit: int, batch: int, by_requests: bool
) -> None:
    """What is too small is so without a reserve as well; beside one the whole plan fits."""
    budget = Budget(requests=limit) if by_requests else Budget(prompts=limit)
    stake = Stake(budget, None, batch, held)
    try:
        bare = make_plan(sizes, budget, price(batch))
    except BudgetTooSmall:
        with pytest.raises(BudgetTooSmall):
            make_plan(sizes, budget, price(batch), stake=stake)
        return
    plan = make_plan(sizes, budget, price(batch), stake=stake)
    assert Ledger(budget).fits(total(price(batch), whole(plan, sizes)) + plan.reserve)
    assert (bare.in_flight, bare.reserve) == (None, Amount())
    assert plan.in_flight is not None
    assert plan.reserve.requests in (0, plan.in_flight)


def test_what_is_kept_back_buys_no_updates() -> None:
    """It is left beside dev, test and updates; without a reserve nothing is."""
    sizes, budget = Sizes(update=80, dev=32, test=100, finalists=8), Budget(prompts=800)
    bare = make_plan(sizes, budget, price(1))
    plan = make_plan(sizes, budget, price(1), stake=Stake(budget, None, 1, held))
    assert (plan.in_flight, plan.reserve) == (48, Amount(48, 48))
    assert plan.updates is not None
    assert plan.updates <= (bare.updates or 0)
    other = counted([plan.baseline, *plan.closing()])
    assert plan.updates * 80 + other <= 800 - 48 < (plan.updates + 1) * 80 + other


@given(SIZES, st.integers(1, 5000), LENGTHS)
def test_several_limits_hold_at_once(sizes: Sizes, limit: int, lengths: dict[str, int]) -> None:
    """With limits on requests, prompts and tokens a plan fits them all, however long rows are."""
    budget = Budget(requests=limit, prompts=3 * limit, tokens=20 * limit)
    try:
        plan = make_plan(sizes, budget, price(4, lengths))
    except BudgetTooSmall:
        assume(False)
    assert Ledger(budget).fits(total(price(4, lengths), whole(plan, sizes)))


@given(SIZES)
def test_without_limits_all_is_scored(sizes: Sizes) -> None:
    """No budget: every dev and test example, every finalist, and nothing to warn of."""
    plan = make_plan(sizes, Budget(), price(1))
    assert (plan.dev, plan.test, plan.finalists) == (sizes.dev, sizes.test, sizes.finalists)
    assert plan.notes == ()


@given(SIZES.filter(lambda sizes: sizes.update > 0), st.integers(1, 5000))
def test_most_of_a_large_grant_is_left_for_learning(sizes: Sizes, limit: int) -> None:
    """Where the end was cut to its share, it takes a quarter and a third at the most."""
    least = 4 * min(sizes.dev, 32) + sizes.extra
    assume(limit >= max(2 * sizes.update, 4 * least))
    plan = make_plan(sizes, Budget(prompts=limit), price(1))
    end = counted([plan.baseline, *plan.closing()])
    assert end <= limit * (1 / 4 + 1 / 3)


def test_a_cut_split_is_mentioned() -> None:
    """The plan says how many examples it scores of how many, for dev and for test."""
    plan = make_plan(Sizes(80, 200, 1000, 8), Budget(prompts=1500), price(1))
    assert plan.dev < 200
    assert 0 < plan.test < 1000
    assert [f"{plan.dev} of 200 dev" in note for note in plan.notes] == [True, False]
    assert [f"{plan.test} of 1,000 test" in note for note in plan.notes] == [False, True]


def test_a_test_split_that_cannot_be_scored_is_mentioned() -> None:
    """A budget without room for a test score says so rather than leave it out silently."""
    plan = make_plan(Sizes(80, 32, 1000, 1), Budget(prompts=144), price(1))
    assert plan.test == 0
    assert any("no test score" in note for note in plan.notes)


@pytest.mark.parametrize(
    ("budget", "granted"),
    [(Budget(prompts=143), "143 prompts"), (Budget(requests=17), "17 requests")],
)
def test_the_refusal_says_what_it_would_take(budget: Budget, granted: str) -> None:
    """The message names the grant, the parts, and a total that is then accepted."""
    sizes = Sizes(80, 100, 50, 8)
    with pytest.raises(BudgetTooSmall) as caught:
        make_plan(sizes, budget, price(8))
    message = str(caught.value)
    for part in (granted, "80 prompts", "32 dev", "at least 144 prompts in 18 requests"):
        assert part in message
    assert make_plan(sizes, Budget(prompts=144, requests=18), price(8)).dev == 32


@given(SIZES, st.integers(200, 3000))
def test_more_budget_never_scores_less(sizes: Sizes, limit: int) -> None:
    """A larger grant never shrinks what a run is scored on."""
    plans = []
    for granted in (limit, 2 * limit, 4 * limit):
        try:
            plans.append(make_plan(sizes, Budget(prompts=granted), price(1)))
        except BudgetTooSmall:
            assert not plans
    for less, more in pairwise(plans):
        assert more.dev >= less.dev


@given(SIZES, st.integers(1, 3000), st.integers(0, 3000), st.sampled_from([1, 7, 64]))
def test_what_is_used_is_gone(sizes: Sizes, limit: int, used: int, batch: int) -> None:
    """A plan fits beside what a probe has taken, or the refusal counts that in."""
    budget, gone = Budget(prompts=limit), Amount(1, used, 5 * used)
    ledger = Ledger(budget)
    ledger.replay(gone)
    needed = total(price(batch), smallest(sizes))
    if not ledger.fits(needed):
        with pytest.raises(BudgetTooSmall, match=f"at least {needed.prompts + used:,} prompts?"):
            make_plan(sizes, budget, price(batch), gone)
        return
    plan = make_plan(sizes, budget, price(batch), gone)
    assert ledger.fits(total(price(batch), whole(plan, sizes)))


def test_what_is_used_buys_no_updates() -> None:
    """The number of updates is that of the rest, and nothing used is as if it were not said."""
    sizes, budget = Sizes(update=80, dev=32, test=100, finalists=8), Budget(prompts=5000)
    fresh = make_plan(sizes, budget, price(1))
    assert make_plan(sizes, budget, price(1), Amount()) == fresh
    later = make_plan(sizes, budget, price(1), Amount(prompts=1600))
    assert fresh.updates is not None
    assert later.updates == fresh.updates - 20
    assert (later.update, later.dev, later.test) == (80, fresh.dev, fresh.test)


def test_dollars_are_part_of_the_refusal() -> None:
    """A budget in USD that is too small is told what it would take, in USD."""
    sizes = Sizes(update=80, dev=32, test=0, finalists=8)

    def in_dollars(prompts: int, split: str = "train", *, filled: bool = True) -> Amount:
        return Amount(prompts, prompts, 10 * prompts, prompts / 1024)

    with pytest.raises(BudgetTooSmall, match=r"of \$0\.1250 .* \$0\.1406"):
        make_plan(sizes, Budget(usd=0.125), in_dollars)
    assert make_plan(sizes, Budget(usd=144 / 1024), in_dollars).dev == 32


def test_the_updates_of_a_plan_fit_into_its_budget_and_one_more_does_not() -> None:
    """`updates` is what the rest of the grant buys beside dev and test."""
    sizes, budget = Sizes(update=80, dev=32, test=100, finalists=8), Budget(prompts=5000)
    plan = make_plan(sizes, budget, price(1))
    other = counted([plan.baseline, *plan.closing()])
    assert plan.updates is not None
    assert plan.updates * 80 + other <= 5000 < (plan.updates + 1) * 80 + other


def test_without_limits_a_plan_has_no_number_of_updates() -> None:
    """Nothing bounds the updates but the steps."""
    sizes = Sizes(update=80, dev=32, test=100, finalists=8)
    assert make_plan(sizes, Budget(), price(1)).updates is None


def test_every_ask_is_priced_by_its_own_kind() -> None:
    """The empty prompt is asked without one, each split by its own rows, nothing where none is."""
    plan = Plan(dev=40, test=7, finalists=4)
    assert plan.baseline == Ask(40, "dev", filled=False)
    assert [(ask.split, ask.filled) for ask in plan.selection()] == [("dev", True)] * 3
    assert counted(plan.selection()) == 4 * 16 + 2 * 16 + 8
    assert plan.selection(1) == [Ask(40, "dev")]
    assert plan.closing() == [*plan.selection(), Ask(7, "test"), Ask(7, "test", filled=False)]
    assert replace(plan, test=0).closing() == plan.selection()
    lengths = {"train": 1, "dev": 10, "test": 100}
    assert total(price(1, lengths), plan.closing(1)).tokens == 40 * 13 + 7 * 103 + 7 * 100


@pytest.mark.parametrize("split", ["dev", "test"])
def test_longer_rows_are_fewer_rows(split: str) -> None:
    """A split whose rows take more of the grant is cut, and the other gets no less than before."""
    sizes, budget = Sizes(80, 200, 400, 8), Budget(tokens=60_000)
    alike = make_plan(sizes, budget, price(1, dict.fromkeys(("train", "dev", "test"), 10)))
    longer = make_plan(sizes, budget, price(1, {"train": 10, "dev": 10, "test": 10, split: 60}))
    assert 0 < getattr(longer, split) < getattr(alike, split)
    other = {"dev": "test", "test": "dev"}[split]
    assert getattr(longer, other) == getattr(alike, other)
    assert any(f" {split} examples" in note for note in longer.notes)


def test_texts_to_calibrate_by_are_asked_once_per_prompt() -> None:
    """Each finalist asks for them in its first round; test and the empty prompt do without."""
    plain = Plan(dev=40, test=7, finalists=4)
    plan = replace(plain, extra=3)
    first, *more = plain.closing()
    assert plan.closing() == [Ask(first.count + 4 * 3, "dev"), *more]
    assert plan.selection(1) == [Ask(40 + 3, "dev")]
    assert plan.baseline == plain.baseline
    made = make_plan(Sizes(140, 32, 40, 8, 3), Budget(prompts=3000), price(1))
    assert (made.extra, made.update) == (3, 140)


def test_the_refusal_counts_texts_to_calibrate_by() -> None:
    """The message says what it would take with them, and that is then accepted."""
    sizes = Sizes(35, 8, 0, 8, 3)
    with pytest.raises(
        BudgetTooSmall, match=r"takes 19, texts to calibrate by included; .* 54 pro"
    ):
        make_plan(sizes, Budget(prompts=53), price(1))
    assert make_plan(sizes, Budget(prompts=54), price(1)).dev == 8


def test_a_refusal_adds_up_and_names_the_limits_that_are_too_small() -> None:
    """The probe is part of the sum; a limit that is large enough is not called too small."""
    sizes = Sizes(update=80, dev=30, test=0, finalists=8)
    granted = Budget(requests=5000, prompts=60, tokens=10**6, usd=9.0)
    with pytest.raises(BudgetTooSmall) as caught:
        make_plan(sizes, granted, price(1), Amount(4, 8))
    said = str(caught.value)
    assert said.startswith("the budget of 60 prompts is too small: ")
    assert "one update takes 80 prompts, scoring" in said
    assert "takes 60, and the probe 8; together at least 148 prompts" in said
    with pytest.raises(BudgetTooSmall, match="the budget of 5 requests, 60 prompts is too small"):
        make_plan(sizes, Budget(requests=5, prompts=60), price(1))
