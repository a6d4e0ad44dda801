"""The rules of `bdpl_cli.page.course` and `positions`: what is told of the way to a prompt."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bdpl_async.answers import Answers
from bdpl_async.events import Step
from bdpl_async.losses import cross_entropy
from bdpl_async.markup import html
from bdpl_async.result import Totals
from bdpl_cli.page.course import baselines, course, spent
from bdpl_cli.page.positions import positions
from tests.pagereader import Page, material_of, run_with_test

Capsys = pytest.CaptureFixture[str]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capsys) -> Path:
    monkeypatch.chdir(tmp_path)
    return run_with_test(capsys, tmp_path)


def step(
    number: int, tokens: tuple[str, ...], odds: tuple[float, ...] = (), **usage: float
) -> Step:
    return Step(
        float(number),
        step=number,
        loss=1.0 / number,
        entropy=1.0,
        kl=0.0,
        prompt=" ".join(tokens),
        usage=Totals(**usage),  # type: ignore[arg-type]
        tokens=tokens,
        odds=odds,
    )


def test_cost_is_money_where_all_was_paid(run: Path) -> None:
    """With anything from the cache, or without a price, it is prompts, known ones included."""
    material = material_of(run)
    paid = [step(1, ("a",), usd=0.5, prompts=3), step(2, ("a",), usd=1.0, prompts=6)]
    assert spent(material, paid) == ([0.5, 1.0], "USD")
    known = [step(1, ("a",), usd=0.5, prompts=3, cache_hits=4)]
    assert spent(material, known) == ([7.0], "prompts")


def test_baselines_are_mean_losses_on_dev(run: Path) -> None:
    """By the run's own loss; rows without an answer have no part in them."""
    material = material_of(run)
    found = material.kept.answers["dev"]
    levels = baselines(material)
    expected = cross_entropy(found["empty"].logprobs, found["empty"].labels).mean()
    assert levels["empty prompt on dev"] == pytest.approx(expected)
    assert set(levels) == {"empty prompt on dev", "learned prompt on dev"}
    silent = Answers(found["empty"].labels, np.full_like(found["empty"].logprobs, np.nan))
    kept = replace(material.kept, answers={"dev": {"empty": silent}})
    assert baselines(replace(material, explained=replace(material.explained, kept=kept))) == {}


def test_ten_moments_the_first_and_the_last_among_them(run: Path) -> None:
    """Of many updates ten are shown; a token that changed is bold, odds shade the cell."""
    tokens = ("red", "fir", "oak")
    events = tuple(
        step(n, ("ash" if n < 60 else "red", "fir", "oak"), (n / 100, 0.5, 1.0))
        for n in range(1, 101)
    )
    material = replace(material_of(run, tokens=tokens), events=events)
    page = Page("<div>" + "".join(map(html, positions(material))) + "</div>")
    heads = [one for one in page.all("th") if one["scope"] == "col"]
    assert len(heads) == 11
    assert page.text.count("100") >= 1
    cells = page.all("td")
    assert len(cells) == 30
    assert [one.get("class") for one in cells].count("new") == 1
    assert cells[-1]["style"] == "background:rgba(217,119,6,0.60)"
    assert cells[-1]["title"] == "probability 1.000"


def test_what_dev_chose_stands_at_the_end(run: Path) -> None:
    """Where it is not the likeliest prompt; its tokens that differ are bold."""
    events = (step(1, ("a", "b", "c"), (0.1, 0.2, 0.3)),)
    material = replace(material_of(run, tokens=("a", "x", "c")), events=events)
    page = Page("<div>" + "".join(map(html, positions(material))) + "</div>")
    assert "chosen" in page.text
    assert [one.get("class") for one in page.all("td")].count("new") == 1
    same = replace(material_of(run, tokens=("a", "b", "c")), events=events)
    assert "chosen" not in "".join(map(html, positions(same)))


def test_prompts_that_grow_leave_cells_empty(run: Path) -> None:
    """As those of greedy do, which have no odds either."""
    events = (step(1, ()), step(2, ("a",)), step(3, ("a", "b")))
    material = replace(material_of(run, tokens=("a", "b")), events=events)
    page = Page("<div>" + "".join(map(html, positions(material))) + "</div>")
    assert len(page.all("td")) == 4
    assert all("style" not in one for one in page.all("td"))
    assert "shaded" not in page.text


def test_nothing_is_told_of_a_search_that_was_none(run: Path) -> None:
    """Without an update there is no section; with updates and no log the number alone."""
    material = replace(material_of(run, steps_done=0), events=())
    assert course(material) is None
    drawn = course(replace(material_of(run), events=()))
    assert drawn is not None
    assert "2 updates; events.jsonl is not there" in Page(html(drawn)).text


def test_updates_that_are_not_told_whole_leave_the_figures(run: Path) -> None:
    """Of a long run, curves of all updates, and of those that have them entropies and odds."""
    pytest.importorskip("matplotlib")
    events = [
        replace(step(n, ("a", "b"), (0.5, 0.25), prompts=8.0 * n), spread=(1.0, 2.0))
        if n % 2
        else replace(step(n, (), prompts=8.0 * n), prompt="")
        for n in range(1, 9)
    ]
    drawn = course(replace(material_of(run), events=tuple(events), plots=True))
    assert drawn is not None
    page = Page(html(drawn))
    assert "Entropy of the positions" in page.text
    assert "Probability of the likeliest token at each position over time." in page.text
    assert "The likeliest token after some of the updates" in page.text


def test_failed_updates_leave_no_hole(run: Path) -> None:
    """A loss that is no number is left out of words and figures."""
    lost = replace(step(2, ("a", "b", "c"), (0.1, 0.1, 0.1)), loss=float("nan"))
    events = (step(1, ("a", "b", "c"), (0.1, 0.1, 0.1)), lost)
    for plots in (False, True):
        drawn = course(replace(material_of(run), events=events, plots=plots))
        assert drawn is not None
        assert "nan" not in html(drawn).replace("dominant", "")
