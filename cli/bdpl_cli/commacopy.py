"""Copies with commas of the data files that have something else between their columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from bdpl_async.drafting.commas import MARKS, separator, write_commas
from bdpl_cli.datafound import COMMAS, Found, free_hint, prefix, refuse_taken

__all__ = ["about_copies", "drop_copies", "with_commas"]


def with_commas(found: Found, out: Path) -> Found:
    """The files found, with a new copy beside `out` for each that the engine cannot read as it is.

    Raises:
        UsageError: a copy's name is taken, or a file is broken.
    """
    marks = {split: separator(file) for split, file in found.files.items()}
    begin = prefix(found.name, out)
    copies = {
        split: out.parent / f"{begin}{f'-{split}' if len(marks) > 1 else ''}{COMMAS}"
        for split, mark in marks.items()
        if mark != ","
    }
    refuse_taken([*copies.values()], free_hint(out))
    for split, copy in copies.items():
        write_commas(found.files[split], copy, marks[split])
        found.made.append(copy)
        found.copies[copy] = found.files[split]
    return replace(found, files={**found.files, **copies})


def drop_copies(found: Found) -> None:
    """Take the copies away, once others of our files hold their rows."""
    for copy in found.copies:
        copy.unlink()
        found.made.remove(copy)


def about_copies(found: Found, files: Sequence[Path]) -> Iterator[str]:
    """A sentence for each file that was not read as it is; `files` are those of the task."""
    for copy, source in found.copies.items():
        told = f"{source.name} has {MARKS[separator(source)]} between its columns, not commas"
        if copy in files:
            yield f"{told}: the task reads {copy.name}, a copy with commas"
        else:
            yield f"{told}; the files cut from it have commas"
