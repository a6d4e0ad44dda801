"""What goes into a cell of a CSV file that a person may open as a spreadsheet."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["shown"]

UNSEEN: Final = '\\s\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"'
SIGNS: Final = "=+\\-@\uff1d\uff0b\uff0d\uff20"
FORMULA: Final = re.compile(f"(?:^(?=[\t\r\n])|(?:^|(?<=[;\r\n]))(?=[{UNSEEN}]*[{SIGNS}]))")
"""Where something begins that a spreadsheet computes: a cell, or what it takes for one where
columns end at semicolons. Some pass over what cannot be seen and read wide signs as narrow ones."""


def shown(value: object) -> object:
    """A value that a spreadsheet shows and never computes; numbers stay numbers.

    A text that begins like a formula gets an apostrophe before it, and so does what follows a
    semicolon or a line break in it.
    """
    if isinstance(value, bool):
        return str(value).lower()
    return FORMULA.sub("'", value) if isinstance(value, str) else value
