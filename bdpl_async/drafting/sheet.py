"""What a data file looks like, column by column: one pass over the rows, in bounded memory.

Knows files and values; not what a label or a text is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bdpl_async.data.columns import separated, short
from bdpl_async.data.datafile import raw_rows
from bdpl_async.errors import DataError

__all__ = ["Column", "Sheet", "look_at"]

MOST_VALUES = 300  # different values that are told apart; a column with more has many
SAMPLED = 400  # values of a column that are kept to look at
LONG_NAME = 60  # characters; a header cell beyond them is a text


@dataclass(slots=True)
class Column:
    """One column.

    Attributes:
        rows: that have it.
        empty: rows in which it is empty or blank.
        unusable: rows in which it is neither text nor a number.
        first_empty: the first such row, from 1; None if there is none.
        characters: of all values together.
        longest: characters of the longest value.
        values: how often each value stands there; None if there are more than `MOST_VALUES`.
        sample: some of the first values that are not empty.
    """

    name: str
    rows: int = 0
    empty: int = 0
    unusable: int = 0
    first_empty: int | None = None
    characters: int = 0
    longest: int = 0
    values: Counter[str] | None = field(default_factory=Counter)
    sample: list[str] = field(default_factory=list)

    def add(self, value: str | None, row: int) -> None:
        """Take in the value of one row, the rows in order."""
        self.rows += 1
        if value is None:
            self.unusable += 1
            return
        if not value or value.isspace():
            self.empty += 1
            self.first_empty = self.first_empty or row
        elif len(self.sample) < SAMPLED:
            self.sample.append(value)
        self.characters += len(value)
        self.longest = max(self.longest, len(value))
        if self.values is not None:
            self.values[value] += 1
            if len(self.values) > MOST_VALUES:
                self.values = None

    @property
    def mean(self) -> float:
        """Characters of a value that is not empty, on average."""
        return self.characters / max(1, self.rows - self.empty - self.unusable)

    @property
    def distinct(self) -> float:
        """The share of different values among those in the sample, from 0 to 1."""
        return len(set(self.sample)) / max(1, len(self.sample))

    @property
    def words(self) -> float:
        """Words of a value of the sample, on average."""
        return sum(len(value.split()) for value in self.sample) / max(1, len(self.sample))

    @property
    def numeric(self) -> bool:
        """Whether all values of the sample are numbers."""
        return bool(self.sample) and all(map(_number, self.sample))


@dataclass(frozen=True, slots=True)
class Sheet:
    """One file.

    Attributes:
        rows: of it.
        columns: that every row has, by name, in the file's order.
    """

    path: Path
    rows: int
    columns: dict[str, Column]


def look_at(path: Path) -> Sheet:
    """Read the whole file once.

    Raises:
        DataError: the file cannot be read, has no rows, or its first line seems to be one of them.
    """
    columns: dict[str, Column] = {}
    count = 0
    for count, row in enumerate(raw_rows(path), start=1):
        for name, value in row.items():
            if name not in columns:
                columns[name] = Column(name)
            columns[name].add(value, count)
    if not count:
        raise DataError(f"{path}: has no rows", hint="add at least one row of data")
    _refuse_one_column(path, list(columns))
    if path.suffix.lower() in (".csv", ".tsv"):
        _refuse_headless(path, columns)
    whole = {name: column for name, column in columns.items() if column.rows == count}
    return Sheet(path, count, whole)


def _refuse_one_column(path: Path, names: Sequence[str]) -> None:
    """See to it that a file with one column really has one.

    Raises:
        DataError: it seems to have several, parted by something else.
    """
    if hint := separated(names):
        raise DataError(f"{path}: line 1: a single column, {short(names[0])}", hint=hint)


def _refuse_headless(path: Path, columns: dict[str, Column]) -> None:
    """See to it that the first line names the columns.

    Raises:
        DataError: a name there is a number, a text, or one of its column's few values.
    """
    for column in columns.values():
        name = column.name
        few = column.values is not None and len(column.values) <= column.rows / 2
        among = few and column.values is not None and name in column.values
        if _number(name) or len(name) > LONG_NAME or among:
            example = path.suffix.lower().removeprefix(".")
            mark = "\t" if example == "tsv" else ","
            shown = mark.join(["text", "label"]).replace("\t", "<TAB>")
            raise DataError(
                f"{path}: line 1: {short(name)} looks like a value, not like a column's name",
                hint=f"put a line on top that names the columns, such as {shown}",
            )


def _number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return value.strip().lower() not in ("nan", "inf", "infinity", "-inf")
