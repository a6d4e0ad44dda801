"""The rules of `bdpl_cli.page.money`: where it went, down to the last request."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bdpl_async.budget import Amount
from bdpl_async.events import Note, Retry
from bdpl_async.markup import html
from bdpl_async.result import Totals
from bdpl_async.spending import Spending
from bdpl_cli.page.money import money, trouble
from tests.pagereader import Page, material_of, run_with_test

Capsys = pytest.CaptureFixture[str]
SPENT = Spending(
    probe=Amount(1, 1, 10, 0.0001),
    train=Amount(1000, 4000, 90_000, 0.9),
    dev=Amount(10, 40, 900, 0.0499),
    test=Amount(20, 80, 1800, 0.04),
    failed=Amount(3, 0, 100, 0.01),
    saved=Amount(5, 20, 450, 0.02),
)
USAGE = Totals(1034, 4121, 92_000, 810, 1.0, 20, 3, 3, 125.0)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capsys) -> Path:
    monkeypatch.chdir(tmp_path)
    return run_with_test(capsys, tmp_path, "--max-prompts", "600")


def test_the_parts_add_up_to_what_was_spent(run: Path) -> None:
    """The total is that of the parts; what the cache saved stands apart from it."""
    page = Page(html(money(material_of(run, spending=SPENT, usage=USAGE))))
    assert "Spent1,0344,12192,810$1.0000" in page.text
    assert "Saved by the cache52045" in page.text
    assert "not spent" in page.text
    assert "Learning1,0004,00090,000$0.900090.0 %" in page.text


def test_bars_are_of_money_where_there_was_any(run: Path) -> None:
    """Else of tokens, prompts or requests, whichever was counted first."""
    paid = Page(html(money(material_of(run, spending=SPENT, usage=USAGE))))
    assert "Share of USD" in paid.text
    free = Page(html(money(material_of(run, spending=Spending(train=Amount(3, 0, 0, 0.0))))))
    assert "Share of requests" in free.text
    nothing = Page(html(money(material_of(run, spending=Spending()))))
    assert "Spent000" in nothing.text


def test_the_budget_counts_what_the_cache_answered(run: Path) -> None:
    """As the ledger does: 4,121 paid and 20 known of 600 granted never draws beyond the end."""
    page = Page(html(money(material_of(run, spending=SPENT, usage=USAGE))))
    assert "prompts4,141600100.0 %" in page.text
    assert "with what the cache answered" in page.text


def test_an_earlier_release_has_totals_alone(run: Path) -> None:
    """It is said, and what is known is told."""
    page = Page(html(money(material_of(run, spending=None, usage=USAGE))))
    assert "earlier release" in page.text
    assert "$1.0000" in page.text
    assert "2 min 5 s" in page.text


def test_retries_are_told_by_cause_and_notes_once(run: Path) -> None:
    """How many, how long was waited, and each note a single time; nothing where all went well."""
    material = material_of(run)
    quiet = replace(material, events=())
    assert trouble(quiet) is None
    events = (
        Retry(1.0, 2, 1.0, "429 slow down", "rate limit"),
        Retry(2.0, 3, 2.0, "429 slow down", "rate limit"),
        Retry(3.0, 2, 0.5, "500", "server error"),
        Note(4.0, "mind the gap"),
        Note(5.0, "mind the gap"),
    )
    drawn = trouble(replace(material_of(run, usage=USAGE), events=events))
    assert drawn is not None
    page = Page(html(drawn))
    assert "3 requests sent again; 3 without a usable answer" in page.text
    assert "rate limit23.0 s" in page.text
    assert "server error1500 ms" in page.text
    assert page.text.count("mind the gap") == 1


def test_retries_told_together_count_each(run: Path) -> None:
    """A line that stands for many is so many, each with the mean wait."""
    events = (
        Retry(1.0, 2, 1.0, "429", "rate limit"),
        Retry(2.0, 3, 0.25, "429", "rate limit", times=80),
    )
    drawn = trouble(replace(material_of(run, usage=USAGE), events=events))
    assert drawn is not None
    page = Page(html(drawn))
    assert "81 requests sent again" in page.text
    assert "rate limit8121.0 s" in page.text


def test_many_notes_are_cut(run: Path) -> None:
    """Thirty are told, the rest is counted."""
    events = tuple(Note(float(n), f"note {n}") for n in range(40))
    drawn = trouble(replace(material_of(run), events=events))
    assert drawn is not None
    page = Page(html(drawn))
    assert len(page.all("li")) == 30
    assert "and 10 more in events.jsonl" in page.text
