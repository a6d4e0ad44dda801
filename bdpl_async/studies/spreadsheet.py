"""What goes into a cell of a CSV file that a person may open as a spreadsheet."""

from __future__ import annotations

from typing import Final

__all__ = ["shown"]

FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001
"""How a cell begins that a spreadsheet computes; some read the wide signs as the narrow ones."""


def shown(value: object) -> object:
    """A value that a spreadsheet shows and never computes; numbers stay numbers.

    A text that begins like a formula gets an apostrophe before it.
    """
    if isinstance(value, bool):
        return str(value).lower()
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
