"""A csv file whose columns are parted by something else than commas, and a copy that has commas.

Spreadsheets write semicolons where the comma is the decimal mark. Knows text and separators;
neither columns' roles nor tasks.
"""

from __future__ import annotations

import csv
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

from bdpl_async.data.datafile import MAX_LINE
from bdpl_async.errors import DataError

__all__ = ["MARKS", "new_file", "separator", "write_commas"]

MARKS = {";": "semicolons", "\t": "tabs", "|": "bars"}
"""What may stand in the place of a comma, and what it is called."""


def separator(path: Path) -> str:
    """What parts the columns of a csv file: what finds the most in its header, else a comma.

    A file of another ending, and one that cannot be read, has a comma: its reader has the say.
    """
    if path.suffix.lower() != ".csv":
        return ","
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = file.readline(MAX_LINE)
    except (OSError, ValueError):
        return ","
    return max((",", *MARKS), key=lambda mark: _columns(header, mark))


def _columns(header: str, mark: str) -> int:
    try:
        return max(map(len, csv.reader([header], delimiter=mark)), default=0)
    except csv.Error:
        return 0


def write_commas(source: Path, to: Path, mark: str) -> None:
    """Write the rows of `source`, whose columns are parted by `mark`, to a new file with commas.

    Raises:
        DataError: the source cannot be read, or `to` is there or cannot be written; nothing is
            left of it.
    """
    try:
        with new_file(to, source) as out:
            try:
                csv.writer(out, lineterminator="\n").writerows(_rows(source, mark))
            except BaseException:
                to.unlink()
                raise
    except OSError as error:
        raise DataError(f"{to}: cannot be written: {error.strerror}") from None


def new_file(path: Path, source: Path) -> TextIO:
    """Open a new file that those may read and write who may do so with `source`, and no others.

    Raises:
        OSError: it is there already, or cannot be written.
    """
    rights = stat.S_IMODE(source.stat().st_mode) & 0o666
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    path.chmod(rights)
    return open(handle, "w", encoding="utf-8", newline="")


def _rows(source: Path, mark: str) -> Iterator[Sequence[str]]:
    """Its records, the header first, all of one length.

    Raises:
        DataError: naming the line.
    """
    number = 1
    try:
        with source.open(encoding="utf-8-sig", newline="") as file:
            records = csv.reader(_lines(source, file), delimiter=mark, strict=True)
            columns = 0
            for fields in records:
                columns = columns or len(fields)
                if fields and len(fields) != columns:
                    raise DataError(
                        f"{source}: line {number}: {len(fields)} instead of {columns} fields",
                        hint=f"its columns are separated by {MARKS[mark]}; a stray or missing one?",
                    )
                if fields:
                    yield fields
                number = records.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"{source}: line {number}: not valid CSV: {error}",
            hint=f"quote a field that holds one of the {MARKS[mark]}, a quote or a line break, and"
            ' double its "',
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{source}: not UTF-8 text: {error.reason}", hint="save the file as UTF-8 text"
        ) from None


def _lines(source: Path, file: TextIO) -> Iterator[str]:
    for line in iter(lambda: file.readline(MAX_LINE + 1), ""):
        if len(line) > MAX_LINE:
            raise DataError(
                f"{source}: a line is longer than {MAX_LINE:,} characters",
                hint="is this a text file with one row per line?",
            )
        yield line
