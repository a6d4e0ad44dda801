"""Figures: the same bytes twice, the page's colours, text that stays text, nothing loaded."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache, partial
from itertools import pairwise
from xml.etree.ElementTree import Element

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bdpl_async.markup import html
from bdpl_async.reliability import Bin, Reliability
from bdpl_cli.page.armfigures import ArmCurve, ArmPoint, curves, place_labels, scatter
from bdpl_cli.page.axes import spread_apart
from bdpl_cli.page.figures import entropies, heatmap, learning, reliability, smooth

pytest.importorskip("matplotlib")

EVIL = "$x$ <script>\u202e&\x1b"
COST = np.arange(1, 41) * 80.0
LOSS = 1 - np.arange(40) / 60 + np.sin(np.arange(40)) / 10
SURE = Reliability((Bin(0.6, 0.5, 10), Bin(0.9, 0.95, 20)), 0.07, 30)
POINTS = [ArmPoint(f"arm {i}", 100.0 * 3**i, 0.5 + i / 20, 0.4, 0.9) for i in range(5)]
Drawing = Callable[[], Element | None]
ALL: dict[str, Drawing] = {
    "learning": partial(learning, COST, LOSS, unit="prompts", baselines={EVIL: 0.9, "b": 0.91}),
    "dollars": partial(learning, COST / 1e6, LOSS, unit="USD", baselines={}),
    "entropies": partial(entropies, COST, np.tile(LOSS, (3, 1)).T, unit=EVIL),
    "heatmap": partial(heatmap, np.tile(LOSS, (3, 1)).T, range(1, 41), [EVIL, "b", "c"]),
    "reliability": partial(reliability, SURE, SURE),
    "scatter": partial(
        scatter, [*POINTS, ArmPoint(EVIL, 9, 0.5, 0.4, 0.6)], unit="USD", measured=EVIL, bare=0.5
    ),
    "curves": partial(
        curves, [ArmCurve(EVIL, [(COST, LOSS), (COST, LOSS * 2)], 0)], {EVIL: 1}, unit="prompts"
    ),
}
each = pytest.mark.parametrize("name", ALL)


@cache
def drawn(name: str) -> Element:
    found = ALL[name]()
    assert found is not None
    return found


@each
def test_the_same_figure_is_the_same_bytes(name: str) -> None:
    """Neither date nor chance is in it, nor settings of whoever runs it."""
    import matplotlib as mpl

    with mpl.rc_context({"font.size": 30, "lines.linewidth": 9, "text.usetex": True}):
        again = ALL[name]()
    assert again is not None
    assert html(again) == html(drawn(name))


@each
def test_nothing_is_loaded_and_no_id_is_shared(name: str) -> None:
    """References lead to the figure's own parts; two figures on a page have no id in common."""
    root = drawn(name)
    ids = {value for element in root.iter() if (value := element.get("id")) is not None}
    links = re.findall(r'(?:href="#|url\(#)([^")]+)', html(root))
    assert set(links) == ids
    assert "://" not in html(root)
    assert 'href="data:' not in html(root)
    assert not [e.tag for e in root.iter() if e.tag in ("script", "style", "image", "metadata")]
    for other in set(ALL) - {name}:
        assert not ids & {e.get("id") for e in drawn(other).iter()} - {None}


@each
def test_colours_are_the_pages_own(name: str) -> None:
    """Every colour is a variable, so that dark and light pages both have theirs."""
    styles = " ".join(element.get("style", "") for element in drawn(name).iter())
    outside = re.sub(r"var\([^)]*\)", "", styles)
    assert "var(--" in styles
    assert not re.search(r"#[0-9a-fA-F]{3}|rgb|black|white", outside)
    assert "font-family" not in styles


@each
def test_it_is_as_wide_as_its_place(name: str) -> None:
    """It scales with the page, and says what it shows to those who cannot see it."""
    root = drawn(name)
    assert root.get("viewBox", "").startswith("0 0 440 ")
    assert "width:100%" in root.get("style", "")
    assert root.get("width") is None
    assert root.get("role") == "img"
    assert len(root.get("aria-label", "")) > 20


@pytest.mark.parametrize("name", ["learning", "heatmap", "scatter", "curves"])
def test_names_stay_text(name: str) -> None:
    """Dollar signs are no formula, markup no markup, and nothing turns the writing round."""
    root = drawn(name)
    words = " ".join("".join(root.itertext()).split())
    assert "$x$" in words
    assert "<script>" in words
    assert "<script>" not in html(root)
    assert not re.search("[\u202e\x1b]", html(root))


def test_letters_that_a_font_has_not() -> None:
    """Every alphabet is drawn without a warning."""
    found = learning(COST, LOSS, unit="prompts", baselines={"\u732b \U0001f600 \u05d0": 1.0})
    assert found is not None
    assert "\u732b" in "".join(found.itertext())


