"""Text from elsewhere, made safe to print."""

from __future__ import annotations

from bdpl_async.markup import clean as visible

__all__ = ["clean"]

BREAKS = dict.fromkeys(map(ord, "\t\n"), "\N{REPLACEMENT CHARACTER}")


def clean(text: str) -> str:
    """Text from data files in one line, without characters that a terminal would obey."""
    return visible(text).translate(BREAKS)
