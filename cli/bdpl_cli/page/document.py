"""The page itself: one file that opens offline, in light and dark, on a phone and on paper.

Its policy forbids the browser all network and all scripts, so that nothing that stands in a task,
a prompt or a row can do more than stand there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from bdpl_async import __version__
from bdpl_async.markup import Element, Node, html, tag
from bdpl_cli.page.wording import ellipsis

__all__ = [
    "DOCTYPE",
    "document",
    "facts",
    "figure",
    "is_page",
    "note",
    "scrolling",
    "section",
    "table",
]

DOCTYPE: Final = "<!DOCTYPE html>\n"
POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none';"
    " form-action 'none'"
)
MADE_BY: Final = "bdpl-async"
STYLE: Final = Path(__file__).with_name("style.css")
TITLE: Final = 200  # characters


def document(title: str, header: Element, sections: Sequence[Element]) -> bytes:
    """The whole file; sections that have an id are listed above the first of them.

    Args:
        title: of the browser's tab.
        header: what the page begins with; it holds the one ``h1``.
        sections: as of `section`.
    """
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name_="color-scheme", content="light dark"),
        tag("meta", name_="referrer", content="no-referrer"),
        tag("meta", name_="generator", content=f"{MADE_BY} {__version__}"),
        tag("title", ellipsis(title, TITLE)),
        tag("style", STYLE.read_text(encoding="utf-8")),
    )
    footer = tag(
        "footer", tag("p", f"Made by {MADE_BY} {__version__}. This file needs no network.")
    )
    body = tag("body", tag("main", header, _contents(sections), sections), footer)
    page = tag("html", head, body, lang="en")
    return (DOCTYPE + html(page) + "\n").encode()


def is_page(content: bytes) -> bool:
    """Whether a file that begins like this was made here."""
    text = content.decode(errors="replace")
    return text.startswith(DOCTYPE) and f'content="{MADE_BY} ' in text


def section(key: str, title: str, *children: Node | Iterable[Node]) -> Element:
    """A part of the page under its own heading; `key` is what links to it name."""
    return tag("section", tag("h2", title, id=f"{key}-title"), *children, id=key)


def note(*children: Node | Iterable[Node]) -> Element:
    """Smaller text that says how to read what stands beside it."""
    return tag("p", *children, class_="note")


def scrolling(child: Element, label: str) -> Element:
    """A box of its own for what may be wider than the page."""
    return tag("div", child, class_="scroll", role="region", aria_label=label, tabindex="0")


def figure(drawn: Element, caption: str) -> Element:
    """A picture with what it shows below it."""
    return tag("figure", drawn, tag("figcaption", caption))


def facts(pairs: Iterable[tuple[str, Node]]) -> Element:
    """Names and what they stand for."""
    rows = (tag("div", tag("dt", name), tag("dd", value)) for name, value in pairs)
    return tag("dl", rows, class_="facts")


def table(
    caption: str,
    columns: Sequence[str],
    rows: Iterable[tuple[Node, Sequence[Node]]],
    *,
    kind: str = "",
) -> Element:
    """A table in a box that scrolls; rows are a heading and their cells.

    Args:
        caption: what it shows; read out, and shown above it.
        columns: headings, that of the rows' headings first.
        rows: cells are texts, elements, or ready ``td`` elements.
        kind: a class for the style.
    """
    head = tag("tr", (tag("th", name, scope="col") for name in columns))
    body = (tag("tr", tag("th", first, scope="row"), map(_cell, rest)) for first, rest in rows)
    whole = tag(
        "table",
        tag("caption", caption),
        tag("thead", head),
        tag("tbody", body),
        class_=kind or None,
    )
    return scrolling(whole, caption)


def _cell(value: Node) -> Element:
    if isinstance(value, Element) and value.tag == "td":
        return value
    return tag("td", value)


def _contents(sections: Sequence[Element]) -> Element:
    links = [
        tag("li", tag("a", heading.text or "", href=f"#{part.get('id')}"))
        for part in sections
        if part.get("id") and (heading := part.find("h2")) is not None
    ]
    return tag("nav", tag("ul", links), aria_label="Contents")