def test_what_is_no_number_is_left_out() -> None:
    """A step without a loss is no dot; without any there is no figure."""
    losses = LOSS.copy()
    losses[[0, 3, 39]] = np.nan
    found = learning(COST, losses, unit="prompts", baselines={"unknown": float("nan")})
    assert found is not None
    assert "nan" not in html(found).lower()
    assert "unknown" not in "".join(found.itertext())
    nothing = np.full(40, np.nan)
    assert learning(COST, nothing, unit="prompts", baselines={}) is None
    assert learning([], [], unit="prompts", baselines={}) is None
    assert entropies([], np.empty((0, 3)), unit="prompts") is None
    assert entropies(COST, np.full((40, 2), np.nan), unit="prompts") is None
    assert heatmap([], []) is None
    assert heatmap(np.empty((3, 0)), [1, 2, 3]) is None
    assert reliability(None, None) is None
    assert scatter([], unit="USD", measured="test") is None
    assert scatter([ArmPoint("a", np.nan, 0.5, 0.4, 0.6)], unit="USD", measured="test") is None
    assert curves([], {"empty": 1.0}, unit="USD") is None
    assert curves([ArmCurve("a", [([1.0], [np.nan])], 0)], {}, unit="USD") is None


def test_one_update_is_enough() -> None:
    """A run that made a single step has its figures."""
    assert learning([5], [0.7], unit="prompts", baselines={"empty": 0.7}) is not None
    assert entropies([5], [[5.3, 5.3]], unit="prompts") is not None
    assert heatmap([[0.0, 0.0]], [1]) is not None
    assert reliability(None, Reliability((Bin(1.0, 1.0, 1),), 0.0, 1)) is not None
    assert scatter([ArmPoint("a", 0, 0.5, 0.5, 0.5)], unit="USD", measured="test") is not None
    assert curves([ArmCurve("a", [([5], [0.7])], 0)], {}, unit="prompts") is not None


@pytest.mark.parametrize("count", [1, 2, 9, 40])
def test_any_number_of_arms(count: int) -> None:
    """Few arms stand with their names, many with their numbers; all are there."""
    points = [ArmPoint(f"arm-{i}", 50, 0.5, 0.4, 0.6) for i in range(1, count + 1)]
    found = scatter(points, unit="prompts", measured="test accuracy")
    assert found is not None
    words = [("".join(text.itertext())).strip() for text in found.iter("text")]
    wanted = [point.name if count <= 12 else point.name[4:] for point in points]
    assert set(wanted) <= set(words)
    lines = [ArmCurve(point.name, [(COST, LOSS)], i) for i, point in enumerate(points)]
    assert curves(lines, {p.name: i / 9 for i, p in enumerate(points)}, unit="x") is not None


def test_a_long_run_stays_small() -> None:
    """Thousands of updates make no page of megabytes."""
    steps = 20_000
    rng = np.random.default_rng(0)
    found = [
        learning(np.arange(steps), rng.random(steps), unit="prompts", baselines={}),
        heatmap(rng.random((steps, 50)), range(steps)),
    ]
    assert all(one is not None and len(html(one)) < 600_000 for one in found)


@given(losses=st.lists(st.floats(-10, 10), min_size=1, max_size=80))
def test_smoothing(losses: list[float]) -> None:
    """The mean lies among the losses, the best is the least full mean so far and never rises."""
    means, best, width = smooth(losses)
    assert len(means) == len(best) == len(losses)
    assert means[-1] == pytest.approx(np.mean(losses[-width:]), abs=1e-9)
    assert np.isnan(best[: width - 1]).all()
    known = best[width - 1 :]
    assert (np.diff(known) <= 0).all()
    assert known[-1] == means[width - 1 :].min()


@given(
    heights=st.lists(st.floats(-100, 100), max_size=30), gap=st.floats(0.01, 20, exclude_min=True)
)
def test_spread_apart(heights: list[float], gap: float) -> None:
    """Neighbours lie a gap apart, in their order, about the same middle; enough room moves none."""
    spread = spread_apart(heights, gap)
    order = sorted(range(len(heights)), key=heights.__getitem__)
    after = [spread[place] for place in order]
    assert all(high - low >= gap - 1e-6 for low, high in pairwise(after))
    assert sum(spread) == pytest.approx(sum(heights), abs=1e-6)
    again = spread_apart(after, gap * 0.99)
    assert again == pytest.approx(after, abs=1e-6)


def test_labels_do_not_hide_each_other() -> None:
    """Five points close together have five names side by side, within the frame."""
    spots = [(100.0 + 6 * i, 80.0) for i in range(5)]
    sizes = [(50.0, 13.0)] * 5
    middles = place_labels(spots, sizes, (300, 200))
    assert all(25 <= x <= 275 and 6 <= y <= 194 for x, y in middles)
    for one in range(5):
        for other in range(one):
            across = abs(middles[one][0] - middles[other][0])
            up = abs(middles[one][1] - middles[other][1])
            assert across >= 49 or up >= 12
