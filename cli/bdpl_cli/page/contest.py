"""All that a page about a comparison is made of: its arms, each with its runs and its numbers.

Counts nothing anew that comparison.json holds; what an earlier release did not write there is
found from the runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bdpl_async.errors import ConfigError
from bdpl_async.kept import Kept
from bdpl_async.methods import searches
from bdpl_async.studies.boardfile import KeptComparison
from bdpl_async.studies.comparison import BARE, Difference, Mean
from bdpl_async.studies.tally import Tally, mean_of, per_point

__all__ = ["Contest", "Contestant", "contest"]

HINT: Final = "give the folder of a comparison that came to its end, as compare left it"


@dataclass(frozen=True, slots=True)
class Contestant:
    """An arm.

    Attributes:
        number: from 1, as figures name arms where there are many.
        name: short: what tells it from the others.
        runs: one a seed, at least one.
        gain: over the empty prompt; None for what is no other prompt.
        against: the first arm; None for that arm itself.
        took: means over the runs.
    """

    number: int
    name: str
    model: str
    method: str
    runs: tuple[Kept, ...]
    dev: Mean | None
    test: Mean | None
    gain: Difference | None
    against: Difference | None
    took: Tally

    @property
    def best(self) -> Kept:
        """The run with the best dev score; of equals the first."""
        return max(self.runs, key=lambda run: run.result.dev.score if run.result.dev else -2.0)

    @property
    def searches(self) -> bool:
        """Whether the method looks for a prompt."""
        return searches(self.runs[0].config)

    @property
    def usd_per_point(self) -> float | None:
        """Without a cache, for each point gained; None where none was, or no price is known."""
        return per_point(self.took.usd_full, self.gain.score if self.gain else None)


@dataclass(frozen=True, slots=True)
class Contest:
    """A comparison.

    Attributes:
        split: what differences are on; None where not all arms have scores.
        n: examples of it, in each seed.
    """

    kept: KeptComparison
    arms: tuple[Contestant, ...]
    task: str
    metric: str
    split: str | None
    n: int
    seeds: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def models(self) -> list[str]:
        """Each once, in the order of the arms."""
        return list(dict.fromkeys(arm.model for arm in self.arms))

    @property
    def methods(self) -> list[str]:
        """Each once, in the order of the arms."""
        return list(dict.fromkeys(arm.method for arm in self.arms))

    def score(self, arm: Contestant) -> Mean | None:
        """On the split that differences are on, else on whatever there is."""
        on_test, on_dev = (arm.test or arm.dev), arm.dev
        return on_dev if self.split == "dev" else on_test

    @property
    def tested(self) -> int:
        """Differences that were tested and corrected together."""
        return sum((arm.gain is not None) + (arm.against is not None) for arm in self.arms)


def contest(kept: KeptComparison) -> Contest:
    """A comparison as it was kept.

    Raises:
        ConfigError: comparison.json is not as compare writes it.
    """
    document = kept.document
    try:
        return Contest(
            kept=kept,
            arms=tuple(_arms(document, kept.runs)),
            task=document["task"],
            metric=document["metric"],
            split=document["split"],
            n=document["n"],
            seeds=tuple(str(seed) for seed in document["seeds"]),
            notes=tuple(str(note) for note in document["notes"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__} {error}"[:200]
        file = kept.path / "comparison.json"
        raise ConfigError(f"{file}: not as compare writes it: {reason}", hint=HINT) from None


def _arms(document: Mapping[str, Any], runs: Sequence[Kept]) -> list[Contestant]:
    by_arm: dict[tuple[str, str], list[Kept]] = {}
    for entry, run in zip(document["arms"], runs, strict=True):
        by_arm.setdefault((entry["model"], entry["method"]), []).append(run)
    found = [_difference(entry) for entry in document["differences"]]
    gains = {d.arm: d for d in found if d.reference == BARE}
    against = {d.arm: d for d in found if d.reference != BARE}
    rows = document["summary"]
    names = _names([(row["model"], row["method"]) for row in rows])
    arms = []
    for number, (row, name) in enumerate(zip(rows, names, strict=True), 1):
        own = tuple(by_arm[row["model"], row["method"]])
        arms.append(
            Contestant(
                number=number,
                name=name,
                model=row["model"],
                method=row["method"],
                runs=own,
                dev=_mean(row["dev"]),
                test=_mean(row["test"]),
                gain=gains.get(row["arm"]),
                against=against.get(row["arm"]),
                took=mean_of(own),
            )
        )
    if not arms:
        raise ValueError("no arm")
    return arms


def _names(arms: Sequence[tuple[str, str]]) -> list[str]:
    """What tells each arm from the others: the method, the model, or both."""
    if len({model for model, _ in arms}) == 1:
        return [method for _, method in arms]
    if len({method for _, method in arms}) == 1:
        return [model for model, _ in arms]
    return [f"{model} {method}" for model, method in arms]


def _mean(part: Mapping[str, Any] | None) -> Mean | None:
    return None if part is None else Mean(float(part["mean"]), _pair(part["ci95"]), int(part["n"]))


def _difference(part: Mapping[str, Any]) -> Difference:
    return Difference(
        arm=part["arm"],
        reference=part["reference"],
        score=float(part["score"]),
        ci95=_pair(part["ci95"]),
        p_value=float(part["p_value"]),
        p_adjusted=float(part["p_adjusted"]),
    )


def _pair(numbers: Sequence[float]) -> tuple[float, float]:
    low, high = numbers
    return float(low), float(high)
