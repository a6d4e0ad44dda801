"""How the search went: loss and entropy against cost, and the positions over time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from bdpl_async.answers import Answers
from bdpl_async.events import Step
from bdpl_async.losses import LOSSES, zero_one
from bdpl_async.markup import Element, tag
from bdpl_async.wording import counted
from bdpl_cli.page.document import figure, section
from bdpl_cli.page.material import Material
from bdpl_cli.page.positions import positions

__all__ = ["baselines", "course", "spent"]


def course(material: Material) -> Element | None:
    """The section; None where nothing was learned step by step."""
    steps = material.steps
    if not steps:
        if not material.result.steps_done:
            return None
        done = counted(material.result.steps_done, "update")
        return section("course", "How it learned", tag("p", f"{done}; events.jsonl is not there."))
    return section("course", "How it learned", _curves(material, steps), positions(material))


def spent(material: Material, steps: Sequence[Step]) -> tuple[list[float], str]:
    """What had been spent by the end of each update, and in what.

    Money where some was spent and nothing came from the cache; else prompts, those of the cache
    included, since they were asked for all the same.
    """
    usage = [step.usage for step in steps]
    if usage[-1].usd and not usage[-1].cache_hits:
        return [one.usd for one in usage], "USD"
    return [float(one.prompts + one.cache_hits) for one in usage], "prompts"


def baselines(material: Material) -> dict[str, float]:
    """Mean losses on dev to compare with; those that are not known are left out."""
    loss = zero_one if material.decided else LOSSES[material.kept.config.optimizer.loss]
    roles = material.kept.answers.get("dev", {})
    named = {"empty": "empty prompt on dev", "learned": f"{material.noun} on dev"}

    def mean(found: Answers) -> float:
        each = loss(found.logprobs, found.labels)
        known = each[np.isfinite(each)]
        return float(known.mean()) if len(known) else float("nan")

    levels = {name: mean(roles[role]) for role, name in named.items() if role in roles}
    return {name: level for name, level in levels.items() if np.isfinite(level)}


def _curves(material: Material, steps: Sequence[Step]) -> Iterator[Element]:
    if not material.plots:
        yield _told(material, steps)
        return
    from bdpl_cli.page import figures

    cost, unit = spent(material, steps)
    losses = [step.loss for step in steps]
    drawn = figures.learning(cost, losses, unit=unit, baselines=baselines(material))
    if drawn is not None:
        said = "The loss of an update is the mean over its prompts on the same few training"
        said += " examples, so it jumps; its course counts. The lines are losses on dev."
        if material.decided:
            said += " The model says a label and no probabilities: each loss is 0 or 1."
        yield figure(drawn, said)
    known = [(at, step.spread) for at, step in zip(cost, steps, strict=True) if step.spread]
    if len({len(row) for _, row in known}) == 1:  # not all updates of a long run are told whole
        paid, spread = zip(*known, strict=True)
        drawn = figures.entropies(paid, spread, unit=unit)
        if drawn is not None:
            yield figure(drawn, "Entropy of the positions: how undecided the search still is.")


def _told(material: Material, steps: Sequence[Step]) -> Element:
    """The curve in words."""
    losses = [step.loss for step in steps if np.isfinite(step.loss)]
    tenth = max(1, len(losses) // 10)
    said = []
    if losses:
        first, last = float(np.mean(losses[:tenth])), float(np.mean(losses[-tenth:]))
        updates = counted(tenth, "update")
        said.append(f"Mean loss of the first {updates} {first:.3f}, of the last {last:.3f}.")
    said += [f"Loss of the {name} {level:.3f}." for name, level in baselines(material).items()]
    return tag("p", " ".join(said))
