"""An explanation as it grows, and as one JSON document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bdpl_async.errors import BdplError, UsageError
from bdpl_async.kept import Kept, read_run
from bdpl_async.result import Totals
from bdpl_async.studies.dissection import Dissection
from bdpl_async.studies.explanation import Flip, Flips, Place, flips, places
from bdpl_async.studies.reopening import reopen
from bdpl_async.task import Task

if TYPE_CHECKING:
    from bdpl_async.config import Config

__all__ = ["Explained", "read"]

COUNTS = ("n", "gained", "lost")


@dataclass(slots=True)
class Explained:
    """Everything found out about one run.

    Attributes:
        limit: how many examples are asked, and how many flipped ones are shown.
        places: None for a method without distributions.
        flips: None where the run kept no answers for this split.
        notes: what a reader should know, a sentence each.
        task: None where the data are gone or changed.
        asked: what the model was asked, and what that took.
        failure: why something is missing.
    """

    kept: Kept
    split: str
    limit: int | None
    places: tuple[Place, ...] | None
    flips: Flips | None
    notes: list[str]
    task: Task | None = None
    asked: tuple[Dissection, Totals] | None = None
    failure: BdplError | None = None

    def open(self, config: Config) -> None:
        """Load the task; without it there is nothing to ask, and no text to show."""
        try:
            self.task = reopen(self.kept, config)
        except UsageError as error:
            self.failure = error
            self.notes.append(f"examples by number only, and nothing was asked: {error.args[0]}")
        self._note_choice()

    def _note_choice(self) -> None:
        """Say so where the examples are those that chose the prompt, and which would tell."""
        chosen_from, table = self.kept.result.chosen_from or 0, self.kept.config.task
        if self.split != "dev" or chosen_from < 2:
            return
        tested = table.test is not None if self.task is None else len(self.task.test) > 0
        instead = "see --split test" if tested else "a test file would tell (task.test)"
        self.notes.append(
            f"the prompt was chosen on dev from {chosen_from}, so dev flatters it: {instead}"
        )

    def document(self) -> dict[str, object]:
        """The whole, for JSON."""
        result = self.kept.result
        found, usage = self.asked or (None, None)
        names = ("task", "model", "method", "seed", "prompt", "tokens", "stop_reason")
        return {
            "run": str(self.kept.path),
            **{name: getattr(result, name) for name in names},
            "split": self.split,
            "distributions": None if self.places is None else [asdict(p) for p in self.places],
            "full": None if found is None else {**asdict(found.full), "loss": found.loss},
            "effects": None if found is None else [asdict(effect) for effect in found.effects],
            "phrases": None if found is None else [asdict(one) for one in found.phrases],
            "flipped": None if self.flips is None else self._flipped(self.flips),
            "usage": None if usage is None else asdict(usage),
            "notes": self.notes,
        }

    def _flipped(self, found: Flips) -> dict[str, object]:
        sides = {"gained": found.gained, "lost": found.lost}
        by_label = zip(self.kept.result.labels, found.by_label, strict=True)
        return {
            **{name: getattr(found, name) for name in ("n", "both_right", "both_wrong")},
            **{side: len(rows) for side, rows in sides.items()},
            "by_label": {
                value: dict(zip(COUNTS, counts, strict=True)) for value, counts in by_label
            },
            "examples": {
                side: [self._told(flip) for flip in rows[: self.limit]]
                for side, rows in sides.items()
            },
        }

    def _told(self, flip: Flip) -> dict[str, object]:
        names = {key: self.value(getattr(flip, key)) for key in ("label", "empty", "learned")}
        return {**asdict(flip), **names, "columns": self.columns(flip)}

    def columns(self, flip: Flip) -> Mapping[str, str] | None:
        """The example's texts; None without the data."""
        if self.task is None:
            return None
        rows = self.task.dev if self.split == "dev" else self.task.test
        return dict(rows.examples[flip.row - 1].columns)

    def value(self, index: int) -> str | None:
        """The data value of a label; None for no answer."""
        return None if index < 0 else list(self.kept.result.labels)[index]


def read(run: Path, split: str, limit: int | None) -> Explained:
    """What the run kept.

    Raises:
        ConfigError: it is no folder of a finished run, or a file in it cannot be used.
    """
    kept = read_run(run)
    result, policy = kept.result, kept.policy
    found = Explained(
        kept=kept,
        split=split,
        limit=limit,
        places=None if policy is None else places(policy, result.tokens),
        flips=flips(kept.answers.get(split, {})),
        notes=[],
    )
    _note(found)
    return found


def _note(found: Explained) -> None:
    result, notes = found.kept.result, found.notes
    if found.places is None:
        notes.append(f"the method {result.method!r} keeps no distributions over candidates")
    if result.cut_off:
        notes.append(
            "the run was cut off: its prompt is the best guess by then, chosen on no score"
        )
    if not result.tokens:
        notes.append("the prompt has no tokens: there is none to leave out")
    if found.flips is None:
        notes.append(f"the run kept no answers to {found.split}: flipped examples are not known")
    if result.calibration is not None:
        notes.append(
            "the run is calibrated: its offsets, which are of the whole prompt, are taken off the"
            " answers to every prompt here"
        )
