"""SWEEP.toml: one task, and what is varied over it, read and checked.

    task = "reviews"                # a built-in name, or a TASK.toml relative to this file
    [set]                           # laid over the task in every cell; dotted keys or tables
    "optimizer.steps" = 100
    [grid]                          # every combination is a cell; any TOML key of a task
    "task.k_shot" = [4, 8, 16]
    "run.seed" = [0, 1, 2]
    [[cells]]                       # optional: combinations picked by hand, each with all of [grid]
    "model.name" = "vllm/tiny"
    "model.base_url" = "http://127.0.0.1:8101/v1"
    [sweep]                         # optional
    name = "data size"              # default: the file's name
    out = "runs/data-size"          # default: runs/NAME where the command is given
    x = "task.k_shot"               # default: the first key that is not run.seed
    series = "optimizer.loss"       # default: the next one that makes a difference

Whether a key is one that a task has, and a value one that it takes, is not known here: that is
seen when the cells are loaded.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, ValidationError

from bdpl_async.config import builtin_tasks
from bdpl_async.data.textfile import exists, read_text
from bdpl_async.errors import ConfigError
from bdpl_async.keyerrors import explain
from bdpl_async.overrides import Value
from bdpl_async.studies.grid import SEED, Sweep
from bdpl_async.table import Filled, Table

__all__ = ["read_sweep"]

MOST_CELLS: Final = 10_000
MOST_BYTES: Final = 1_000_000
OURS: Final = {
    "run.out": "[sweep] out, or --out, says where a sweep goes",
    "run.ui": "give --ui on the command line",
    "run.yes": "a sweep never asks",
}
KEY: Final = re.compile(r"[a-z_]+(\.[\w-]+)+")

Values = Mapping[str, Value]


class _SweepTable(Table):
    """[sweep]: what it is called, where it goes and what is drawn."""

    name: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    out: Filled | None = None
    x: Filled | None = None
    series: Filled | None = None


class _File(Table):
    """The whole file, its keys still as nested as they were written."""

    task: Filled
    set: dict[str, object] = Field(default_factory=dict)
    grid: dict[str, object] = Field(default_factory=dict)
    cells: list[dict[str, object]] = Field(default_factory=list)
    sweep: _SweepTable = _SweepTable()


def read_sweep(
    path: Path,
    *,
    given: Values | None = None,
    seeds: int | None = None,
    paths: Collection[str] = (),
) -> Sweep:
    """Read a SWEEP.toml.

    Args:
        path: the file.
        given: dotted keys that win over [set], as from a command line.
        seeds: N for the seeds 0..N-1, instead of those of the file.
        paths: keys whose values are file names; in the file they count from the file's folder.

    Raises:
        ConfigError: the file cannot be read, or a key of it cannot be used; names file and key.
    """
    file = _checked(path)
    folder = path.absolute().parent
    reader = _Reader(path, folder, paths)
    shared = reader.single("[set]", file.set) | dict(given or {})
    cells = [reader.single("[[cells]]", picked) for picked in file.cells]
    grid = reader.lists(file.grid)
    if seeds is not None:
        grid = _seeded(grid, seeds)
    keys = _keys(path, cells, grid)
    picked = cells[0] if cells else {}
    _refuse_twice(path, {"[set] or an option": shared, "[[cells]]": picked, "[grid]": grid})
    drawn = file.sweep
    return Sweep(
        source=path,
        name=drawn.name or path.stem,
        task=_task(path, file.task, folder),
        out=None if drawn.out is None else folder / Path(drawn.out).expanduser(),
        shared=shared,
        grid=grid,
        cells=cells,
        x=_x(path, keys, drawn.x, drawn.series),
        series=drawn.series,
    )


def _checked(path: Path) -> _File:
    text = read_text(path, most=MOST_BYTES, hint="SWEEP is a .toml file, see sweep --help")
    try:
        tables: dict[str, object] = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not TOML: {str(error)[:200]}") from None
    try:
        return _File.model_validate(tables)
    except ValidationError as error:
        raise explain(error, _File, source=str(path), text=text, overrides={}) from None


def _task(source: Path, name: str, folder: Path) -> str:
    path = folder / Path(name).expanduser()
    if name in builtin_tasks() and not exists(path):
        return name
    if path.suffix == ".toml" or exists(path):
        return str(path)
    raise ConfigError(
        f"{source}: task: {name[:80]!r} is neither a built-in task nor a file beside this one",
        hint=f"built in: {', '.join(builtin_tasks())}",
    )


def _seeded(grid: dict[str, list[Value]], seeds: int) -> dict[str, list[Value]]:
    if not 1 <= seeds <= MOST_CELLS:
        raise ConfigError(f"--seeds {seeds}: must be from 1 to {MOST_CELLS:,}")
    return {**grid, SEED: list(range(seeds))}


def _keys(
    source: Path, cells: Sequence[Values], grid: Mapping[str, Sequence[Value]]
) -> tuple[str, ...]:
    """What is varied; there is something, and not too much of it."""
    keys = tuple([*(cells[0] if cells else ()), *grid])
    if not keys:
        raise ConfigError(
            f"{source}: [grid] is empty: nothing is varied",
            hint='give a key its values, as in "task.k_shot" = [4, 8, 16]',
        )
    for number, picked in enumerate(cells, start=1):
        if picked.keys() != cells[0].keys():
            raise ConfigError(f"{source}: [[cells]] number {number} has other keys than the first")
    if len({frozenset(picked.items()) for picked in cells}) < len(cells):
        raise ConfigError(f"{source}: [[cells]]: the same combination stands there twice")
    count = math.prod(map(len, grid.values())) * max(1, len(cells))
    if count > MOST_CELLS:
        raise ConfigError(f"{source}: [grid] has {count:,} cells, more than {MOST_CELLS:,}")
    return keys


def _x(source: Path, keys: Sequence[str], x: str | None, series: str | None) -> str:
    for name, key in (("x", x), ("series", series)):
        if key is not None and key not in keys:
            raise ConfigError(
                f"{source}: sweep.{name}: {key[:80]!r} is not varied",
                hint=f"varied are {', '.join(keys)}",
            )
    if x is not None and x == series:
        raise ConfigError(f"{source}: sweep.x and sweep.series are the same key")
    free = [key for key in keys if key not in (SEED, series)]
    return x or (free or [SEED])[0]


def _refuse_twice(source: Path, places: Mapping[str, Collection[str]]) -> None:
    """See to it that no key is given in two places, of which only one could count."""
    seen: dict[str, str] = {}
    for place, keys in places.items():
        for key in keys:
            if key in seen:
                raise ConfigError(
                    f"{source}: {key}: given in {seen[key]} and in {place}",
                    hint="give it in one of them",
                )
            seen[key] = place


@dataclass(frozen=True, slots=True)
class _Reader:
    """Keys and values as somebody wrote them -> dotted keys and plain values."""

    source: Path
    folder: Path
    paths: Collection[str]

    def single(self, where: str, table: Mapping[str, object]) -> dict[str, Value]:
        """One value a key."""
        flat = self._flat(where, table)
        return {key: self._value(f"{where} {key}", key, value) for key, value in flat.items()}

    def lists(self, table: Mapping[str, object]) -> dict[str, list[Value]]:
        """A list of values a key, each value once."""
        found = {}
        for key, values in self._flat("[grid]", table).items():
            where = f"[grid] {key}"
            if not isinstance(values, list) or not values:
                what = "is empty" if isinstance(values, list) else "must be a list of values"
                raise ConfigError(f"{self.source}: {where}: {what}", hint="as in [4, 8, 16]")
            found[key] = [self._value(where, key, value) for value in values]
            value, times = Counter(found[key]).most_common(1)[0]
            if times > 1:  # 1 and 1.0 are one value, and a cell that is run twice no second seed
                text = json.dumps(value)[:80]
                raise ConfigError(f"{self.source}: {where}: {text} stands there twice")
        return found

    def _flat(self, where: str, table: Mapping[str, object], above: str = "") -> dict[str, object]:
        """Nested tables as dotted keys."""
        flat: dict[str, object] = {}
        for name, value in table.items():
            key = f"{above}{name}"
            inner = self._flat(where, value, f"{key}.") if isinstance(value, dict) else {key: value}
            if twice := next(iter(flat.keys() & inner.keys()), None):
                raise ConfigError(f"{self.source}: {where} {twice}: given twice")
            flat |= inner
        if not above:
            self._check(where, flat)
        return flat

    def _check(self, where: str, keys: Collection[str]) -> None:
        for key in keys:
            if not KEY.fullmatch(key):
                hint = 'a key of a task, as in "optimizer.samples"'
                raise ConfigError(f"{self.source}: {where} {key[:80]!r}: no table.key", hint=hint)
            if key in OURS:
                raise ConfigError(f"{self.source}: {where} {key}: not in a sweep", hint=OURS[key])

    def _value(self, where: str, key: str, value: object) -> Value:
        if not isinstance(value, str | int | float | bool):
            raise ConfigError(
                f"{self.source}: {where}: a text, a number, true or false is needed,"
                f" not {str(value)[:80]}"
            )
        if key in self.paths and isinstance(value, str) and not _names(value):
            return str(self.folder / Path(value).expanduser())
        return value


def _names(value: str) -> bool:
    """Whether it stands where a path may stand, and is none."""
    return value in ("", "pmi", "none") or "://" in value
