"""Rows of a data set on the Hugging Face hub, through the library `datasets`.

The library is imported when it is needed; nothing else here touches the network. It keeps what it
downloaded in a cache of its own and reads that where the hub cannot be reached.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import Protocol, cast

from bdpl_async.data.columns import Columns, Row, as_text, checked
from bdpl_async.errors import (
    BdplError,
    ConfigError,
    DataError,
    ProviderRefused,
    ProviderUnavailable,
)
from bdpl_async.tasktable import HubTable

__all__ = ["hub_rows"]

REASON = 300  # characters of the library's own message
MISTAKES = (ValueError, KeyError, TypeError, NotImplementedError)  # an unknown subset or split
HINT = "--data DIR reads files from your disk instead"


class _Data(Protocol):
    """As much of `datasets.Dataset` as is used; rows are plain dictionaries."""

    def __iter__(self) -> Iterator[Mapping[str, object]]: ...


class _Table(Protocol):
    """What a real one can do besides."""

    def select_columns(self, names: list[str]) -> _Table: ...
    def iter(self, batch_size: int) -> Iterator[Mapping[str, Sequence[object]]]: ...


class _Library(Protocol):
    def load_dataset(
        self, path: str, name: str | None, *, split: str, revision: str | None
    ) -> _Data: ...


def hub_rows(task: str, hub: HubTable, split: str, columns: Columns) -> Iterator[Row]:
    """The wanted columns of every row of one split, as text; classes by their names.

    Args:
        task: the name of the task, for messages.
        hub: the data set.
        split: what the hub calls it.
        columns: what is wanted of it.

    Raises:
        ConfigError: `datasets` is not installed, or the data set has no such subset or split.
        DataError: a row or column is not what the task needs.
        ProviderRefused: the hub does not give this data set to you.
        ProviderUnavailable: the hub cannot be reached.
    """
    where = _called(hub, split)
    data = _load(_library(task, hub), hub, split, where)
    classes = _classes(data)
    at: dict[str, str] = {}
    try:
        for number, row in enumerate(_rows(data, columns), start=1):
            at = at or columns.find(where, list(row))
            place = f"{where}: row {number}"
            named = {name: _named(row[there], classes.get(there)) for name, there in at.items()}
            yield checked(place, {n: as_text(place, n, value) for n, value in named.items()})
    except BdplError:
        raise
    except Exception as error:  # what a library on the network raises is not ours to list
        raise _trouble(error, hub, where) from error
    if not at:
        raise DataError(f"{where}: has no rows", hint=HINT)


def _called(hub: HubTable, split: str) -> str:
    return f"hub data set {'/'.join(filter(None, (hub.path, hub.name)))}, split {split}"


def _library(task: str, hub: HubTable) -> _Library:
    try:
        return cast(_Library, import_module("datasets"))
    except ImportError:
        raise ConfigError(
            f"{task}: no data: give a folder with --data DIR, or let the hub's {hub.path} come"
            " through the library datasets, which is not installed",
            hint="--data DIR, with train|dev|test.{tsv,csv,jsonl,parquet}, or"
            " pip install 'bdpl-async[hub]'",
        ) from None


def _load(library: _Library, hub: HubTable, split: str, where: str) -> _Data:
    try:
        return library.load_dataset(hub.path, hub.name, split=split, revision=hub.revision)
    except Exception as error:  # likewise
        raise _trouble(error, hub, where) from error


def _trouble(error: Exception, hub: HubTable, where: str) -> BdplError:
    """What stopped the library, as an error of ours."""
    reason = " ".join(str(error).split())[:REASON] or type(error).__name__
    if "NotFound" in type(error).__name__ or "Gated" in type(error).__name__:
        return ProviderRefused(
            f"{where}: the hub does not give it: {reason}", hint=HINT, fate="unsent"
        )
    if isinstance(error, MISTAKES):
        return ConfigError(f"{where}: cannot be used: {reason}", hint=f"see task.hub; or {HINT}")
    return ProviderUnavailable(
        f"{where}: the hub cannot be reached: {reason}",
        hint=f"try again when there is a network; {HINT}",
        fate="unsent",
    )


def _rows(data: _Data, columns: Columns) -> Iterator[Mapping[str, object]]:
    """The rows; of a real data set by the thousand and without the columns that nobody wants."""
    names = getattr(data, "column_names", None)
    if not isinstance(names, list) or not hasattr(data, "iter"):
        yield from data
        return
    table = cast(_Table, data)
    wanted = {one for name in columns.names for one in (name, *columns.others.get(name, ()))}
    if kept := [name for name in names if name in wanted]:
        table = table.select_columns(kept)
    for batch in table.iter(batch_size=1000):
        for values in zip(*batch.values(), strict=True):
            yield dict(zip(batch, values, strict=True))


def _classes(data: _Data) -> dict[str, Sequence[str]]:
    """What the classes of each column are called, where the data set says so."""
    features = getattr(data, "features", None)
    if not isinstance(features, Mapping):
        return {}
    named = {column: getattr(feature, "names", None) for column, feature in features.items()}
    return {str(column): names for column, names in named.items() if isinstance(names, list)}


def _named(value: object, names: Sequence[str] | None) -> object:
    """The name of a class; a number beyond the names, such as -1 for unknown, stays."""
    if names and type(value) is int and 0 <= value < len(names):
        return names[value]
    return value
