"""The classes that a label column holds: how many rows each has, and which spellings mean the same.

Knows the values of label columns; neither words for a model nor files of settings.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bdpl_async.data.columns import short
from bdpl_async.drafting.sheet import Column, Sheet
from bdpl_async.errors import ConfigError, DataError

__all__ = ["Classes", "classes_of", "has_labels"]

MINORITY = 0.3  # share of the rarer of two classes below which accuracy flatters
UNEVEN = 0.5  # of an even share; likewise of more classes
UNKNOWN = ("-1", "")  # what stands where a label is kept secret
MISSING = frozenset({"nan", "null", "na", "n/a", "#n/a", "<na>"})
NAMED = 5  # classes in a message


@dataclass(frozen=True, slots=True)
class Classes:
    """What a label may be.

    Attributes:
        counts: rows of train per class, in the order in which they should be written.
        spellings: other spellings, each with the class that it means.
        rare: classes of a single row.
    """

    counts: Mapping[str, int]
    spellings: Mapping[str, str] = field(default_factory=dict)

    @property
    def rare(self) -> list[str]:
        """The classes that have a single row."""
        return [value for value, count in self.counts.items() if count == 1]

    @property
    def missing(self) -> list[str]:
        """The classes that look like labels which some program could not fill in."""
        return [value for value in self.counts if _folded(value) in MISSING]

    @property
    def metric(self) -> str:
        """The one that does not flatter: accuracy where the classes are about even."""
        total, many = sum(self.counts.values()), len(self.counts)
        smallest = min(self.counts.values()) / total
        if many == 2:
            return "f1" if smallest < MINORITY else "accuracy"
        return "macro_f1" if smallest < UNEVEN / many else "accuracy"


def has_labels(sheet: Sheet, label: str) -> bool:
    """Whether a split has labels; test files sometimes come without."""
    column = sheet.columns.get(label)
    if column is None:
        return False
    return column.values is None or not set(map(str.strip, column.values)) <= set(UNKNOWN)


def classes_of(label: str, train: Sheet, others: Sequence[Sheet] = ()) -> Classes:
    """The classes of train, in a sensible order: numbers by value, words by the alphabet.

    Of two classes scored by F1 the rarer stands second, since that one counts as positive.

    Args:
        label: the column.
        train: the training rows.
        others: the other splits, which may spell a class in another way.

    Raises:
        ConfigError: there are too many classes, or fewer than two.
        DataError: a label is missing, or a split has a class that train has not.
    """
    counts = _counted(train, label)
    main: dict[str, str] = {}
    spellings: dict[str, str] = {}
    for value, _ in sorted(counts.items(), key=lambda item: -item[1]):
        known = main.setdefault(_folded(value), value)
        if known != value:
            spellings[value] = known
    for sheet in others:
        for value in _counted(sheet, label):
            if _folded(value) not in main:
                raise _only_there(sheet, train, label, value)
            if value != (known := main[_folded(value)]):
                spellings[value] = known
    if len(main) < 2:
        raise ConfigError(
            f"{train.path}: column {short(label)} holds {short(next(iter(main.values())))} alone",
            hint="there is nothing to tell apart; name another column with --label",
        )
    totals: Counter[str] = Counter()
    for value, count in counts.items():
        totals[main[_folded(value)]] += count
    ordered = {value: totals[value] for value in sorted(totals, key=_rank)}
    if Classes(ordered).metric == "f1":
        ordered = dict(sorted(ordered.items(), key=lambda item: -item[1]))
    return Classes(ordered, spellings)


def _counted(sheet: Sheet, label: str) -> Mapping[str, int]:
    """How often each value stands in the label column.

    Raises:
        ConfigError: it has too many different ones.
        DataError: one is missing.
    """
    column = sheet.columns.get(label)
    if column is None:
        raise DataError(
            f"{sheet.path}: no column {short(label)}, or not in every row",
            hint="every file of a task has the same columns",
        )
    _refuse_holes(sheet, column)
    if column.values is None:
        raise ConfigError(
            f"{sheet.path}: column {short(label)} has too many different values for a label",
            hint="name a column with few of them: --label COLUMN",
        )
    return column.values


def _refuse_holes(sheet: Sheet, column: Column) -> None:
    """See to it that every row has a label.

    Raises:
        DataError: saying which has not.
    """
    holes = column.empty + column.unusable
    if not holes:
        return
    first = f"row {column.first_empty}: " if column.first_empty else ""
    times = f"{holes:,} of {sheet.rows:,} rows" if holes > 1 else "one row"
    raise DataError(
        f"{sheet.path}: {first}no label in column {short(column.name)}, in {times}",
        hint="fill them in or take these rows out; a task needs a label in every row",
    )


def _only_there(sheet: Sheet, train: Sheet, label: str, value: str) -> DataError:
    return DataError(
        f"{sheet.path}: column {short(label)} holds {short(value)}, and {train.path.name} has no"
        " such class",
        hint="add rows of this class to train, or take them out here",
    )


def _folded(value: str) -> str:
    """What spellings of one class have in common: not case, spaces, or the .0 of a whole number."""
    plain = " ".join(value.casefold().split())
    return re.sub(r"^([+-]?\d+)\.0+$", r"\1", plain)


def _rank(value: str) -> tuple[int, float, str]:
    try:
        return 0, float(value), value
    except ValueError:
        return 1, 0.0, value.casefold()
