"""Text from elsewhere, made safe to print."""

from __future__ import annotations

from typing import Final

from bdpl_async.markup import UNSEEN
from bdpl_async.markup import clean as visible

__all__ = ["clean", "escaped"]

BREAKS: Final = dict.fromkeys(map(ord, "\t\n"), "\N{REPLACEMENT CHARACTER}")


def clean(text: str) -> str:
    """Text from data files in one line, without characters that a terminal would obey."""
    return visible(text).translate(BREAKS)


def escaped(document: bytes) -> str:
    """JSON that says the same, where characters that a terminal would obey are spelled out."""
    return UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", document.decode())
