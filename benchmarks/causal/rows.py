"""The public training files, without any text that a development or test file repeats."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import paths  # noqa: F401
from families import FAMILIES

from corpus import Row

__all__ = ["Rows", "read", "train_rows"]

LONGEST = {"hyperpartisan": 170}
"""Words that are read of one text; 80 where nothing else is said."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Training rows by family, and how many were left out because they are measured by."""

    by_family: dict[str, list[Row]]
    left_out: dict[str, int]

    def texts(self, name: str | None = None) -> list[str]:
        """The texts of one family, or of all."""
        chosen = self.by_family.values() if name is None else [self.by_family[name]]
        return [text for rows in chosen for row in rows for text in (row.text, row.other) if text]


def read(file: Path, name: str) -> list[Row]:
    """The rows of one file, spaces squeezed, long texts cut."""
    most = LONGEST.get(name, 80)
    with file.open(encoding="utf-8", newline="") as stream:
        table = csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [
            Row(
                name,
                " ".join(found.get("text", found.get("text_a", "")).split()[:most]),
                found["label"],
                " ".join(found.get("text_b", "").split()[:most]),
            )
            for found in table
        ]


def train_rows(data: Path) -> Rows:
    """Train rows of all families; a text that is measured by is never learned from."""
    by_family, left_out = {}, {}
    for family in FAMILIES:
        name = family.name
        files = [data / name / f"{split}.tsv" for split in ("dev", "test")]
        held = {_trace(row) for file in files if file.exists() for row in read(file, name)}
        rows = read(data / name / "train.tsv", name)
        by_family[name] = [row for row in rows if _trace(row) not in held]
        left_out[name] = len(rows) - len(by_family[name])
    return Rows(by_family, left_out)


def _trace(row: Row) -> tuple[str, str]:
    return row.text.lower(), row.other.lower()
