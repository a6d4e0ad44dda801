"""What a run leaves behind: the learned prompt, its scores, what they cost, and from what."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from importlib import metadata
from math import nan
from typing import Any

from bdpl_async.calibration import Offsets
from bdpl_async.evaluation import Evaluation, Gain
from bdpl_async.latency import Latency
from bdpl_async.spending import Spending
from bdpl_async.typed import typed

__all__ = ["CUT_OFF", "Baseline", "Result", "Totals"]

SCHEMA = 1
CUT_OFF = ("interrupted", "provider")  # reasons to stop that no run chooses itself


def _versions() -> dict[str, str]:
    """The releases that numbers depend on; nothing is imported to find them."""
    found = {"python": platform.python_version()}
    for name in ("bdpl-async", "numpy", "torch", "transformers", "tokenizers"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@dataclass(frozen=True, slots=True)
class Totals:
    """Everything that was consumed; `prompts` counts answers of the model, not of the cache."""

    requests: int = 0
    prompts: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float = 0.0
    cache_hits: int = 0
    retries: int = 0
    failures: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Baseline:
    """The empty prompt through the same path."""

    dev: Evaluation | None = None
    test: Evaluation | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """The contract's result.json, as an object.

    Attributes:
        gain: learned less empty prompt on test.
        calibration: what was taken off the learned prompt's answers; the empty prompt's are as the
            model gave them.
        chosen_from: finalists that `dev` chose the prompt from. With more than one the dev score is
            that of a winner, and so too good on average; test has no part in the choice.
        spending: where it went; None in results of earlier releases.
    """

    task: str
    model: str
    method: str
    seed: int
    prompt: str
    tokens: tuple[str, ...]
    template: str
    labels: Mapping[str, str]
    dev: Evaluation | None
    test: Evaluation | None
    baseline: Baseline
    usage: Totals
    steps_done: int
    stop_reason: str
    losses: tuple[float, ...]
    data_sha256: str
    versions: Mapping[str, str] = field(default_factory=_versions)
    gain: Gain | None = None
    latency: Latency = field(default_factory=Latency)
    calibration: Offsets | None = None
    chosen_from: int | None = None
    spending: Spending | None = None
    schema: int = SCHEMA

    @property
    def cut_off(self) -> bool:
        """Whether the run did not come to its own end."""
        return self.stop_reason in CUT_OFF

    def to_json(self) -> dict[str, Any]:
        """The document that result.json holds."""
        return asdict(self)

    def _repr_html_(self) -> str:
        """For notebooks."""
        from bdpl_async.cards import result_card

        return result_card(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Result:
        """The result that a document holds; keys of later releases are left out.

        Raises:
            KeyError, TypeError, ValueError: it is no such document.
        """
        if document["schema"] != SCHEMA:
            raise ValueError(f"schema {document['schema']!r}, not {SCHEMA}")
        known = {field.name for field in fields(cls)}
        given = {key: value for key, value in document.items() if key in known}
        baseline = {side: _evaluation(given["baseline"][side]) for side in ("dev", "test")}
        gain, offsets = given.get("gain"), given.get("calibration")
        given |= {
            "dev": _evaluation(given["dev"]),
            "test": _evaluation(given["test"]),
            "baseline": Baseline(**baseline),
            "gain": None if gain is None else Gain(**{**gain, "ci95": _pair(gain["ci95"])}),
            "calibration": None if offsets is None else Offsets.of(offsets),
            "usage": Totals(**given["usage"]),
            "spending": None if (spent := given.get("spending")) is None else Spending.of(spent),
            "latency": Latency(**given.get("latency", {})),
            "tokens": tuple(given["tokens"]),
            "losses": tuple(nan if loss is None else float(loss) for loss in given["losses"]),
        }
        return typed(cls(**given))


def _evaluation(document: Mapping[str, Any] | None) -> Evaluation | None:
    if document is None:
        return None
    return Evaluation(**{**document, "ci95": _pair(document["ci95"])})


def _pair(numbers: Sequence[float]) -> tuple[float, float]:
    low, high = numbers
    return float(low), float(high)
