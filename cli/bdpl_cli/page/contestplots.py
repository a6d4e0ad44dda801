"""The figures of a comparison, and the numbers that they are drawn from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from bdpl_async.events import Step
from bdpl_async.history import read_events
from bdpl_async.kept import Kept
from bdpl_async.losses import LOSSES, zero_one
from bdpl_async.markup import Element
from bdpl_cli.page import armfigures
from bdpl_cli.page.armfigures import ArmCurve, ArmPoint
from bdpl_cli.page.contest import Contest, Contestant
from bdpl_cli.page.document import figure, section

__all__ = ["plots"]


def plots(found: Contest) -> Element | None:
    """The section; None where there is nothing to draw.

    Raises:
        ImportError: matplotlib is not installed.
    """
    drawn = [*_scatter(found), *_curves(found)]
    return section("figures", "Score and loss against cost", *drawn) if drawn else None


def _scatter(found: Contest) -> Iterator[Element]:
    unit = "USD" if all(arm.took.usd_full for arm in found.arms) else "prompts"
    points = []
    for arm in found.arms:
        score = found.score(arm)
        if score is not None:
            cost = arm.took.usd_full if unit == "USD" else _asked(arm)
            points.append(ArmPoint(arm.name, cost or 0.0, score.mean, *score.ci95))
    measured = f"{found.split or 'dev'} {found.metric}"
    drawn = None
    if len(points) == len(found.arms):
        drawn = armfigures.scatter(points, unit=unit, measured=measured, bare=_bare(found))
    if drawn is not None:
        said = "Up and to the left is better. Bars are 95 % intervals; cost is the mean of a run,"
        said += (
            " with what the cache answered at its price"
            if unit == "USD"
            else (" with what the cache answered")
        )
        said += "; arms of nearly the same cost are drawn side by side."
        if len(points) > armfigures.NAMED:
            said += " Numbers are those of the table."
        yield figure(drawn, said)


def _curves(found: Contest) -> Iterator[Element]:
    learning = [arm for arm in found.arms if any(run.result.losses for run in arm.runs)]
    histories = {arm.number: [_steps(run) for run in arm.runs] for arm in learning}
    usages = [step.usage for runs in histories.values() for steps in runs for step in steps]
    money = bool(usages) and not any(usage.cache_hits for usage in usages)
    unit = "USD" if money and all(usage.usd for usage in usages) else "prompts"
    arms = [
        ArmCurve(
            arm.name, [_course(steps, unit) for steps in histories[arm.number]], arm.number - 1
        )
        for arm in learning
    ]
    fixed = {arm.name: _level(arm) for arm in found.arms if arm not in learning}
    if len(found.models) == 1 and "empty" not in found.methods:
        fixed["empty prompt"] = _dev_loss(found.arms[0].runs, "empty")
    drawn = armfigures.curves(arms, fixed, unit=unit)
    if drawn is not None:
        said = "Bold: the best moving mean of the loss so far"
        said += ", averaged over the seeds." if len(found.seeds) > 1 else "."
        said += " Faint: the moving mean of each run. Losses are on the few training examples of"
        said += " an update"
        said += (
            "; the dashed lines, of prompts that are not searched for, are on dev."
            if (fixed)
            else "."
        )
        if len(arms) > armfigures.LINES:
            said += " There are too many arms for a colour each."
        yield figure(drawn, said)


def _asked(arm: Contestant) -> float:
    """Prompts of a run, those that the cache answered included."""
    usages = [run.result.usage for run in arm.runs]
    return sum(usage.prompts + usage.cache_hits for usage in usages) / len(usages)


def _bare(found: Contest) -> float | None:
    """The mean score of the empty prompt, where all arms have the same model."""
    if len(found.models) > 1 or found.split is None:
        return None
    sides = [run.result.baseline for run in found.arms[0].runs]
    scored = [side.test if found.split == "test" else side.dev for side in sides]
    known = [one.score for one in scored if one is not None]
    return sum(known) / len(known) if known else None


def _steps(run: Kept) -> list[Step]:
    return [e for e in read_events(run.path / "events.jsonl") if isinstance(e, Step)]


def _course(steps: Sequence[Step], unit: str) -> tuple[list[float], list[float]]:
    usages = [step.usage for step in steps]
    asked = [float(usage.prompts + usage.cache_hits) for usage in usages]
    return [u.usd for u in usages] if unit == "USD" else asked, [step.loss for step in steps]


def _level(arm: Contestant) -> float:
    return _dev_loss(arm.runs, "learned")


def _dev_loss(runs: Sequence[Kept], role: str) -> float:
    """The mean loss on dev, over the runs that answered there; NaN where none did."""
    found = []
    for run in runs:
        answers = run.answers.get("dev", {}).get(role)
        if answers is None:
            continue
        logprobs = answers.logprobs[~np.isnan(answers.logprobs).any(axis=1)]
        decided = bool((np.isfinite(logprobs).sum(axis=1) <= 1).all())
        loss = zero_one if decided else LOSSES[run.config.optimizer.loss]
        each = loss(answers.logprobs, answers.labels)
        found += [float(np.nanmean(each))] if np.isfinite(each).any() else []
    return sum(found) / len(found) if found else float("nan")
