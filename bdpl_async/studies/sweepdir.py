"""The folder of a sweep: which sweep it is, and a table of the cells that are done.

    sweep.toml     the sweep, resolved
    sweep.csv      a line a cell, for spreadsheets
    sweep.json     the same, for programs
    <cell>/        RUN_DIR of each cell

The tables are written whole after every cell, so that a killed sweep leaves valid ones.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import orjson

from bdpl_async.data.textfile import exists
from bdpl_async.errors import ConfigError
from bdpl_async.evaluation import Evaluation
from bdpl_async.result import Result
from bdpl_async.rundir import refuse_taken
from bdpl_async.saving.claim import Claim
from bdpl_async.saving.durable import write_atomically
from bdpl_async.studies.grid import Sweep
from bdpl_async.studies.gridfile import read_sweep
from bdpl_async.studies.spreadsheet import shown
from bdpl_async.studies.sweeping import Row

__all__ = ["SweepDir"]

SCHEMA: Final = 1
HINT: Final = "give another folder as --out"
PLAIN: Final = ("task", "model", "method", "seed", "steps_done", "stop_reason", "data_sha256")


class SweepDir:
    """What a sweep leaves on disk.

    Args:
        path: the folder; made by `begin`.
        sweep: what it is for.

    Raises:
        ConfigError: the folder holds a run, another sweep, or is no folder.
    """

    def __init__(self, path: Path, sweep: Sweep) -> None:
        self.path = path
        self.sweep = sweep
        self.rows: list[Row] = []
        self._claim: Claim | None = None
        self._order = {point.folder: i for i, point in enumerate(sweep.points)}
        refuse_taken(path)
        if exists(path / "sweep.toml") and not read_sweep(path / "sweep.toml").within(sweep):
            raise ConfigError(f"{path}: holds another sweep", hint=HINT)

    def begin(self, done: Sequence[Row]) -> None:
        """Take the folder, write down what it is for, and the cells that are done already.

        Raises:
            ConfigError: it cannot be written, or another process works there.
        """
        self._claim = Claim(self.path)
        try:
            write_atomically(self.path / "sweep.toml", self.sweep.to_toml().encode())
        except OSError as error:
            raise ConfigError(
                f"{self.path}: cannot be written: {error.strerror}", hint=HINT
            ) from None
        self.rows = list(done)
        self._write()

    def add(self, row: Row) -> None:
        """One more cell is done."""
        self.rows.append(row)
        self._write()

    def close(self) -> None:
        """Let others work in the folder."""
        if self._claim is not None:
            self._claim.close()
            self._claim = None

    def document(self) -> dict[str, Any]:
        """What sweep.json holds."""
        sweep = self.sweep
        return {
            "schema": SCHEMA,
            "name": sweep.name,
            "keys": sweep.keys,
            "x": sweep.x,
            "series": sweep.series,
            "cells": len(self._order),
            "rows": [_entry(row) for row in self.rows],
        }

    def _write(self) -> None:
        self.rows.sort(key=lambda row: self._order[row.point.folder])
        document = orjson.dumps(self.document(), option=orjson.OPT_INDENT_2)
        write_atomically(self.path / "sweep.json", document + b"\n")
        write_atomically(self.path / "sweep.csv", self._csv().encode())

    def _csv(self) -> str:
        lines = [_line(row) for row in self.rows]
        text = io.StringIO()
        if lines:
            writer = csv.DictWriter(text, list(lines[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows({key: shown(value) for key, value in line.items()} for line in lines)
        return text.getvalue()


def _entry(row: Row) -> dict[str, Any]:
    """One cell for sweep.json."""
    document = row.result.to_json()
    wanted = (*PLAIN, "dev", "test", "baseline", "gain", "usage", "prompt")
    found = {name: document[name] for name in wanted}
    return {"cell": row.point.folder, "values": dict(row.point.values), **found}


def _line(row: Row) -> dict[str, object]:
    """One cell for sweep.csv; every cell has the same columns."""
    result = row.result
    scored = result.test or result.dev
    return {
        "cell": row.point.folder,
        **row.point.values,
        **{name: getattr(result, name) for name in PLAIN},
        "metric": scored.metric if scored else None,
        **_scores("dev", result.dev),
        **_scores("test", result.test),
        "baseline_dev": result.baseline.dev.score if result.baseline.dev else None,
        "baseline_test": result.baseline.test.score if result.baseline.test else None,
        **_gain(result),
        **asdict(result.usage),
        "prompt": result.prompt,
    }


def _scores(name: str, found: Evaluation | None) -> Mapping[str, object]:
    low, high = found.ci95 if found else (None, None)
    score, n = (found.score, found.n) if found else (None, None)
    return {name: score, f"{name}_low": low, f"{name}_high": high, f"{name}_n": n}


def _gain(result: Result) -> Mapping[str, object]:
    gain = result.gain
    low, high = gain.ci95 if gain else (None, None)
    return {
        "gain": gain.score if gain else None,
        "gain_low": low,
        "gain_high": high,
        "gain_p": gain.p_value if gain else None,
    }
