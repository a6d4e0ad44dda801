"""The rules of `bdpl_cli.page.document`, and of every page built with it."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest

from bdpl_async.markup import Element, tag
from bdpl_cli.page.document import document, facts, figure, is_page, note, section, table
from bdpl_cli.page.runpage import run_page
from tests.pagereader import Page, material_of, run_with_test

STYLE = Path(__file__).parents[1] / "cli" / "bdpl_cli" / "page" / "style.css"


def page_of(*parts: Element) -> Page:
    return Page(document("Title", tag("header", tag("h1", "Title")), parts).decode())


def test_a_page_is_known_as_ours() -> None:
    """So that a report may be written over an older one, and over nothing else."""
    made = document("x" * 1000, tag("header"), [])
    assert is_page(made[:2000])
    assert not is_page(b"<!DOCTYPE html>\n<html><body>mine</body></html>")
    assert not is_page(b"\xff\x00")


def test_sections_are_listed_by_their_headings() -> None:
    """Each link leads to a section that is there."""
    page = page_of(section("one", "The first"), section("two", "The second"))
    links = [str(one["href"]) for one in page.all("a")]
    assert links == ["#one", "#two"]
    assert {link[1:] for link in links} <= set(page.ids)


def test_tables_have_headings_of_rows_and_columns() -> None:
    """A caption, a scope for each heading, a box of its own that the keyboard reaches."""
    page = page_of(section("t", "T", table("What it is", ["", "A"], [("row", ["1"])])))
    assert [one["scope"] for one in page.all("th")] == ["col", "col", "row"]
    assert "What it is" in page.text
    box = next(one for one in page.all("div") if one.get("class") == "scroll")
    assert (box["tabindex"], box["role"], box["aria-label"]) == ("0", "region", "What it is")


def test_ready_cells_and_figures_stay_as_they_are() -> None:
    """A td is not wrapped in another; a picture has its caption below."""
    ready = tag("td", "x", class_="right")
    drawn = figure(tag("svg"), "caption")
    page = page_of(section("t", "T", table("c", ["", "A"], [("r", [ready])]), drawn, note("small")))
    assert [one.get("class") for one in page.all("td")] == ["right"]
    assert [name for name, _ in page.tags if name in ("figure", "svg", "figcaption")] == [
        "figure",
        "svg",
        "figcaption",
    ]


def test_facts_are_pairs() -> None:
    """A name and what it stands for, in order."""
    page = page_of(section("f", "F", facts([("Seed", "0"), ("Model", tag("code", "x"))])))
    assert len(page.all("dt")) == len(page.all("dd")) == 2


def test_headings_come_in_order(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A whole page has one h1, never skips a level, no id twice, a language, no script."""
    monkeypatch.chdir(tmp_path)
    page = Page(run_page(material_of(run_with_test(capsys, tmp_path))).decode())
    levels = [int(name[1]) for name, _ in page.tags if re.fullmatch(r"h[1-6]", name)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert len(page.ids) == len(set(page.ids))
    assert page.all("html") == [{"lang": "en"}]
    assert page.all("script") == page.all("link") == page.all("img") == []


def colours(block: str) -> dict[str, tuple[float, ...]]:
    found = re.findall(r"--([\w-]+): #([0-9a-f]{6});", block)
    return {
        name: tuple(int(value[i : i + 2], 16) / 255 for i in (0, 2, 4)) for name, value in found
    }


def contrast(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """WCAG's contrast ratio."""

    def light(colour: tuple[float, ...]) -> float:
        parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    high, low = sorted((light(one), light(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("dark", [False, True])
def test_colours_can_be_read(dark: bool) -> None:
    """Text has a contrast of 4.5 at least on the page and on its softer ground, day and night."""
    day, _, night = STYLE.read_text(encoding="utf-8").partition("prefers-color-scheme: dark")
    found = colours(night.partition("* {")[0] if dark else day)
    for ground in ("paper", "soft"):
        for text in ("ink", "muted", "accent", "warm", "good", "bad"):
            assert contrast(found[text], found[ground]) >= 4.5, (text, ground)
