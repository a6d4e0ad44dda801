"""Whether what a run left fits the configuration beside it.

Files may have been edited since. What does not fit is named, before anything is asked or counted
with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from numbers import Real
from typing import Final

from bdpl_async.answers import Answers
from bdpl_async.config import Config
from bdpl_async.evaluation import Evaluation
from bdpl_async.result import Result

__all__ = ["discord"]

TEXTS: Final = ("task", "model", "method", "prompt", "stop_reason", "data_sha256")
Kept = Mapping[str, Mapping[str, Answers]]


def discord(config: Config, result: Result, answers: Kept) -> str | None:
    """What of a run's files was changed, in words; None where all parts are in accord.

    Args:
        config: of run.toml.
        result: of result.json.
        answers: of answers.json: split -> role -> answers.
    """
    return _of_result(config, result) or _of_answers(answers, len(config.task.labels))


def _of_result(config: Config, result: Result) -> str | None:
    """What is wrong with result.json, if anything is."""
    texts = {name: getattr(result, name) for name in TEXTS}
    numbers: dict[str, object] = {"seed": result.seed, "steps_done": result.steps_done}
    numbers |= {f"usage.{name}": value for name, value in asdict(result.usage).items()}
    numbers |= {} if result.chosen_from is None else {"chosen_from": result.chosen_from}
    for name, scored in _scores(result).items():
        numbers |= {f"{name}.score": scored.score, f"{name}.n": scored.n}
    strange = [name for name, value in texts.items() if not isinstance(value, str)]
    strange += [] if all(isinstance(token, str) for token in result.tokens) else ["tokens"]
    strange += [name for name, value in numbers.items() if not isinstance(value, Real)]
    strange += [] if isinstance(result.labels, Mapping) else ["labels"]
    if strange:
        return f"result.json: {', '.join(strange)}: not as a run writes it"
    words, offsets = config.task.labels, result.calibration
    count = len(words) if offsets is None else len(offsets.offsets)
    told = {
        "run.seed": (result.seed, config.run.seed),
        "optimizer.method": (result.method, config.optimizer.method),
        "task.labels": (list(result.labels.items()), list(words.items())),
        "the number of labels": (count, len(words)),
    }
    differing = [name for name, (left, said) in told.items() if left != said]
    return f"result.json and run.toml differ: {', '.join(differing)}" if differing else None


def _scores(result: Result) -> Mapping[str, Evaluation]:
    base = result.baseline
    sides = {
        "dev": result.dev,
        "test": result.test,
        "baseline.dev": base.dev,
        "baseline.test": base.test,
    }
    return {name: scored for name, scored in sides.items() if scored is not None}


def _of_answers(answers: Kept, count: int) -> str | None:
    """What is wrong with answers.json, if anything is."""
    for split, roles in answers.items():
        for role, found in roles.items():
            if not _fits(found, count):
                return f"answers.json: {split}, {role}: not the answers of {count} labels"
    return None


def _fits(found: Answers, count: int) -> bool:
    labels = found.labels
    inside = bool(((labels >= 0) & (labels < count)).all())
    return inside and found.logprobs.shape == (len(labels), count)
