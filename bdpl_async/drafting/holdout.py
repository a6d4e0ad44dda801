"""A test set cut from a single file: two new files beside it, the file itself left alone.

Rows with the same texts stay on one side, so that no test row was learned from; they count as one
row when a side is drawn for them.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from bdpl_async.data.datafile import raw_rows
from bdpl_async.data.sampling import split
from bdpl_async.drafting.commas import new_file
from bdpl_async.drafting.roles import Roles
from bdpl_async.drafting.sheet import Sheet
from bdpl_async.errors import ConfigError

__all__ = ["FEWEST", "LARGEST", "hold_out"]

FEWEST = 100  # rows of a file below which none are spared
LARGEST = 1000  # test rows; they tell scores apart to about 3 points
SHARE = 0.2  # of the rows
STREAM = 0x7E57  # names the random stream

Row = Mapping[str, str | None]
Text = tuple[str | None, ...]  # of a row: all columns that are shown


def hold_out(sheet: Sheet, roles: Roles, files: Mapping[str, Path]) -> dict[str, int]:
    """Write the rows to a train and a test file, as csv; how many went where.

    Every class stands in train; a class of two texts and more also in test, in its share. Where
    that cannot be, since too few texts are different, nothing is written.

    Args:
        sheet: of the file.
        roles: which columns must be there; others are kept where they hold text or numbers.
        files: "train" and "test", both new.

    Returns:
        The rows of each file; empty where there are none.

    Raises:
        ConfigError: a file is there already, or cannot be written.
    """
    rows = list(raw_rows(sheet.path))
    usable = [name for name, column in sheet.columns.items() if not column.unusable]
    texts = [tuple(row[name] for name in roles.texts) for row in rows]
    first: dict[Text, str] = {}  # a text's class: that of its first row
    for text, row in zip(texts, rows, strict=True):
        first.setdefault(text, str(row[roles.label]))
    held = _drawn(first, len(rows))
    parts: dict[str, list[Row]] = {"train": [], "test": []}
    for text, row in zip(texts, rows, strict=True):
        parts["test" if text in held else "train"].append(row)
    learned = {row[roles.label] for row in parts["train"]}
    if not held or any(row[roles.label] not in learned for row in parts["test"]):
        return {}
    for name, part in parts.items():
        _write(files[name], sheet.path, usable, part)
    return {name: len(part) for name, part in parts.items()}


def _drawn(classes: Mapping[Text, str], rows: int) -> set[Text]:
    """The texts that go to test, a share of every class."""
    texts = list(classes)
    share = min(SHARE, LARGEST / rows)
    known = {label: number for number, label in enumerate(dict.fromkeys(classes.values()))}
    rng = np.random.default_rng([0, STREAM])
    _, held = split([known[label] for label in classes.values()], 1 - share, rng)
    return {texts[i] for i in held}


def _write(file: Path, source: Path, names: Sequence[str], rows: Sequence[Row]) -> None:
    """A new file, which nobody may read who may not read `source`."""
    try:
        with new_file(file, source) as out:
            table = csv.writer(out, lineterminator="\n")
            table.writerow(names)
            table.writerows([row[name] for name in names] for row in rows)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be written: {error.strerror}") from None
