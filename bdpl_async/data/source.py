"""Where a task's examples come from: files on disk, or a data set on the hub.

A file that does not fit is refused with what it looks like, where that is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bdpl_async.data.columns import Columns
from bdpl_async.data.datafile import read_rows
from bdpl_async.data.hub import hub_rows
from bdpl_async.data.likeness import resembling
from bdpl_async.data.loader import Loader
from bdpl_async.data.splits import Source
from bdpl_async.errors import ConfigError, DataError
from bdpl_async.records import Example
from bdpl_async.tasktable import HubTable, TaskTable

__all__ = ["source_of"]

NO_LABELS = "GLUE's own test files have none: without that file the dev file is the test set"


def source_of(table: TaskTable) -> Source:
    """The files that the table names, or else its data set on the hub.

    Raises:
        ConfigError: it has neither.
    """
    named = {"train": table.train, "dev": table.dev, "test": table.test}
    files = {split: file for split, file in named.items() if file is not None}
    if "train" in files:
        return _Files(Loader(table), files)
    if files:
        raise ConfigError(f"task.{min(files)} is given, and task.train is not", hint="name both")
    if table.hub is None:
        raise ConfigError(
            f"{table.name}: no data",
            hint="give a folder with train|dev|test.{tsv,csv,jsonl,parquet}: --data DIR",
        )
    return _Hub(Loader(table), table.hub)


@dataclass(frozen=True, slots=True)
class _Files:
    """One file a split."""

    loader: Loader
    splits: Mapping[str, str]

    def name(self, split: str) -> str:
        """The file."""
        return self.splits[split]

    def read(self, split: str) -> list[Example]:
        """The file's examples.

        Raises:
            DataError: it does not fit; for a task of the paper with what it looks like instead.
        """
        file = Path(self.splits[split])
        try:
            return self.loader.read(file)
        except DataError as error:
            if self.loader.table.protocol != "paper":
                raise
            raise DataError(error.args[0], hint=self._better(split, file, error)) from None

    def _better(self, split: str, file: Path, error: DataError) -> str | None:
        """The hint of `error`, after a better one where there is one."""
        if split == "test" and self._unlabelled(file):
            better = NO_LABELS
        else:
            like = resembling(file)
            if not like or self.loader.table.name in like:
                return error.hint
            better = f"it looks like data of the built-in task {' or '.join(like)}"
        return "; ".join(filter(None, (better, error.hint)))

    def _unlabelled(self, file: Path) -> bool:
        """Whether the file is right but for its labels, which are missing, or -1 for unknown."""
        table = self.loader.table
        try:
            read_rows(file, table.texts, others=table.columns, most=1)
        except DataError:
            return False
        try:
            row = read_rows(file, [table.label], others=table.columns, most=1)[0]
        except DataError:
            return True
        return row[table.label] == "-1"


@dataclass(frozen=True, slots=True)
class _Hub:
    """A data set of the hub."""

    loader: Loader
    hub: HubTable

    @property
    def splits(self) -> dict[str, str]:
        """What the hub calls each split that there is."""
        named = {"train": self.hub.train, "dev": self.hub.dev, "test": self.hub.test}
        return {split: there for split, there in named.items() if there is not None}

    def name(self, split: str) -> str:
        """The data set and what the hub calls the split."""
        return f"hub data set {self.hub.path}, split {self.splits[split]}"

    def read(self, split: str) -> list[Example]:
        """The examples of a split, downloaded if they must be."""
        table = self.loader.table
        columns = Columns(self.loader.columns, table.columns)
        rows = hub_rows(table.name, self.hub, self.splits[split], columns)
        return self.loader.examples(self.name(split), rows, self.hub.values)
