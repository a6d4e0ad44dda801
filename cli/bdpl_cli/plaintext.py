"""Text from elsewhere, made safe to print."""

from __future__ import annotations

__all__ = ["clean"]

ESCAPES = dict.fromkeys([*range(0x20), *range(0x7F, 0xA0)], "\N{REPLACEMENT CHARACTER}")


def clean(text: str) -> str:
    """Text from data files without characters that a terminal would obey."""
    return text.translate(ESCAPES)
