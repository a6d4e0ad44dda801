"""What a finished run left in its RUN_DIR, read back and checked.

Files may have been edited or cut off; what cannot be used is refused by name, never guessed.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import orjson
from numpy.typing import NDArray

from bdpl_async.accord import discord
from bdpl_async.answers import Answers
from bdpl_async.config import Config, load_config
from bdpl_async.data.textfile import exists, read_text
from bdpl_async.errors import ConfigError
from bdpl_async.result import CUT_OFF, Result

__all__ = ["Kept", "LearnedPolicy", "finished", "read_run", "refuse_no_run"]

MAX_BYTES: Final = 500_000_000
HINT: Final = "give the folder of a finished run"
STUDIES: Final = {"comparison.json": "a comparison", "sweep.toml": "a sweep"}
LOCK: Final = ".lock"  # of `bdpl_async.saving.claim`, which a comparison leaves from its start
LISTED: Final = 8  # runs of a study, in a message
Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class LearnedPolicy:
    """How likely each of N candidates is at each of n positions, (n, N)."""

    vocabulary: tuple[str, ...]
    probabilities: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Kept:
    """One finished run.

    Attributes:
        answers: split -> role (learned, empty) -> answers; empty where the file is not there.
        policy: None for a method without distributions.
    """

    path: Path
    config: Config
    result: Result
    answers: Mapping[str, Mapping[str, Answers]]
    policy: LearnedPolicy | None


def finished(path: Path) -> bool:
    """Whether `path` holds a run that came to its own end: nobody interrupted it, nothing broke."""
    try:
        document = orjson.loads((path / "result.json").read_bytes())
        return document["stop_reason"] not in CUT_OFF
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
        return False


def read_run(path: Path) -> Kept:
    """Everything that the run in `path` left.

    Raises:
        ConfigError: it is no folder of a finished run, or a file in it cannot be used.
    """
    refuse_no_run(path)
    config = load_config(path / "run.toml")
    if not exists(path / "result.json"):
        raise ConfigError(
            f"{path}: the run has no result yet, and so no prompt",
            hint="wait until it ends, or go on with it:"
            f" bdpl-async resume {shlex.quote(str(path))}",
        )
    result = _made(Result.from_json, path / "result.json")
    answers = _made(_answers, path / "answers.json", optional=True)
    policy = _made(_policy, path / "policy.json", optional=True)
    if (changed := discord(config, result, answers)) is not None:
        raise ConfigError(f"{path}: {changed}", hint=f"{HINT}, as the run left it")
    return Kept(path, config, result, answers, policy)


def refuse_no_run(path: Path) -> None:
    """See to it that `path` is the folder of a run, whether it is finished or not.

    Raises:
        ConfigError: it is not; says what it is instead.
    """
    if not exists(path / "run.toml"):
        raise _no_run(path)


def _no_run(path: Path) -> ConfigError:
    """What `path` is instead, and where the runs are, if it holds some."""
    if not exists(path):
        return ConfigError(f"{path}: no such folder", hint=HINT)
    runs = sorted(file.parent for file in path.glob("*/run.toml"))
    if not runs:
        return ConfigError(f"{path}: no run: it has no run.toml", hint=HINT)
    what = next((name for file, name in STUDIES.items() if exists(path / file)), "several runs")
    unfinished = what == "several runs" and exists(path / LOCK)
    more = f"\n    and {len(runs) - LISTED} more" if len(runs) > LISTED else ""
    listed = "".join(f"\n    {run}" for run in runs[:LISTED])
    hint = f"give the folder of one of its runs:{listed}{more}"
    if unfinished:
        done = sum(map(finished, runs))
        there = f"of the {len(runs)} runs there so far {done} {'is' if done == 1 else 'are'} done"
        onward = f"the same compare command with --out {shlex.quote(str(path))} goes on"
        return ConfigError(
            f"{path}: a comparison that is not done: {there}", hint=f"{onward}; or {hint}"
        )
    return ConfigError(f"{path}: the folder of {what}, not of one run", hint=hint)


def _made(make: Callable[[dict[str, Any]], Made], file: Path, *, optional: bool = False) -> Made:
    """What the file says; where it may be missing, what no keys say.

    Raises:
        ConfigError: it cannot be used.
    """
    document = _json(file, optional=optional)
    try:
        return make(document)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        reason = f"{type(error).__name__} {error}"[:200]
        raise ConfigError(f"{file}: not as a run writes it: {reason}", hint=HINT) from None


def _json(file: Path, *, optional: bool = False) -> dict[str, Any]:
    if optional and not exists(file):
        return {}
    if exists(file) and not file.is_file():  # a pipe would be waited for
        raise ConfigError(f"{file}: is no file", hint=HINT)
    try:
        document = orjson.loads(read_text(file, most=MAX_BYTES, hint=HINT))
    except orjson.JSONDecodeError as error:
        raise ConfigError(f"{file}: not JSON: {error}", hint=HINT) from None
    if not isinstance(document, dict):
        raise ConfigError(f"{file}: not the JSON document that a run writes", hint=HINT)
    return document


def _answers(document: Mapping[str, Any]) -> dict[str, dict[str, Answers]]:
    found: dict[str, dict[str, Answers]] = {}
    for split in ("dev", "test"):
        if split in document:
            roles = dict(document[split])
            labels = np.array(roles.pop("labels"), np.int64)
            found[split] = {role: _answers_of(labels, rows) for role, rows in roles.items()}
    return found


def _answers_of(labels: NDArray[np.int64], rows: object) -> Answers:
    logprobs = np.array(rows, np.float64)  # null becomes NaN
    if logprobs.ndim != 2 or len(logprobs) != len(labels):
        raise ValueError(f"{len(labels)} labels and answers of shape {logprobs.shape}")
    absent = np.isnan(logprobs)  # a row of them is no answer, one among numbers minus infinity
    logprobs[absent & ~absent.all(axis=1, keepdims=True)] = -np.inf
    return Answers(labels, logprobs)


def _policy(document: Mapping[str, Any]) -> LearnedPolicy | None:
    if not document:
        return None
    vocabulary = tuple(map(str, document["vocabulary"]))
    probabilities = np.array(document["probabilities"], np.float64)
    if probabilities.ndim != 2 or probabilities.shape[1] != len(vocabulary):
        raise ValueError("policy.json: as many probabilities as candidates are needed")
    return LearnedPolicy(vocabulary, probabilities)
