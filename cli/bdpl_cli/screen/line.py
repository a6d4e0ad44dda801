"""One line of the screen: exactly as wide as it should be, whatever stands in it."""

from __future__ import annotations

from rich.cells import cell_len
from rich.text import Text

from bdpl_cli.screen.look import FAINT, Look

__all__ = ["GUTTER", "Piece", "cut", "labelled", "line", "rule", "squared"]

GUTTER = 10  # cells of the labels at the left
Piece = str | tuple[str, str]
"""Text, or text and a style."""


def line(*pieces: Piece) -> Text:
    """The pieces side by side; nothing in them is markup."""
    return Text.assemble(*pieces, no_wrap=True, end="")


def labelled(label: str, *pieces: Piece) -> Text:
    """A line behind its label."""
    return line((f"{label:<{GUTTER}}", FAINT), *pieces)


def cut(text: str, width: int, look: Look) -> str:
    """`text` in at most `width` cells; where something is missing, its end says so."""
    if cell_len(text) <= width:
        return text
    room = width - len(look.more)
    if room < 0:
        return "." * max(0, width)
    kept = 0
    for place, character in enumerate(text):
        kept += cell_len(character)
        if kept > room:
            return text[:place].rstrip() + look.more
    return text


def squared(text: Text, width: int) -> Text:
    """The same line in exactly `width` cells."""
    if text.cell_len != width:
        text = text.copy()
        text.truncate(width, overflow="crop", pad=True)
    return text


def rule(width: int, look: Look, heading: str = "") -> Text:
    """A line across, with a word or two near its right end."""
    if not heading or len(heading) + 4 > width:
        return line((look.rule * width, FAINT))
    end = look.rule
    return line((look.rule * (width - len(heading) - 3), FAINT), (f" {heading} {end}", FAINT))
