"""What a run comes to, in one honest sentence, and what stands between it and its use.

An interval that holds zero is no difference, whatever the scores look like; a dev score that chose
among several is never given as a proof.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from bdpl_async.evaluation import Evaluation, Gain
from bdpl_async.markup import Element, tag
from bdpl_async.wording import bounds, counted, percent, signed
from bdpl_cli.page.material import METRIC, Material
from bdpl_cli.page.wording import probability, share

__all__ = ["Verdict", "block", "verdict"]

FEW = 100  # examples below which a score is a rough one
SURE = 0.05
Kind = Literal["better", "worse", "same", "open"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The sentence.

    Attributes:
        kind: whether the run's prompt is better than none, as far as these examples can show.
    """

    kind: Kind
    text: str
    doubts: tuple[str, ...]


def verdict(material: Material) -> Verdict:
    """What can be said of this run."""
    kind: Kind = "open"
    empty, own = material.scores("test")
    if own is None or empty is None:
        text = _untested(material)
    elif not material.result.prompt:
        kind, text = "same", _bare(material, own)
    elif (gain := material.gain("test")) is not None:
        kind, text = _judged(material, gain, (empty, own))
    else:
        text = f"On test the {material.noun} scores {share(own.score)}, the empty one"
        text += f" {share(empty.score)}; whether that is chance cannot be said, since the answers"
        text += " were not kept."
    return Verdict(kind, text, tuple(_doubts(material)))


def block(found: Verdict) -> Element:
    """The verdict, to stand out."""
    doubts = tag("ul", (tag("li", doubt) for doubt in found.doubts)) if found.doubts else ()
    said = tag("p", tag("strong", found.text))
    return tag("div", said, doubts, class_=f"verdict {found.kind}", role="note")


def _judged(
    material: Material, gain: Gain, scores: tuple[Evaluation, Evaluation]
) -> tuple[Kind, str]:
    empty, own = scores
    low, high = gain.ci95
    metric = METRIC.get(own.metric, own.metric)
    doubt = f"95 %: {bounds(gain.ci95, sign=True)}, n={own.n:,}; {probability(gain.p_value)}"
    if low <= 0 <= high:
        return "same", (
            f"On test there is no difference that these {own.n:,} examples can show: {metric} is"
            f" {share(own.score)} with the {material.noun} and {share(empty.score)} without one"
            f" ({signed(gain.score)} points; {doubt})."
        )
    better = gain.score > 0
    text = (
        f"On test the {material.noun} scores {signed(abs(gain.score))[1:]} points"
        f" {'above' if better else 'below'} the empty one ({doubt}): {metric} is"
        f" {share(own.score)} with it and {share(empty.score)} without."
    )
    if gain.p_value >= SURE:
        text += " It is a close call: the test of right answers does not rule chance out."
    return ("better" if better else "worse"), text


def _untested(material: Material) -> str:
    empty, own = material.scores("dev")
    result = material.result
    if own is None:
        if not result.steps_done:
            return "The run ended before anything was learned."
        return (
            f"The run was cut off after {counted(result.steps_done, 'update')}: its prompt is the"
            " best guess by then, and was scored on nothing."
        )
    text = f"There is no test score, so nothing is proven: on dev the {material.noun} scores"
    text += f" {share(own.score)}"
    if empty is not None:
        text += f", the empty one {share(empty.score)}"
    return f"{text} (n={own.n:,})."


def _bare(material: Material, own: Evaluation) -> str:
    score = f"{percent(own)} on test"
    if material.noun == "prompt":
        return f"The empty prompt scores {score}; there is nothing to compare it with."
    return f"Dev chose the empty prompt: the search found nothing better. It scores {score}."


def _doubts(material: Material) -> Iterator[str]:
    result = material.result
    own = material.scores("dev")[1]
    if (result.chosen_from or 0) > 1 and own is not None:
        yield (
            f"Dev chose this prompt from {result.chosen_from}, so its dev score"
            f" ({share(own.score)}) flatters it."
            + (" Test had no part in the choice." if result.test is not None else "")
        )
    empty = material.scores("dev")[0]
    if own is not None and empty is not None and own.score < empty.score:
        yield "On dev the empty prompt scored higher."
    if material.cut_off:
        why = "was interrupted" if result.stop_reason == "interrupted" else "lost its provider"
        yield f"The run {why}: this is how far it had come."
    best = result.test or result.dev
    if best is not None and best.n < FEW:
        yield f"{counted(best.n, 'example')} {'makes' if best.n == 1 else 'make'} a rough score."
    yield from _about_answers(material)


def _about_answers(material: Material) -> Iterator[str]:
    result = material.result
    for split in ("test", "dev"):
        roles = ("empty prompt", material.noun)
        for role, scored in zip(roles, material.scores(split), strict=True):
            if scored is not None and scored.unanswered:
                lost, of = scored.unanswered, counted(scored.n, f"{split} example")
                yield (
                    f"{lost:,} of {of} got no usable answer with the {role} and"
                    f" {'counts' if lost == 1 else 'count'} as wrong."
                )
    if result.calibration is not None:
        yield (
            f"The scores of the {material.noun} are calibrated ({result.calibration.kind}), those"
            " of the empty prompt are as the model gave them."
        )
    if result.model.startswith("simulated/"):
        yield "The model is simulated: its scores mean nothing for a real one."
