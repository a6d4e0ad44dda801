"""The rules of `bdpl_async.bill`: what an answer is counted at."""

from __future__ import annotations

from dataclasses import dataclass, field

from bdpl_async.bill import billed
from bdpl_async.budget import Amount
from bdpl_async.records import Price, Quota, Usage

BOUND = Amount(1, 4, 400, 0.5)


@dataclass
class Answer:
    """As a scorer gives it."""

    usage: Usage = field(default_factory=Usage)
    answered: int | None = None
    quotas: tuple[Quota, ...] = ()


def test_it_is_counted_as_it_reports() -> None:
    """Tokens in and out, and dollars by the price."""
    usage = Usage(prompt_tokens=100, completion_tokens=8)
    amount, told = billed(BOUND, Answer(usage), usage, Price(1.0, 2.0))
    assert (amount.requests, amount.prompts, amount.tokens) == (1, 4, 108)
    assert amount.usd == told.usd == Price(1.0, 2.0).usd(100, 8)


def test_a_report_that_cannot_be_true_costs_the_bound() -> None:
    """No text takes less than a token, nor a million."""
    for tokens in (0, 3, 10_000_000):
        usage = Usage(prompt_tokens=tokens)
        amount, told = billed(BOUND, Answer(usage), usage, Price(1.0, 1.0))
        assert amount == BOUND
        assert told == Usage(prompt_tokens=400, usd=0.5)


def test_only_what_was_answered_counts_as_prompts() -> None:
    """And never more than was asked."""
    usage = Usage(prompt_tokens=100)
    assert billed(BOUND, Answer(usage, answered=2), usage, None)[0].prompts == 2
    assert billed(BOUND, Answer(usage, answered=9), usage, None)[0].prompts == 4


def test_dollars_of_the_server_win_over_the_price() -> None:
    """It knows its own discounts."""
    usage = Usage(prompt_tokens=100, usd=0.125)
    assert billed(BOUND, Answer(usage), usage, Price(1.0, 1.0))[0].usd == 0.125
