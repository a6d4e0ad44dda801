"""Whether the model is as often right as it is sure, before and after, and what was taken off."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from bdpl_async.markup import Element, Node, tag
from bdpl_async.reliability import Reliability, reliability_of
from bdpl_cli.page.document import figure, note, section, table
from bdpl_cli.page.material import Material
from bdpl_cli.page.wording import ellipsis, share

__all__ = ["certainty"]

ROUGH: Final = 200  # examples below which the error is mostly noise
NAME: Final = 40


def certainty(material: Material) -> Element | None:
    """The section; None where the model gave no probabilities, or no answers were kept."""
    found = _found(material)
    offsets = _offsets(material)
    if not found and offsets is None:
        return None
    parts: list[Node] = []
    if offsets is not None:
        parts.append(offsets)
    if found:
        parts += _reliability(material, found)
    return section("certainty", "Calibration", *parts)


def _found(material: Material) -> dict[str, Reliability]:
    """By the name of the prompt; nothing of a model that only says labels."""
    if material.decided:
        return {}
    names = {"empty": "empty prompt", "learned": material.noun}
    each = {
        name: reliability_of(material.answers[role])
        for role, name in names.items()
        if role in material.answers
    }
    return {name: one for name, one in each.items() if one is not None}


def _reliability(material: Material, found: Mapping[str, Reliability]) -> Iterator[Node]:
    n = next(iter(found.values())).n
    errors = (f"{100 * one.ece:.1f} points for the {name}" for name, one in found.items())
    said = f"Expected calibration error on {n:,} {material.split} examples:"
    yield tag("p", f"{said} {', '.join(errors)}.")
    if material.plots:
        from bdpl_cli.page import figures

        drawn = figures.reliability(found.get("empty prompt"), found.get(material.noun))
        if drawn is not None:
            caption = "How often answers are right against how sure they are; on the dashed line"
            yield figure(drawn, f"{caption} the two agree.")
    yield tag("div", [_bins(one, name) for name, one in found.items()], class_="beside")
    yield note(
        "Confidence is the probability of the answer among the label words. Each row holds about"
        " as many examples; the error is the mean distance between the two columns."
        + (" With so few examples much of it is chance." if n < ROUGH else "")
    )


def _bins(found: Reliability, name: str) -> Element:
    rows: list[tuple[Node, list[Node]]] = [
        (share(part.confidence), [share(part.accuracy), f"{part.count:,}"]) for part in found.bins
    ]
    title = f"{name[0].upper()}{name[1:]}"
    return table(title, ["Confidence", "Right", "Examples"], rows, kind="figures")


def _offsets(material: Material) -> Element | None:
    frozen = material.result.calibration
    if frozen is None:
        return None
    rows: list[tuple[Node, list[Node]]] = [
        (ellipsis(name, NAME), [f"{offset:+.3f}"])
        for name, offset in zip(material.labels, frozen.offsets, strict=True)
    ]
    caption = f"Taken off the answers to the {material.noun} ({frozen.kind} calibration)"
    return table(caption, ["Label", "Nats"], rows, kind="figures")
