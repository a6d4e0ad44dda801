"""HTML as a tree: text goes in as text and can come out as nothing else.

Everything that a report or a notebook shows is built of these elements, so that escaping is no
one's duty: the serializer of the standard library does it. Characters that a page or a terminal
would obey (controls, and those that turn the direction of writing) are made visible.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final
from xml.etree.ElementTree import Element, tostring

__all__ = ["UNSEEN", "Element", "Node", "clean", "html", "shaded", "tag"]

UNSEEN: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
"""Characters that are obeyed instead of shown."""

Node = Element | str


def clean(text: str) -> str:
    """`text` without characters that are obeyed instead of shown; line feeds and tabs stay."""
    return UNSEEN.sub("\N{REPLACEMENT CHARACTER}", text)


def tag(name: str, *children: Node | Iterable[Node], **attributes: object) -> Element:
    """An element; ``tag("p", "1 < 2", class_="note")`` is ``<p class="note">1 &lt; 2</p>``.

    Args:
        name: of the element.
        children: texts, elements, or iterables of both.
        attributes: an underscore at the end is dropped, others become hyphens; None leaves the
            attribute out.
    """
    named = {
        key.rstrip("_").replace("_", "-"): clean(str(value))
        for key, value in attributes.items()
        if value is not None
    }
    element = Element(name, named)
    last: Element | None = None
    for child in _flat(children):
        if isinstance(child, Element):
            element.append(child)
            last = child
        elif last is None:
            element.text = (element.text or "") + clean(child)
        else:
            last.tail = (last.tail or "") + clean(child)
    return element


def _flat(children: Sequence[Node | Iterable[Node]]) -> Iterable[Node]:
    for child in children:
        if isinstance(child, str | Element):
            yield child
        else:
            yield from child


def html(element: Element) -> str:
    """The element and all in it, as a page's source."""
    return tostring(element, encoding="unicode", method="html")


def shaded(tokens: Sequence[str], odds: Sequence[float]) -> Element:
    """A prompt whose tokens are shaded by their probability (0 to 1); plain where there is none."""
    if len(odds) != len(tokens):
        return tag("span", " ".join(tokens), class_="prompt")
    spans: list[Node] = []
    for token, chance in zip(tokens, odds, strict=True):
        style = f"background:rgba(217,119,6,{0.6 * min(1.0, max(0.0, chance)):.3f})"
        title = f"probability {chance:.3f}"
        spans += [tag("span", token, style=style, title=title, class_="token"), " "]
    return tag("span", spans[:-1], class_="prompt")
