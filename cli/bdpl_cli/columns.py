"""Plain text of a given width: columns that line up, lines that are cut or wrapped."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from shutil import get_terminal_size

from bdpl_cli.plaintext import clean

__all__ = ["LEAST", "PIPE", "aligned", "room", "short", "tail", "unbroken", "wrapped"]

PIPE = 80  # columns where there is no terminal
UNITS = re.compile(r"(?<=\d) (?=(?:s|ms|points?)\b|%)")
JOINT = "\0"  # stands for a space that no line ends at; no text holds one
LEAST, MOST = 40, 120  # columns that prose takes of a narrow and of a wide terminal


def room() -> int:
    """Columns that there are for a text."""
    return min(max(get_terminal_size(fallback=(PIPE, 24)).columns, LEAST), MOST)


def aligned(rows: Sequence[Sequence[str]], left: int = 1, gap: str = "  ") -> list[str]:
    """Lines of equal columns: the first `left` ones start together, the others end together.

    Args:
        rows: cells, as many in each row; safe to print.
        left: columns of words, which stand before those of numbers.
        gap: what stands between two columns.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if place < left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(gap.join(cells).rstrip())
    return lines


def short(text: str, width: int) -> str:
    """One line of `width` characters at most, safe to print."""
    line = clean(" ".join(text.split()))
    return line if len(line) <= width else line[: max(0, width - 3)] + "..."


def tail(text: str, width: int) -> str:
    """The end of a name, which tells models apart; `width` characters at most, safe to print."""
    line = clean(" ".join(text.split()))
    return line if len(line) <= width else "..." + line[3 - width :]


def wrapped(text: str, width: int | None = None, indent: str = "  ") -> list[str]:
    """Lines of `width` characters, safe to print; the further ones begin with `indent`.

    A number and its unit stay together.
    """
    joined = UNITS.sub(JOINT, clean(text))
    lines = textwrap.wrap(joined, width or room(), subsequent_indent=indent)
    return [line.replace(JOINT, " ") for line in lines]


def unbroken(text: str) -> list[str]:
    """Lines as wide as there is room, broken at spaces alone, so that a path can be copied.

    Args:
        text: one line; what it is indented by, and two columns more, the further ones are too.
    """
    line = clean(text)
    indent = " " * (len(line) - len(line.lstrip(" ")) + 2)
    return textwrap.wrap(
        line, room(), subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
