"""All that a page about one run is made of: what the run kept, its events, its data where they are.

Nothing is asked of a model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from bdpl_async.answers import Answers
from bdpl_async.evaluation import Evaluation, Gain, compare
from bdpl_async.events import Event, Note, Probed, Retry, Step
from bdpl_async.history import read_events
from bdpl_async.kept import Kept
from bdpl_async.methods import searches
from bdpl_async.result import Result
from bdpl_async.studies.reopening import reconfigured
from bdpl_cli.explained import Explained, read

if TYPE_CHECKING:
    from bdpl_async.overrides import Value

__all__ = ["METRIC", "Material", "gather"]

METRIC: Final = {
    "accuracy": "accuracy",
    "f1": "F1",
    "macro_f1": "macro-F1",
    "mcc": "Matthews correlation",
}


@dataclass(frozen=True, slots=True)
class Material:
    """One run.

    Attributes:
        explained: on `split`, with the run's data where they could be read again.
        ended: when result.json was written, in seconds since 1970.
        plots: whether figures can be drawn.
    """

    explained: Explained
    events: tuple[Event, ...]
    ended: float
    plots: bool = False

    @property
    def kept(self) -> Kept:
        """What the run left."""
        return self.explained.kept

    @property
    def result(self) -> Result:
        """What it came to."""
        return self.kept.result

    @property
    def split(self) -> str:
        """Whose examples are told one by one: test, or dev where none was scored on test."""
        return self.explained.split

    @property
    def answers(self) -> Mapping[str, Answers]:
        """Role -> answers to the examples of `split`."""
        return self.kept.answers.get(self.split, {})

    @property
    def steps(self) -> list[Step]:
        """The updates."""
        return [event for event in self.events if isinstance(event, Step)]

    @property
    def retries(self) -> list[Retry]:
        """Requests that were sent again."""
        return [event for event in self.events if isinstance(event, Retry)]

    @property
    def notes(self) -> list[str]:
        """What the run had to say, each once."""
        return list(dict.fromkeys(e.message for e in self.events if isinstance(e, Note)))

    @property
    def readout(self) -> str | None:
        """How the model was read, where it is known."""
        return next((event.readout for event in self.events if isinstance(event, Probed)), None)

    @property
    def cut_off(self) -> bool:
        """Whether the run did not come to its own end."""
        return self.result.cut_off

    @property
    def noun(self) -> str:
        """What its prompt is called: only a search learns one."""
        return "learned prompt" if searches(self.kept.config) else "prompt"

    @property
    def labels(self) -> list[str]:
        """Names of the labels: the data value, or the label word where that is a mere number."""
        words = self.result.labels
        return [words[value].strip() if value.isdigit() else value for value in words]

    def scores(self, split: str) -> tuple[Evaluation | None, Evaluation | None]:
        """Of the empty prompt and of the run's own, on dev or test."""
        base = self.result.baseline
        found = {"dev": (base.dev, self.result.dev), "test": (base.test, self.result.test)}
        return found[split]

    def gain(self, split: str) -> Gain | None:
        """The run's prompt less the empty one, paired; None where one was not scored there."""
        empty, own = self.scores(split)
        if empty is None or own is None or not self.result.prompt:
            return None
        if split == "test" and self.result.gain is not None:
            return self.result.gain
        roles = self.kept.answers.get(split, {})
        pair = roles.get("learned"), roles.get("empty")
        if pair[0] is None or pair[1] is None or not np.array_equal(pair[0].labels, pair[1].labels):
            return None
        logprobs = pair[0].logprobs, pair[1].logprobs
        return compare(own.metric, logprobs, pair[0].labels, self.result.seed)

    @property
    def decided(self) -> bool:
        """Whether the model said labels and no probabilities."""
        if self.readout == "text":
            return True
        rows = [found.logprobs for roles in self.kept.answers.values() for found in roles.values()]
        answered = [one[~np.isnan(one).any(axis=1)] for one in rows]
        one_each = [(np.isfinite(one).sum(axis=1) <= 1).all() for one in answered if len(one)]
        return bool(one_each) and all(one_each)


def gather(path: Path, data: Path | None, *, examples: int) -> Material:
    """Read the run in `path`.

    Args:
        path: RUN_DIR.
        data: the folder that its data are in now; None where the run had them.
        examples: flipped ones to show of each kind.

    Raises:
        ConfigError: it is no folder of a finished run, or a file in it cannot be used.
    """
    split = "test"
    found = read(path, split, examples)
    if not found.kept.answers.get(split) and found.kept.answers.get("dev"):
        found = read(path, "dev", examples)
    given: dict[str, Value] = {} if data is None else {"run.data": str(data.absolute())}
    found.open(reconfigured(found.kept, given))
    ended = (path / "result.json").stat().st_mtime
    return Material(found, tuple(read_events(path / "events.jsonl")), ended)
