"""Rows of text -> labelled examples, naming file and row, column or value where that fails.

Knows one task's columns, label values and looks; neither splits nor models.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bdpl_async.data.columns import Row, short
from bdpl_async.data.datafile import read_rows
from bdpl_async.data.look import Look
from bdpl_async.errors import DataError
from bdpl_async.records import Example
from bdpl_async.tasktable import TaskTable

__all__ = ["Loader"]

SHOWN = 60  # characters of a text in a message


@dataclass(frozen=True, slots=True)
class Loader:
    """What turns rows into examples of one task."""

    table: TaskTable

    @property
    def columns(self) -> list[str]:
        """The columns a row must have: those of the templates, and the label."""
        return list(dict.fromkeys([*self.table.texts, self.table.label]))

    def read(self, file: Path, most: int | None = None) -> list[Example]:
        """The examples of a file, the first `most` alone if that is given.

        Raises:
            DataError: the file, or a row of it, does not fit the task.
        """
        rows = read_rows(file, self.columns, others=self.table.columns, most=most)
        return self.examples(str(file), rows)

    def examples(
        self, where: str, rows: Iterable[Row], spellings: Mapping[str, str] | None = None
    ) -> list[Example]:
        """Rows that hold `columns` as examples.

        Args:
            where: what messages name as their origin.
            rows: each with all of `columns`.
            spellings: of values, besides the task's own.

        Raises:
            DataError: a label has no word, or the texts look like those of another task.
        """
        index = {value: i for i, value in enumerate(self.table.labels)}
        for spelling, value in {**(spellings or {}), **self.table.values}.items():
            index.setdefault(spelling, index[value])
        texts, label = self.table.texts, self.table.label
        examples = []
        for number, row in enumerate(rows, start=1):
            if row[label] not in index:
                raise self._unknown(where, number, row[label])
            examples.append(Example({column: row[column] for column in texts}, index[row[label]]))
        self._look(where, examples)
        return examples

    def _unknown(self, where: str, number: int, value: str) -> DataError:
        known = list(self.table.labels)
        near = difflib.get_close_matches(value, known, n=1)
        bare = re.fullmatch(r"[\w-]{1,40}", value) is not None  # it may stand in a dotted key
        return DataError(
            f"{where}: row {number}: column {self.table.label!r} holds {value[:80]!r},"
            " which has no label word",
            hint=f"task.labels has {', '.join(map(repr, known[:20]))}"
            + (f"; did you mean {near[0]!r}?" if near else "")
            + (f"{' if not,' if near else '; or'} say what it means:" * bare)
            + (f" --set 'task.values.{value}=\"LABEL\"'" * bare),
        )

    def _look(self, where: str, examples: list[Example]) -> None:
        for column, text in self.table.looks.items():
            look = Look.parse(text)
            if missed := look.miss([example.columns[column] for example in examples]):
                right, of, odd = missed
                shown = examples[odd].columns[column]
                raise DataError(
                    f"{where}: column {short(column)}: {right} of {of} rows look like those of"
                    f" {self.table.name} ({look.words}); row {odd + 1} does not:"
                    f" {shown[:SHOWN]!r}{'...' * (len(shown) > SHOWN)}",
                    hint=f"data of another task? if not: --set 'task.looks.{column}=.*'",
                )
