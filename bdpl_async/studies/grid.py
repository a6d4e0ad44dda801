"""A sweep: one task, what is varied over it, and the cells that come of it.

Whether a key is one that a task has, and a value one that it takes, is not known here: that is
seen when the cells are loaded. The file that spells a sweep is read in `gridfile`.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bdpl_async.overrides import Value

__all__ = ["SEED", "Point", "Sweep", "short"]

SEED: Final = "run.seed"
LONGEST: Final = 60  # characters of a value or a folder's name, its hash aside

Values = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Point:
    """One cell of the grid: what is varied, dotted key -> value."""

    values: Values

    @property
    def label(self) -> str:
        """For a person: ``k_shot=4 seed=0``."""
        return " ".join(f"{short(key)}={str(v)[:LONGEST]}" for key, v in self.values.items())

    @property
    def folder(self) -> str:
        """The name of its RUN_DIR: readable, and another one for other values."""
        text = json.dumps(dict(self.values), sort_keys=True)
        readable = re.sub(r"[^\w.]+", "-", self.label)[:LONGEST].strip("-")
        return f"{readable}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


@dataclass(frozen=True, slots=True)
class Sweep:
    """A sweep, resolved: it means the same wherever its file is read.

    Attributes:
        source: the file, for messages.
        task: a built-in name, or an absolute path.
        shared: laid over the task in every cell.
        grid: key -> the values that it takes.
        cells: combinations picked by hand, all with the same keys; none is one empty combination.
        x: what is drawn to the right.
        series: what has a colour each, where the file says so.
    """

    source: Path
    name: str
    task: str
    out: Path | None
    shared: Values
    grid: Mapping[str, Sequence[Value]]
    cells: Sequence[Values]
    x: str
    series: str | None

    @property
    def keys(self) -> tuple[str, ...]:
        """What is varied, in the order of the file."""
        return tuple([*(self.cells[0] if self.cells else ()), *self.grid])

    @property
    def points(self) -> list[Point]:
        """All cells; the last key varies fastest."""
        return [
            Point({**picked, **dict(zip(self.grid, values, strict=True))})
            for picked in self.cells or [{}]
            for values in itertools.product(*self.grid.values())
        ]

    def to_toml(self) -> str:
        """The sweep as TOML that `read_sweep` reads back; where it goes is left out."""
        import tomli_w

        drawn = {"x": self.x} | ({"series": self.series} if self.series else {})
        tables = {
            "set": dict(self.shared),
            "grid": {key: list(values) for key, values in self.grid.items()},
            "cells": [dict(picked) for picked in self.cells],
            "sweep": {"name": self.name, **drawn},
        }
        return tomli_w.dumps({"task": self.task} | {k: v for k, v in tables.items() if v})

    def within(self, other: Sweep) -> bool:
        """Whether `other` is this sweep, or this one with cells added; drawing does not count."""
        same = (self.task, dict(self.shared)) == (other.task, dict(other.shared))
        folders = {point.folder for point in other.points}
        return same and {point.folder for point in self.points} <= folders


def short(key: str) -> str:
    """The last part of a dotted key."""
    return key.rpartition(".")[2]
