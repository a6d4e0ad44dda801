"""The rules of `bdpl_async.studies.quote`."""

from __future__ import annotations

from pathlib import Path

import pytest

from bdpl_async.budget import Amount
from bdpl_async.config import BudgetTable
from bdpl_async.errors import BudgetTooSmall
from bdpl_async.plan import Ask
from bdpl_async.scorer import Capabilities
from bdpl_async.session import Session
from bdpl_async.studies.quote import affordable, check_quote, quote, quoted
from bdpl_async.task import Task
from tests.workbench import Length, write_task


def session(tmp_path: Path, *, prompts: int | None = None, probes: int = 0) -> Session:
    task = Task.from_toml(write_task(tmp_path))
    config = task.config.model_copy(update={"budget": BudgetTable(prompts=prompts)})
    scorer = Length()
    scorer.capabilities = Capabilities(batch=8, probes=probes)  # type: ignore[attr-defined]
    return Session.prepare(task, scorer, config)


def test_a_probe_to_come_is_part_of_the_price(tmp_path: Path) -> None:
    """Its requests and two texts each are added, until something was sent."""
    prepared = session(tmp_path, probes=3)
    cost = quote(prepared, [Ask(16, "dev")])
    assert (cost.requests, cost.prompts) == (2 + 3, 16 + 6)
    prepared.gate.ledger.replay(Amount(requests=1))
    cost = quote(prepared, [Ask(16, "dev")])
    assert (cost.requests, cost.prompts) == (2, 16)


def test_what_fits_exactly_passes_and_one_more_does_not(tmp_path: Path) -> None:
    """The message names the model, the limit and what it takes; the hint is the caller's."""
    check_quote(session(tmp_path, prompts=16), [Ask(16)], "scoring")
    with pytest.raises(BudgetTooSmall) as refused:
        check_quote(session(tmp_path, prompts=15), [Ask(16)], "scoring", hint="take less")
    said = str(refused.value)
    assert "mine/length: the budget of 15 prompts is too small: scoring takes 16 prompts" in said
    assert said.endswith("take less")


def test_an_amount_is_told_as_far_as_it_is_known() -> None:
    """No tokens and no dollars where none are known; one request is no requests."""
    assert quoted(Amount(1, 12)) == "12 prompts in 1 request"
    assert quoted(Amount(2, 1200, 5000, 0.5)) == (
        "1,200 prompts in 2 requests, about 5,000 tokens, $0.5000"
    )


@pytest.mark.parametrize(("prompts", "most"), [(3, 0), (4, 1), (15, 3), (16, 4), (99, 5)])
def test_as_many_examples_as_the_budget_holds(tmp_path: Path, prompts: int, most: int) -> None:
    """No more than there are, and none where not even one fits."""
    prepared = session(tmp_path, prompts=prompts)
    assert affordable(prepared, lambda number: [Ask(4 * number)], 5) == most


def test_a_refusal_says_that_a_probe_is_part_of_it(tmp_path: Path) -> None:
    """As long as the probe is still to come, and there is one."""
    prepared = session(tmp_path, prompts=15, probes=3)
    with pytest.raises(BudgetTooSmall, match="22 prompts in 5 requests, the probe included"):
        check_quote(prepared, [Ask(16)], "scoring")
    prepared.gate.ledger.replay(Amount(requests=1))
    with pytest.raises(BudgetTooSmall, match=r"16 prompts in 2 requests$"):
        check_quote(prepared, [Ask(16)], "scoring")
