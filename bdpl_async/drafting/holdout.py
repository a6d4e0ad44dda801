"""A test set cut from a single file: two new files beside it, the file itself left alone.

Rows with the same texts stay on one side, so that no test row was learned from.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from bdpl_async.data.datafile import raw_rows
from bdpl_async.data.sampling import split
from bdpl_async.drafting.roles import Roles
from bdpl_async.drafting.sheet import Sheet
from bdpl_async.errors import ConfigError

__all__ = ["FEWEST", "LARGEST", "hold_out"]

FEWEST = 100  # rows of a file below which none are spared
LARGEST = 1000  # test rows; they tell scores apart to about 3 points
SHARE = 0.2  # of the rows
STREAM = 0x7E57  # names the random stream

Row = Mapping[str, str | None]


def hold_out(sheet: Sheet, roles: Roles, files: Mapping[str, Path]) -> dict[str, int]:
    """Write the rows to a train and a test file, as csv; how many went where.

    Every class stands in train; a class of two rows and more also in test, in its share.

    Args:
        sheet: of the file.
        roles: which columns must be there; others are kept where they hold text or numbers.
        files: "train" and "test", both new.

    Raises:
        ConfigError: a file is there already, or cannot be written.
    """
    rows = [row for row in raw_rows(sheet.path)]
    usable = [name for name, column in sheet.columns.items() if not column.unusable]
    texts = [tuple(row[name] for name in roles.texts) for row in rows]
    often = Counter(texts)
    single = [place for place, text in enumerate(texts) if often[text] == 1]
    held = set(_drawn([str(rows[place][roles.label]) for place in single], single, len(rows)))
    parts = {
        "train": [row for place, row in enumerate(rows) if place not in held],
        "test": [rows[place] for place in sorted(held)],
    }
    for name, part in parts.items():
        _write(files[name], usable, part)
    return {name: len(part) for name, part in parts.items()}


def _drawn(labels: Sequence[str], places: Sequence[int], total: int) -> list[int]:
    """The places that go to test, a share of every class."""
    wanted = min(LARGEST, round(SHARE * total))
    known = {label: number for number, label in enumerate(dict.fromkeys(labels))}
    if not places or wanted >= len(places):
        return []
    rng = np.random.default_rng([0, STREAM])
    _, held = split([known[label] for label in labels], 1 - wanted / len(places), rng)
    return [places[i] for i in held]


def _write(file: Path, names: Sequence[str], rows: Sequence[Row]) -> None:
    try:
        with file.open("x", encoding="utf-8", newline="") as out:
            table = csv.writer(out, lineterminator="\n")
            table.writerow(names)
            table.writerows([row[name] for name in names] for row in rows)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be written: {error.strerror}") from None
