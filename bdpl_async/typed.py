"""Records that were read back from a file, held to the types that their class declares.

Knows dataclasses of texts, numbers, tuples, mappings and other such dataclasses; no file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

__all__ = ["typed"]

Record = TypeVar("Record")
Check = Callable[[Any], None]
"""Raises TypeError for a value of another type, naming the part of it."""


def typed(record: Record) -> Record:
    """`record`, every field of which is of its declared type, however deep; an int may be a float.

    Raises:
        TypeError: names the first field that is not.
    """
    kind: Any = type(record)
    _of(kind)(record)
    return record


@cache
def _of(kind: Any) -> Check:
    """The check of a declared type."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return _one_of(parts)
    if origin is tuple:
        return _all_of(parts)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _mapping_of(*map(_of, parts))
    if is_dataclass(kind):
        return _record_of(kind)
    allowed = (float, int) if kind is float else (kind,)

    def check(value: Any) -> None:
        if not isinstance(value, allowed) or (isinstance(value, bool) and kind is not bool):
            raise TypeError(f"{type(value).__name__} instead of {kind.__name__}")

    return check


def _one_of(parts: tuple[Any, ...]) -> Check:
    """Of an optional type; no other union is declared anywhere."""
    (some,) = (_of(part) for part in parts if part is not NoneType)

    def check(value: Any) -> None:
        if value is not None:
            some(value)

    return check


def _all_of(parts: tuple[Any, ...]) -> Check:
    """Of ``tuple[X, ...]`` or ``tuple[X, X]``."""
    each, count = _of(parts[0]), None if parts[-1] is ... else len(parts)

    def check(value: Any) -> None:
        if not isinstance(value, tuple) or count not in (None, len(value)):
            raise TypeError(f"not {count or 'a list'} of values")
        for place, one in enumerate(value):
            _within(f"[{place}]", each, one)

    return check


def _mapping_of(names: Check, values: Check) -> Check:
    def check(value: Any) -> None:
        if not isinstance(value, Mapping):
            raise TypeError(f"{type(value).__name__} instead of names and values")
        for name, one in value.items():
            names(name)
            _within(f".{str(name)[:80]}", values, one)

    return check


def _record_of(kind: Any) -> Check:
    hints = get_type_hints(kind)
    checks = [(field.name, _of(hints[field.name])) for field in fields(kind)]

    def check(value: Any) -> None:
        if not isinstance(value, kind):
            raise TypeError(f"{type(value).__name__} instead of {kind.__name__}")
        for name, one in checks:
            _within(f".{name}", one, getattr(value, name))

    return check


def _within(place: str, check: Check, value: Any) -> None:
    """Check a part, and say in an error where it stands."""
    try:
        check(value)
    except TypeError as error:
        where, mark, what = str(error).rpartition(": ")
        raise TypeError(f"{place}{where}{mark or ': '}{what}") from None
