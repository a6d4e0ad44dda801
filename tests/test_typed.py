"""Records from files are held to the types that their classes declare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import pytest

from bdpl_async.typed import typed


@dataclass(frozen=True, slots=True)
class Inner:
    number: float
    pair: tuple[float, float] = (0.0, 1.0)


@dataclass(frozen=True, slots=True)
class Outer:
    kind: ClassVar[str] = "outer"
    name: str
    count: int = 1
    maybe: Inner | None = None
    many: tuple[str, ...] = ()
    words: Mapping[str, str] = field(default_factory=dict)


def test_what_fits_comes_back_itself() -> None:
    """The same object, whole numbers among the floats."""
    record = Outer("a", 2, Inner(1, (0, 0.5)), ("x",), {"k": "v"})
    assert typed(record) is record
    assert typed(Outer("a")).maybe is None


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"name": 5}, ".name: int instead of str"),
        ({"name": None}, ".name: NoneType instead of str"),
        ({"count": 1.5}, ".count: float instead of int"),
        ({"count": True}, ".count: bool instead of int"),
        ({"maybe": {"number": 1}}, ".maybe: dict instead of Inner"),
        ({"maybe": Inner("x")}, ".maybe.number: str instead of float"),  # type: ignore[arg-type]
        ({"maybe": Inner(True)}, ".maybe.number: bool instead of float"),
        ({"maybe": Inner(1, (1, 2, 3))}, ".maybe.pair: not 2 of values"),  # type: ignore[arg-type]
        ({"many": ["x"]}, ".many: not a list of values"),
        ({"many": ("x", None)}, ".many[1]: NoneType instead of str"),
        ({"words": {"a": 1}}, ".words.a: int instead of str"),
        ({"words": [1]}, ".words: list instead of names and values"),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, Any], where: str) -> None:
    """The path to the first field of another type, and what it should be."""
    with pytest.raises(TypeError) as caught:
        typed(replace(Outer("a"), **change))
    assert str(caught.value) == where
