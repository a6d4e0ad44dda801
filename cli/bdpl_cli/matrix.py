"""A matrix of prompts and models: as one JSON document, as lines of a terminal, as a CSV file."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from bdpl_async.data.datafile import sha256_of
from bdpl_async.errors import ConfigError
from bdpl_async.saving.durable import write_atomically
from bdpl_async.studies.spreadsheet import shown
from bdpl_async.studies.transferring import Column, Entry, Mark, split_of
from bdpl_async.task import Task
from bdpl_async.wording import counted, signed
from bdpl_cli.columns import PIPE, short, tail, wrapped
from bdpl_cli.plaintext import clean

__all__ = ["Matrix"]

NAME = 8
CELL = 24  # of a model's column; three stand side by side
HEAD = (
    *("role", "run", "prompt", "method", "seed", "learned_on", "model", "base_url"),
    *("metric", "score", "low", "high", "n", "unanswered"),
    *("gain", "gain_low", "gain_high", "p_value", "error"),
)


@dataclass(frozen=True, slots=True)
class Matrix:
    """What `bdpl_async.studies.transferring.transfer` found about one task."""

    task: Task
    split: str
    entries: tuple[Entry, ...]
    columns: list[Column]

    def refuse_empty(self) -> None:
        """Let an error through if there is nothing else to show.

        Raises:
            BdplError: the first model's, where every model failed.
        """
        if not any(column.marks for column in self.columns):
            self.refuse_failures()

    def refuse_failures(self) -> None:
        """Let the first model's error through, if any failed.

        Raises:
            BdplError: that error.
        """
        for column in self.columns:
            if column.failure is not None:
                raise column.failure

    @property
    def notes(self) -> list[str]:
        """What a reader should know, a sentence each."""
        found = [note for column in self.columns for note in column.notes]
        if any(entry.calibrated for entry in self.entries):
            found.append(
                "a run was calibrated: its offsets are of its own model, and all models are"
                " scored here as they answer"
            )
        return list(dict.fromkeys(found))

    def document(self) -> dict[str, object]:
        """The whole, for JSON."""
        examples = split_of(self.task, self.split)
        return {
            "task": self.task.name,
            "metric": self.task.metric,
            "split": self.split,
            "n": len(examples),
            "examples_sha256": sha256_of(examples.rows()),
            "models": [
                {
                    "model": column.model,
                    "base_url": column.base_url,
                    "usage": asdict(column.usage),
                    "error": None if column.failure is None else str(column.failure.args[0]),
                }
                for column in self.columns
            ],
            "rows": [self._row(i, entry) for i, entry in enumerate(self.entries)],
            "notes": self.notes,
        }

    def _row(self, place: int, entry: Entry) -> dict[str, object]:
        return {
            "role": entry.role,
            "run": None if entry.run is None else str(entry.run),
            "prompt": entry.prompt.text,
            "tokens": entry.prompt.tokens,
            "learned_on": entry.model,
            "method": entry.method,
            "seed": entry.seed,
            "cells": [_cell(column, place) for column in self.columns],
        }

    def write(self, file: Path) -> None:
        """Write one line for each prompt and model.

        Raises:
            ConfigError: the file cannot be written.
        """
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(HEAD)
        for place, entry in enumerate(self.entries):
            lines = (_line(entry, column, place) for column in self.columns)
            table.writerows([shown(value) for value in line] for line in lines)
        try:
            write_atomically(file, text.getvalue().encode())
        except OSError as error:
            raise ConfigError(f"--out {file}: cannot be written: {error.strerror}") from None

    def lines(self) -> Iterator[str]:
        """The matrix for a person, three models side by side."""
        name, metric = clean(self.task.name), self.task.metric
        rows = counted(len(split_of(self.task, self.split)), f"{self.split} example")
        yield from wrapped(f"{name}: {metric} in per cent on {rows} [95 % interval]")
        yield "below it the gain over the empty prompt on that model, in points [95 %,"
        yield "paired], and its p"
        if any(entry.role == "learned" for entry in self.entries):
            yield "* the model that the prompt was learned on"
        yield ""
        for number, entry in enumerate(self.entries, start=1):
            yield f"{_name(entry, number):{NAME}}{short(_told(entry), PIPE - NAME)}"
        across = (PIPE - NAME) // CELL
        for first in range(0, len(self.columns), across):
            yield ""
            yield from self._block(self.columns[first : first + across])
        failed = [column for column in self.columns if column.failure is not None]
        for column in failed[1:]:  # the first is what `refuse_failures` ends with
            yield from wrapped(_reason(column))
        for note in self.notes:
            yield from wrapped(f"note: {note}")

    def _block(self, columns: list[Column]) -> Iterator[str]:
        heads = (f"{tail(column.model, CELL - 1):{CELL}}" for column in columns)
        yield f"{'':{NAME}}{''.join(heads)}".rstrip()
        for place, entry in enumerate(self.entries):
            cells = [_shown(column.marks[place] if column.marks else None) for column in columns]
            for name, side in ((_name(entry, place + 1), 0), ("", 1), ("", 2)):
                line = f"{name:{NAME}}" + "".join(f"{cell[side]:{CELL}}" for cell in cells)
                if line.strip():
                    yield line.rstrip()


def _cell(column: Column, place: int) -> dict[str, object] | None:
    if not column.marks:
        return None
    mark = column.marks[place]
    gain = None if mark.gain is None else asdict(mark.gain)
    return {
        "model": column.model,
        **asdict(mark.evaluation),
        "learned_here": mark.here,
        "gain": gain,
    }


def _line(entry: Entry, column: Column, place: int) -> list[object]:
    """A line under `HEAD`."""
    run = None if entry.run is None else str(entry.run)
    where = [entry.role, run, entry.prompt.text, entry.method, entry.seed, entry.model]
    line: list[object] = [*where, column.model, column.base_url]
    if not column.marks:
        error = "" if column.failure is None else column.failure.args[0]
        return [*line, *[None] * (len(HEAD) - len(line) - 1), error]
    mark = column.marks[place]
    found, gain = mark.evaluation, mark.gain
    line += [found.metric, found.score, *found.ci95, found.n, found.unanswered]
    return [*line, *([None] * 4 if gain is None else [gain.score, *gain.ci95, gain.p_value]), None]


def _shown(mark: Mark | None) -> tuple[str, str, str]:
    """The three lines of a cell."""
    if mark is None:
        return "failed", "", ""
    found, gain = mark.evaluation, mark.gain
    low, high = found.ci95
    star = "*" if mark.here else " "
    score = f"{100 * found.score:5.1f}{star} [{100 * low:.1f} {100 * high:.1f}]"
    if gain is None:
        return score, "", ""
    low, high = gain.ci95
    chance = "p < 0.001" if gain.p_value < 0.001 else f"p = {gain.p_value:.3f}"
    return score, f"{signed(gain.score):>5}  [{signed(low)} {signed(high)}]", chance


def _reason(column: Column) -> str:
    """Why a model failed, under its name."""
    why = "" if column.failure is None else str(column.failure.args[0])
    return why if why.startswith(f"{column.model}:") else f"{column.model}: {why}"


def _name(entry: Entry, number: int) -> str:
    return str(number) if entry.role == "learned" else entry.role


def _told(entry: Entry) -> str:
    if entry.role != "learned":
        return repr(entry.prompt.text)
    return f"{entry.run} ({entry.method}, seed {entry.seed}): {entry.prompt.text}"
