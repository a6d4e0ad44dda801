"""Whether what a run left fits the configuration beside it.

Files may have been edited since. What does not fit is named, before anything is asked or counted
with it.
"""

from __future__ import annotations

from collections.abc import Mapping

from bdpl_async.answers import Answers
from bdpl_async.config import Config
from bdpl_async.evaluation import Evaluation
from bdpl_async.result import Result

__all__ = ["discord"]

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
    """What of result.json is not as run.toml has it, if anything is."""
    words, offsets = config.task.labels, result.calibration
    count = len(words) if offsets is None else len(offsets.offsets)
    told: dict[str, tuple[object, object]] = {
        "run.seed": (result.seed, config.run.seed),
        "optimizer.method": (result.method, config.optimizer.method),
        "task.labels": (list(result.labels.items()), list(words.items())),
        "the number of labels": (count, len(words)),
    }
    told |= {
        f"metric of {name}": (scored.metric, config.task.metric)
        for name, scored in _scores(result).items()
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
