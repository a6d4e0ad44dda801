"""The outcome of a comparison: finished runs of all arms, folded into one table and one document.

Reads what runs left, sends nothing, prints nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson

from bdpl_async.kept import Kept
from bdpl_async.methods import searches
from bdpl_async.saving.durable import write_atomically
from bdpl_async.studies.arms import Arm
from bdpl_async.studies.boardjson import SCHEMA, document
from bdpl_async.studies.boardsheet import sheets
from bdpl_async.studies.comparison import Comparison, Contest, Difference, Mean, compare_arms
from bdpl_async.studies.resampling import Judged, mean_interval
from bdpl_async.studies.tally import mean_of, per_point
from bdpl_async.task import Split, Task

__all__ = ["FILE", "SCHEMA", "Row", "Scoreboard", "scoreboard"]

FILE: Final = "comparison.json"
FEW_SEEDS: Final = 3


@dataclass(frozen=True, slots=True)
class Row:
    """One arm.

    Attributes:
        runs: one a seed.
        gain: over the empty prompt, in the same runs; None for what is no other prompt.
        against: the first arm; None for that arm itself.
    """

    arm: Arm
    runs: tuple[Kept, ...]
    dev: Mean | None
    test: Mean | None
    gain: Difference | None
    against: Difference | None

    @property
    def best(self) -> Kept:
        """The run with the best dev score; of equals the first."""
        return max(self.runs, key=lambda run: run.result.dev.score if run.result.dev else -2.0)

    @property
    def searches(self) -> bool:
        """Whether the method looks for a prompt, or is sent one."""
        return searches(self.arm.cells[0].config)

    @property
    def usd_per_point(self) -> float | None:
        """Without a cache, for each point gained; None where none was, or no price is known."""
        return per_point(mean_of(self.runs).usd_full, self.gain.score if self.gain else None)


@dataclass(frozen=True, slots=True)
class Scoreboard:
    """All arms side by side.

    Attributes:
        split: which examples differences are on; None where not all arms have answered any.
        n: of these, in each seed.
        notes: what a reader of the numbers should know.
    """

    task: Task
    rows: tuple[Row, ...]
    split: str | None
    n: int
    notes: tuple[str, ...]

    @property
    def seeds(self) -> list[int]:
        """Of every arm."""
        return [cell.config.run.seed for cell in self.rows[0].arm.cells]

    @property
    def examples_sha256(self) -> str:
        """Of all examples of all seeds."""
        parts = [cell.task.data_sha256 for cell in self.rows[0].arm.cells]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """The document that comparison.json holds, see `bdpl_async.studies.boardjson`."""
        return document(self)

    def _repr_html_(self) -> str:
        """For notebooks."""
        from bdpl_async.cards import scoreboard_card

        return scoreboard_card(self)

    def write(self, folder: Path) -> None:
        """Write comparison.json and the tables for spreadsheets beside it, whole and private."""
        found = self.to_json()
        for name, content in sheets(found).items():
            write_atomically(folder / name, content)
        lines = orjson.dumps(found, option=orjson.OPT_INDENT_2)
        write_atomically(folder / FILE, lines + b"\n")


def scoreboard(arms: Sequence[Arm], runs: Mapping[str, Sequence[Kept]]) -> Scoreboard:
    """What the finished runs of all arms say; the first arm is the reference.

    Args:
        arms: at least one.
        runs: by the arm's name, one a seed, in the order of its cells.
    """
    task = arms[0].cells[0].task
    comparison, split = None, "test"
    for split in ("test", "dev"):
        contests = [_contest(arm, runs[arm.name], split) for arm in arms]
        full = [contest for contest in contests if contest is not None]
        if len(full) == len(arms):
            comparison = compare_arms(task.metric, full)
            break
    rows = tuple(_row(arm, tuple(runs[arm.name]), comparison, split) for arm in arms)
    if comparison is None:
        return Scoreboard(task, rows, None, 0, _notes(arms, runs, None, 0))
    return Scoreboard(task, rows, split, comparison.n, _notes(arms, runs, split, comparison.n))


def _row(arm: Arm, runs: tuple[Kept, ...], found: Comparison | None, split: str) -> Row:
    gains = {} if found is None else {d.arm: d for d in found.gains}
    against = {} if found is None else {d.arm: d for d in found.differences}
    test = found.means[arm.name] if found is not None and split == "test" else None
    return Row(
        arm=arm,
        runs=runs,
        dev=_mean(arm, runs, "dev"),
        test=test or _mean(arm, runs, "test"),
        gain=gains.get(arm.name),
        against=against.get(arm.name),
    )


def _mean(arm: Arm, runs: Sequence[Kept], split: str) -> Mean | None:
    contest = _contest(arm, runs, split)
    if contest is None:
        return None
    judged = contest.learned
    metric = arm.cells[0].task.metric
    return Mean(*mean_interval(metric, judged), judged.labels.shape[1])


def _contest(arm: Arm, runs: Sequence[Kept], split: str) -> Contest | None:
    """An arm's answers on a split, cut to what every seed has; None where a seed has none."""
    roles = [run.answers.get(split, {}) for run in runs]
    if not all({"learned", "empty"} <= set(found) for found in roles):
        return None
    splits = [_split(cell.task, split).examples for cell in arm.cells]
    shared = all(examples == splits[0] for examples in splits)
    counts = [len(found[role].labels) for found in roles for role in ("learned", "empty")]
    sides = []
    for role in ("learned", "empty"):
        answers = [found[role] for found in roles]
        labels = np.stack([a.labels[: min(counts)] for a in answers])
        predicted = np.stack([a.predictions[: min(counts)] for a in answers])
        sides.append(Judged(labels, predicted, shared))
    return Contest(arm.name, *sides)


def _split(task: Task, name: str) -> Split:
    return task.test if name == "test" else task.dev


def _notes(
    arms: Sequence[Arm], runs: Mapping[str, Sequence[Kept]], split: str | None, n: int
) -> tuple[str, ...]:
    """What a reader should know before the numbers are believed."""
    notes, seeds = [], len(arms[0].cells)
    searching = any(len({run.result.prompt for run in found}) > 1 for found in runs.values())
    if split is None:
        notes.append(
            "not every arm has scores: the budget bought none; there is nothing to compare"
        )
    elif split == "dev":
        why = "the task has no test split"
        if len(arms[0].cells[0].task.test):
            why = "the budget bought some arms no test score"
        notes.append(f"{why}: differences are on dev, which prompts were chosen on")
    if split and n < (whole := len(_split(arms[0].cells[0].task, split))):
        notes.append(f"on the first {n} of {whole} {split} examples, which all arms have answered")
    if seeds == 1:
        notes.append(
            "one seed: differences are between these prompts, not between methods; take --seeds 5"
        )
    elif seeds < FEW_SEEDS and searching:
        notes.append(
            f"{seeds} seeds hardly tell how far seeds differ, so intervals are wide; take --seeds 5"
        )
    return tuple(notes)
