"""Which columns are wanted of a file, by which names they may go, and what may stand in them.

Every problem is a `DataError` that names the file, and the row, line or column.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bdpl_async.errors import DataError

__all__ = ["AllColumns", "Columns", "Row", "as_text", "checked", "separated", "short"]

MAX_FIELD = 1_000_000
"""Characters in one value; no model reads that far."""

Row = dict[str, str]

SEPARATORS = (
    (";", "semicolons", "a .csv file has commas; save it anew with commas, or with tabs as .tsv"),
    ("\t", "tabs", "rename it, so that its name ends in .tsv"),
    (",", "commas", "rename it, so that its name ends in .csv"),
    ("|", "bars", "save it anew with commas as .csv, or with tabs as .tsv"),
)


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns asked for.

    Attributes:
        names: what the reader of the rows calls them.
        others: what a file may call them instead; the first name that is there counts.
    """

    names: Sequence[str]
    others: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def find(self, where: str, there: Sequence[str]) -> dict[str, str]:
        """For each wanted column its name in a file that has the columns `there`.

        Raises:
            DataError: one is missing, or one of the file would be two of these; `where` says in
                which file and line.
        """
        found: dict[str, str] = {}
        for name in self.names:
            known = [name, *self.others.get(name, ())]
            present = [one for one in known if one in there]
            if not present:
                raise self._missing(where, name, there)
            twice = next((one for one, there in found.items() if there == present[0]), None)
            if twice is not None:
                raise DataError(
                    f"{where}: column {short(present[0])} would be both {short(twice)} and"
                    f" {short(name)}",
                    hint="give each a column of its own: see task.columns",
                )
            found[name] = present[0]
        return found

    def _missing(self, where: str, name: str, there: Sequence[str]) -> DataError:
        names = ", ".join(short(one) for one in there[:20]) or "none"
        near = difflib.get_close_matches(name, there[:200], n=1)
        guess = f"did you mean {short(near[0])}? " if near else ""
        others = [short(one) for one in self.others.get(name, ())]
        instead = f" (nor {', '.join(others)})" if others else ""
        if wrong := separated(there):
            return DataError(f"{where}: no column {short(name)}{instead}", hint=wrong)
        alias = "or see task.columns"
        if name.isidentifier() and name.isascii():  # as a key it needs no quotes
            alias = f'or say what it is called: task.columns = {{ {name} = ["ITS NAME"] }}'
        return DataError(
            f"{where}: no column {short(name)}{instead}",
            hint=f"{guess}columns there are: {names}{', ...' * (len(there) > 20)}; rename one,"
            f" {alias}",
        )


def separated(header: Sequence[str]) -> str | None:
    """What to do where the one column of a header looks like several; else None."""
    if len(header) != 1:
        return None
    for mark, kind, cure in SEPARATORS:
        if mark in header[0]:
            return f"its columns are separated by {kind}, it seems: {cure}"
    return None


@dataclass(frozen=True, slots=True)
class AllColumns(Columns):
    """Every column that a file has, by its own name."""

    names: Sequence[str] = ()

    def find(self, where: str, there: Sequence[str]) -> dict[str, str]:
        """Each column for itself."""
        return {name: name for name in there}


def as_text(where: str, column: str, value: object) -> str:
    """A plain value as text: True is "true", 1 is "1", 1.0 is "1.0".

    Raises:
        DataError: it is neither text nor a number.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return repr(value)
    kind = "null" if value is None else type(value).__name__
    raise DataError(
        f"{where}: column {short(column)} holds {kind}, not text or a number",
        hint="write it as text, or drop the row",
    )


def checked(where: str, row: Row) -> Row:
    """The row itself, if every value is text that can be sent.

    Raises:
        DataError: one is not.
    """
    for name, value in row.items():
        if flaw := _flaw(value):
            raise DataError(f"{where}: column {short(name)} {flaw}", hint="mend or drop the row")
    return row


def _flaw(value: str) -> str | None:
    if len(value) > MAX_FIELD:
        return f"is longer than {MAX_FIELD:,} characters"
    if "\0" in value:
        return "holds a NUL character"
    try:
        value.encode()
    except UnicodeEncodeError:  # JSON can spell it: "\\ud800"
        return "holds half a surrogate pair, which is no text"
    return None


def short(name: str) -> str:
    """A name as it may stand in a message: quoted, escaped, and not too long."""
    return repr(name if len(name) <= 60 else name[:57] + "...")
