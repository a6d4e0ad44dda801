"""Rows of text out of tsv, csv, jsonl and parquet files, or one clear error.

Every problem is a `DataError` that names the file, and the row, line or column. Files are read in
bounded pieces, so that no file, however broken, fills the memory with one line. This module knows
columns and text; it knows neither labels nor templates.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from bdpl_async.data.columns import (
    MAX_FIELD,
    AllColumns,
    Columns,
    Row,
    as_text,
    checked,
    separated,
    short,
)
from bdpl_async.data.parquetfile import parquet_rows, read_parquet
from bdpl_async.errors import DataError
from bdpl_async.markup import clean

__all__ = ["raw_rows", "read_lines", "read_rows", "sha256_of"]

MAX_LINE = 10_000_000
"""Bytes in one line; a longer one means that this is no text file."""

_BOM = b"\xef\xbb\xbf"

Placed = tuple[str, Row]
"""Where a row stands in its file ("line 3"), and the columns asked for."""


def read_rows(
    path: Path,
    columns: Sequence[str],
    *,
    others: Mapping[str, Sequence[str]] | None = None,
    most: int | None = None,
) -> list[Row]:
    """The named columns of every row, as text, in file order.

    Other columns are not looked at. Files are UTF-8, with or without a byte order mark; lines end
    at ``\\n`` or ``\\r\\n`` and nowhere else; empty lines at the end are dropped.

    Args:
        path: the file.
        columns: what the rows shall call them.
        others: what the file may call them instead; the first name that is there counts.
        most: rows to read; None reads all.

    Raises:
        DataError: the file, or a row of it, cannot be used; names file and line, row or column.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise _unknown(path)
    try:
        found = islice(reader(path, Columns(columns, others or {})), most)
        rows = [checked(f"{path}: {place}", row) for place, row in found]
    except (OSError, ValueError) as error:  # a path may hold what no file system takes
        raise _unreadable(path, error) from error
    if not rows:
        raise DataError(f"{path}: has no rows", hint="add at least one row of data")
    return rows


def raw_rows(path: Path) -> Iterator[Mapping[str, str | None]]:
    """Every column of every row, as text; None for what is neither text nor a number.

    Unlike `read_rows` this takes what is there: rows of a jsonl file may differ in their columns.

    Raises:
        DataError: the file cannot be read.
    """
    readers = {".tsv": _tsv, ".csv": _csv}
    ending = path.suffix.lower()
    try:
        if ending in readers:
            yield from (row for _, row in readers[ending](path, AllColumns()))
        elif ending == ".jsonl":
            for number, found in _objects(path):
                yield _texts(f"{path}: line {number}", found)
        elif ending == ".parquet":
            for place, found in parquet_rows(path, AllColumns()):
                yield _texts(f"{path}: {place}", found)
        else:
            raise _unknown(path)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error


def _texts(where: str, found: Mapping[str, object]) -> dict[str, str | None]:
    row: dict[str, str | None] = {}
    for name, value in found.items():
        checked(where, {name: name})
        try:
            row[name] = checked(where, {name: as_text(where, name, value)})[name]
        except DataError:
            row[name] = None
    return row


def read_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 text file, one text each, without empty ones.

    Raises:
        DataError: the file cannot be used; names file and line.
    """
    try:
        lines = [line.removesuffix("\n") for _, line in _lines(path)]
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    texts = [line for line in lines if line.strip()]
    if not texts:
        raise DataError(f"{path}: is empty", hint="give it one text a line")
    return texts


def sha256_of(*splits: Iterable[Mapping[str, str]]) -> str:
    """The SHA-256, as hex, of the rows of each split, in order.

    It depends on values, row order and split borders, not on column order or file format.
    """
    content = [[dict(row) for row in split] for split in splits]
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


# Formats


def _tsv(path: Path, columns: Columns) -> Iterator[Placed]:
    """Rows split at tabs and nowhere else; a quote is a character like any other."""
    lines = _lines(path)
    table = ((number, line.removesuffix("\n").split("\t")) for number, line in lines)
    return _table(path, columns, table)


def _csv(path: Path, columns: Columns) -> Iterator[Placed]:
    """Rows as RFC 4180 has them; a row's line is the one it starts on."""
    return _table(path, columns, _csv_records(path))


def _csv_records(path: Path) -> Iterator[tuple[int, list[str]]]:
    records = csv.reader((line for _, line in _lines(path)), strict=True)
    start = 1
    with _long_fields():
        try:
            for fields in records:
                yield start, fields
                start = records.line_num + 1
        except csv.Error as error:
            raise DataError(
                f"{path}: line {start}: not valid CSV: {error}",
                hint='quote a field that holds a comma, a quote or a line break, and double its "',
            ) from error


