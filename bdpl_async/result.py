"""What a run leaves behind: the learned prompt, its scores, what they cost, and from what."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib import metadata
from typing import Any

from bdpl_async.evaluation import Evaluation, Gain

__all__ = ["Baseline", "Result", "Totals"]

SCHEMA = 1


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
    """The contract's result.json, as an object; `gain` is learned less empty prompt on test."""

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
    schema: int = SCHEMA

    def to_json(self) -> dict[str, Any]:
        """The document that result.json holds."""
        return asdict(self)
