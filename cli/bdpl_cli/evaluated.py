"""One prompt's score: what was asked, and what came of it, as a document and for a person."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from bdpl_async.classes import by_class
from bdpl_async.task import Split
from bdpl_async.wording import counted, dollars, percent
from bdpl_cli.columns import aligned, room, short, wrapped
from bdpl_cli.plaintext import clean

if TYPE_CHECKING:
    from bdpl_async.answers import Answers
    from bdpl_async.calibration import Offsets
    from bdpl_async.classes import ClassScore
    from bdpl_async.evaluation import Evaluation
    from bdpl_async.result import Totals
    from bdpl_async.task import Task

__all__ = ["Evaluated", "Question", "told_usage"]

NAME = 20  # characters of a class
CELL = 12  # of a column that is headed by one
MOST = 10  # classes beyond which the table of what they were taken for is too wide


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be scored.

    Attributes:
        split: train, dev or test.
        examples: so many of its first ones; None for all.
        offsets: of the run that the prompt comes from; None to calibrate as configured.
    """

    prompt: str
    split: str
    examples: int | None
    offsets: Offsets | None

    def rows(self, task: Task) -> Split:
        """The examples."""
        splits = {"train": task.train, "dev": task.dev, "test": task.test}
        return Split(splits[self.split].examples[: self.examples])


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The score, the answers that it is of, less the offsets, and what they took."""

    task: Task
    model: str
    question: Question
    score: Evaluation
    answers: Answers
    offsets: Offsets | None
    usage: Totals

    @property
    def classes(self) -> tuple[ClassScore, ...]:
        """Each class."""
        return by_class(self.task.values, self.answers)

    def document(self, learned_on: str | None) -> dict[str, object]:
        """The whole, for JSON.

        Args:
            learned_on: the model that a run learned the prompt on, if it is a run's.
        """
        return {
            "task": self.task.name,
            "model": self.model,
            "split": self.question.split,
            "prompt": self.question.prompt,
            **asdict(self.score),
            "by_class": [asdict(one) for one in self.classes],
            "calibration": None if self.offsets is None else asdict(self.offsets),
            "learned_on": learned_on,
            "usage": asdict(self.usage),
        }

    def lines(self, classes: bool) -> Iterator[str]:
        """The lines to print; `classes` adds two tables. The prompt is never cut."""
        name, split = self.task.name, self.question.split
        yield from wrapped(
            f"{name} {split} on {self.model}: {self.score.metric} {percent(self.score)}"
            f"{self._calibrated()}"
        )
        yield f"prompt: {clean(self.question.prompt) or '(empty)'}"
        yield from wrapped(f"asked: {told_usage(self.usage)}")
        if classes:
            yield ""
            yield from self._each_class()
            yield ""
            yield from self._taken_for()

    def _calibrated(self) -> str:
        """How the score was calibrated."""
        if self.offsets is None:
            return ""
        batch = f"by the texts of {self.question.split}"
        ours = self.question.offsets is not None
        by = "as the run was" if ours else batch if self.offsets.kind == "batch" else "anew"
        return f", calibrated ({self.offsets.kind}, {by})"

    def _each_class(self) -> Iterator[str]:
        rows: list[tuple[str, ...]] = [("class", "examples", "right", "precision", "recall", "F1")]
        for one in self.classes:
            shares = (f"{100 * x:.1f} %" for x in (one.precision, one.recall, one.f1))
            rows.append((self._named(one, NAME), f"{one.n:,}", f"{one.right:,}", *shares))
        yield from aligned(rows)

    def _taken_for(self) -> Iterator[str]:
        """The confusion table: a row a class, a column for what it was taken for."""
        found = self.classes
        if len(found) > MOST:
            yield from wrapped("What each class was taken for is in the JSON document (--json).")
            return
        width = min(CELL, (room() - NAME) // (len(found) + 2) - 2)
        heads = [self._named(one, max(3, width)) for one in found]
        lost = any(one.predicted[-1] for one in found)
        rows: list[tuple[str, ...]] = [("taken for", *heads, *(["nothing"] if lost else []))]
        for one in found:
            counts = [f"{count:,}" for count in one.predicted]
            rows.append((self._named(one, NAME), *counts[: None if lost else -1]))
        yield from aligned(rows)

    def _named(self, one: ClassScore, width: int) -> str:
        """A class by its data value, or by its word where the value is a mere number."""
        word = self.task.words[self.task.values.index(one.value)].strip()
        return short(word if one.value.isdigit() else one.value, width)


def told_usage(usage: Totals) -> str:
    """What was asked, in one line; what did not happen is left out."""
    parts = [
        f"{counted(usage.prompts, 'prompt')} in {counted(usage.requests, 'request')}",
        f"{usage.cache_hits:,} known already" if usage.cache_hits else "",
        f"{usage.retries:,} sent again" if usage.retries else "",
        dollars(usage.usd) if usage.usd else "",
        f"{usage.seconds:.1f} s",
    ]
    return ", ".join(part for part in parts if part)
