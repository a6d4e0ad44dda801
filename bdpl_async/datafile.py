"""Rows of text out of tsv, csv, jsonl and parquet files, or one clear error.

Every problem is a `DataError` that names the file, and the row, line or column. Files are read in
bounded pieces, so that no file, however broken, fills the memory with one line. This module knows
columns and text; it knows neither labels nor templates.
"""

from __future__ import annotations

import csv
import difflib
import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from bdpl_async.errors import DataError

__all__ = ["read_lines", "read_rows", "sha256_of"]

MAX_LINE = 10_000_000
"""Bytes in one line; a longer one means that this is no text file."""

MAX_FIELD = 1_000_000
"""Characters in one value; no model reads that far."""

_BOM = b"\xef\xbb\xbf"

Row = dict[str, str]
Placed = tuple[str, Row]
"""Where a row stands in its file ("line 3"), and the columns asked for."""


def read_rows(path: Path, columns: Sequence[str]) -> list[Row]:
    """The named columns of every row, as text, in file order.

    Other columns are not looked at. Files are UTF-8, with or without a byte order mark; lines end
    at ``\\n`` or ``\\r\\n`` and nowhere else; empty lines at the end are dropped.

    Raises:
        DataError: the file, or a row of it, cannot be used; names file and line, row or column.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        known = ", ".join(_READERS)
        raise DataError(f"{path}: unknown file ending {path.suffix!r}", hint=f"use one of {known}")
    try:
        rows = [_checked(path, place, row) for place, row in reader(path, columns)]
    except (OSError, ValueError) as error:  # a path may hold what no file system takes
        raise _unreadable(path, error) from error
    if not rows:
        raise DataError(f"{path}: has no rows", hint="add at least one row of data")
    return rows


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


def _tsv(path: Path, columns: Sequence[str]) -> Iterator[Placed]:
    """Rows split at tabs and nowhere else; a quote is a character like any other."""
    lines = _lines(path)
    table = ((number, line.removesuffix("\n").split("\t")) for number, line in lines)
    return _table(path, columns, table)


def _csv(path: Path, columns: Sequence[str]) -> Iterator[Placed]:
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
    path: Path, columns: Sequence[str], records: Iterator[tuple[int, list[str]]]
) -> Iterator[Placed]:
    """Name the fields of each record by the header, which is the first."""
    first = next(records, None)
    if first is None:
        raise DataError(f"{path}: is empty", hint="give it a header line and rows")
    header = first[1]
    _check_header(path, header)
    _check_columns(path, "line 1", header, columns)
    at = {name: header.index(name) for name in columns}
    for number, fields in records:
        if len(fields) != len(header):
            raise DataError(
                f"{path}: line {number}: {len(fields)} instead of {len(header)} fields",
                hint="give every row one field per column; a stray or missing separator?",
            )
        yield f"line {number}", {name: fields[i] for name, i in at.items()}


def _jsonl(path: Path, columns: Sequence[str]) -> Iterator[Placed]:
    """One JSON object a line; plain values become text."""
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
                f"{path}: {place}: not a JSON object", hint='write {"column": "value", ...}'
            )
        _check_columns(path, place, list(found), columns)
        yield place, {name: _text(path, place, name, found[name]) for name in columns}


def _parquet(path: Path, columns: Sequence[str]) -> Iterator[Placed]:
    """The rows of a parquet file, through pyarrow where it is installed."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise DataError(
            f"{path}: reading parquet needs pyarrow", hint="pip install 'bdpl-async[hub]'"
        ) from error
    try:
        with path.open("rb") as raw, pyarrow.parquet.ParquetFile(raw) as file:
            _check_columns(path, "schema", list(file.schema_arrow.names), columns)
            batches = file.iter_batches(batch_size=1000, columns=list(columns))
            rows = (row for batch in batches for row in batch.to_pylist())
            for number, row in enumerate(rows, start=1):
                place = f"row {number}"
                yield place, {name: _text(path, place, name, row[name]) for name in columns}
    except pyarrow.ArrowException as error:
        reason = str(error).partition("\n")[0]
        raise DataError(f"{path}: not readable parquet: {reason}", hint="write it anew") from error


_READERS: Mapping[str, Callable[[Path, Sequence[str]], Iterator[Placed]]] = {
    ".tsv": _tsv,
    ".csv": _csv,
    ".jsonl": _jsonl,
    ".parquet": _parquet,
}


# Lines


def _unreadable(path: Path, error: OSError | ValueError) -> DataError:
    reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
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
            raise DataError(f"{path}: line 1: column {position} has no name", hint="name it")
    if len(set(header)) < len(header):
        twice = next(name for i, name in enumerate(header) if name in header[:i])
        raise DataError(f"{path}: line 1: two columns {_short(twice)}", hint="rename one of them")


def _check_columns(path: Path, place: str, there: Sequence[str], wanted: Sequence[str]) -> None:
    """Refuse when a wanted column is not there, and guess what was meant."""
    for name in wanted:
        if name not in there:
            names = ", ".join(_short(one) for one in there[:20]) or "none"
            near = difflib.get_close_matches(name, there[:200], n=1)
            guess = f"did you mean {_short(near[0])}? " if near else ""
            raise DataError(
                f"{path}: {place}: no column {_short(name)}",
                hint=f"{guess}columns there are: {names}{', ...' * (len(there) > 20)}",
            )


def _checked(path: Path, place: str, row: Row) -> Row:
    """The row itself, if every value is text that can be sent."""
    for name, value in row.items():
        if flaw := _flaw(value):
            problem = f"{path}: {place}: column {_short(name)} {flaw}"
            raise DataError(problem, hint="mend or drop the row")
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


def _text(path: Path, place: str, column: str, value: object) -> str:
    """A plain value as text: True is "true", 1 is "1", 1.0 is "1.0"."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return repr(value)
    kind = "null" if value is None else type(value).__name__
    raise DataError(
        f"{path}: {place}: column {_short(column)} holds {kind}, not text or a number",
        hint="write it as text, or drop the row",
    )


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object's members; JSON lets a name stand twice, and then one value would vanish."""
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a name stands twice in one object")
    return members


def _short(name: str) -> str:
    """A name as it may stand in a message: quoted, escaped, and not too long."""
    return repr(name if len(name) <= 60 else name[:57] + "...")
