"""Rows out of a parquet file, through pyarrow where it is installed.

Files of the Hugging Face hub keep classes as numbers and say in their metadata what each is called;
a row then holds the name, since the numbers differ from copy to copy of the same data.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bdpl_async.data.columns import Columns, Row, as_text
from bdpl_async.errors import DataError
from bdpl_async.markup import clean

__all__ = ["parquet_rows", "read_parquet"]


def read_parquet(path: Path, columns: Columns) -> Iterator[tuple[str, Row]]:
    """The place and the wanted columns of every row, as text.

    Raises:
        DataError: pyarrow is not there, or the file or a row cannot be used.
    """
    for place, row in parquet_rows(path, columns):
        where = f"{path}: {place}"
        yield place, {name: as_text(where, name, value) for name, value in row.items()}


def parquet_rows(path: Path, columns: Columns) -> Iterator[tuple[str, dict[str, object]]]:
    """The place and the wanted columns of every row, as they are; classes by their names.

    Raises:
        DataError: pyarrow is not there, or the file cannot be used.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise DataError(
            f"{path}: reading parquet needs pyarrow", hint="pip install 'bdpl-async[hub]'"
        ) from error
    try:
        with path.open("rb") as raw, pyarrow.parquet.ParquetFile(raw) as file:
            at = columns.find(f"{path}: schema", list(file.schema_arrow.names))
            classes = _classes(file.schema_arrow.metadata or {})
            batches = file.iter_batches(batch_size=1000, columns=list(set(at.values())))
            rows = (row for batch in batches for row in batch.to_pylist())
            for number, row in enumerate(rows, start=1):
                named = {
                    name: _named(row[there], classes.get(there, ())) for name, there in at.items()
                }
                yield f"row {number}", named
    except pyarrow.ArrowException as error:
        reason = clean(str(error).partition("\n")[0])
        raise DataError(f"{path}: not readable parquet: {reason}", hint="write it anew") from error


def _classes(metadata: Mapping[bytes, bytes]) -> dict[str, Sequence[str]]:
    """What the classes of each column are called, where the file says so."""
    try:
        found: object = json.loads(metadata.get(b"huggingface", b"{}"))
    except (ValueError, RecursionError):
        return {}
    for key in ("info", "features"):
        found = found.get(key, {}) if isinstance(found, dict) else {}
    features = found if isinstance(found, dict) else {}
    named = {
        column: feature["names"]
        for column, feature in features.items()
        if isinstance(feature, dict) and isinstance(feature.get("names"), list)
    }
    return {
        column: names
        for column, names in named.items()
        if all(isinstance(name, str) for name in names)
    }


def _named(value: object, names: Sequence[str]) -> object:
    """The name of a class; a number beyond the names, such as -1 for unknown, stays."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(names):
        return names[value]
    return value
