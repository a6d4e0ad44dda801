"""The rules of `bdpl_async.drafting.holdout`, where texts come more than once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bdpl_async.data.datafile import read_rows
from bdpl_async.drafting.holdout import hold_out
from bdpl_async.drafting.roles import Roles
from bdpl_async.drafting.sheet import look_at

ROLES = Roles("label", ("text",))
Row = tuple[str, str]


def held(folder: Path, rows: list[Row]) -> dict[str, list[Row]]:
    """The rows of each file that was written."""
    source = folder / "rows.csv"
    lines = [f"{text},{label}\n" for text, label in rows]
    source.write_text("text,label\n" + "".join(lines))
    files = {split: folder / f"{split}.csv" for split in ("train", "test")}
    sizes = hold_out(look_at(source), ROLES, files)
    assert set(sizes) == {split for split, file in files.items() if file.exists()}
    return {
        split: [(row["text"], row["label"]) for row in read_rows(files[split], ["text", "label"])]
        for split in sizes
    }


REPEATED: list[tuple[str, Callable[[int], Row]]] = [
    ("every text ten times", lambda i: (f"text {i % 30}", "ab"[i % 2])),
    ("a text in both classes", lambda i: (f"text {i % 100}", "ab"[i // 100 % 2])),
    ("one class of copies", lambda i: (f"text {i % 20}" if i % 2 else f"only {i}", "ab"[i % 2])),
]


@pytest.mark.parametrize(("what", "row"), REPEATED)
def test_repeated_texts(tmp_path: Path, what: str, row: Callable[[int], Row]) -> None:
    """No row is lost, no text is on both sides, and both classes are on both."""
    rows = [row(i) for i in range(300)]
    found = held(tmp_path, rows)
    assert sorted(found["train"] + found["test"]) == sorted(rows), what
    texts = {split: {text for text, _ in part} for split, part in found.items()}
    assert not texts["train"] & texts["test"]
    assert {label for part in found.values() for _, label in part} == {"a", "b"}
    assert {label for _, label in found["train"]} == {label for _, label in found["test"]}
    assert 30 <= len(found["test"]) <= 90


@pytest.mark.parametrize("texts", [1, 2])
def test_too_few_texts(tmp_path: Path, texts: int) -> None:
    """Where no text can be spared, nothing is written."""
    rows = [(f"text {i % texts}", "ab"[i % texts % 2]) for i in range(200)]
    assert held(tmp_path, rows) == {}


def test_a_class_behind_others(tmp_path: Path) -> None:
    """A class that would be in test alone stops the cut."""
    rows = [(f"text {i % 50}", "a") for i in range(150)]
    rows += [("text 7", "rare")]
    found = held(tmp_path, rows)
    assert not found or "rare" in {label for _, label in found["train"]}