@contextmanager
def _long_fields() -> Iterator[None]:
    """Set csv's limit on a field, which the module keeps per process, for one read."""
    before = csv.field_size_limit(MAX_FIELD)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _table(
    path: Path, columns: Columns, records: Iterator[tuple[int, list[str]]]
) -> Iterator[Placed]:
    """Name the fields of each record by the header, which is the first."""
    first = next(records, None)
    if first is None:
        raise DataError(f"{path}: is empty", hint="give it a header line and rows")
    header = first[1]
    _check_header(path, header)
    found = columns.find(f"{path}: line 1", header)
    at = {name: header.index(there) for name, there in found.items()}
    for number, fields in records:
        if len(fields) != len(header):
            raise DataError(
                f"{path}: line {number}: {len(fields)} instead of {len(header)} fields",
                hint=separated(header)
                or "give every row one field per column; a stray or missing separator?",
            )
        yield f"line {number}", {name: fields[i] for name, i in at.items()}


def _jsonl(path: Path, columns: Columns) -> Iterator[Placed]:
    """One JSON object a line; plain values become text."""
    for number, found in _objects(path):
        place = f"line {number}"
        where = f"{path}: {place}"
        at = columns.find(where, list(found))
        yield place, {name: as_text(where, name, found[there]) for name, there in at.items()}


def _objects(path: Path) -> Iterator[tuple[int, dict[str, object]]]:
    for number, line in _lines(path):
        place = f"line {number}"
        try:
            found: object = json.loads(line, object_pairs_hook=_unique)
        except (ValueError, RecursionError) as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
            raise DataError(
                f"{path}: {place}: not valid JSON: {reason}", hint="write one object per line"
            ) from error
        if not isinstance(found, dict):
            raise DataError(
                f"{path}: {place}: not a JSON object",
                hint='write {"column": "value", ...}, one object a line and no list around them',
            )
        yield number, found


_READERS: Mapping[str, Callable[[Path, Columns], Iterator[Placed]]] = {
    ".tsv": _tsv,
    ".csv": _csv,
    ".jsonl": _jsonl,
    ".parquet": read_parquet,
}


# Lines


def _unknown(path: Path) -> DataError:
    known = ", ".join(_READERS)
    return DataError(f"{path}: unknown file ending {path.suffix!r}", hint=f"use one of {known}")


def _unreadable(path: Path, error: OSError | ValueError) -> DataError:
    reason = getattr(error, "strerror", None) or clean(str(error).partition("\n")[0])
    return DataError(f"{path}: cannot be read: {reason}", hint="check the path")


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines, each ending in one newline; empty ones only where text follows."""
    empty = 0
    for number, line in _decoded(path):
        if line == "\n":
            empty += 1
            continue
        yield from ((number - back, "\n") for back in range(empty, 0, -1))
        empty = 0
        yield number, line


def _decoded(path: Path) -> Iterator[tuple[int, str]]:
    """Read line by line with a limit; a file without an end must not fill the memory."""
    offset = 0
    with path.open("rb") as file:
        for number, raw in enumerate(iter(lambda: file.readline(MAX_LINE + 1), b""), start=1):
            if len(raw) > MAX_LINE:
                raise DataError(
                    f"{path}: line {number} is longer than {MAX_LINE:,} bytes",
                    hint="is this a text file with one row per line?",
                )
            if 0 in raw:
                where = offset + raw.index(0)
                raise DataError(
                    f"{path}: line {number}: NUL byte at byte {where:,}",
                    hint="not a text file, or UTF-16: save it as UTF-8",
                )
            body = raw.removeprefix(_BOM) if number == 1 else raw
            yield number, _utf8(path, number, offset + len(raw) - len(body), body)
            offset += len(raw)


def _utf8(path: Path, number: int, offset: int, raw: bytes) -> str:
    """`raw` as text with one ``\\n`` at its end; `offset` is where it starts in the file."""
    try:
        line = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: line {number}: not UTF-8 at byte {offset + error.start:,}",
            hint="save the file as UTF-8 text",
        ) from error
    return line.removesuffix("\n").removesuffix("\r") + "\n"


# Checks


def _check_header(path: Path, header: list[str]) -> None:
    for position, name in enumerate(header, start=1):
        if not name:
            raise DataError(
                f"{path}: line 1: column {position} has no name",
                hint="the first line names the columns: name this one, or add that line",
            )
    if len(set(header)) < len(header):
        twice = next(name for i, name in enumerate(header) if name in header[:i])
        raise DataError(f"{path}: line 1: two columns {short(twice)}", hint="rename one of them")


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object's members; JSON lets a name stand twice, and then one value would vanish."""
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a name stands twice in one object")
    return members
