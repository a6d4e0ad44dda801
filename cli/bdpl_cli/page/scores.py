"""Before and after: the empty and the run's prompt on dev and test, with their intervals drawn."""

from __future__ import annotations

import math
from collections.abc import Iterator

from bdpl_async.evaluation import Evaluation
from bdpl_async.markup import Element, Node, tag
from bdpl_async.wording import bounds, signed
from bdpl_cli.page.document import note, section, table
from bdpl_cli.page.material import METRIC, Material
from bdpl_cli.page.wording import probability, share

__all__ = ["scores"]

GRID = 0.05  # the drawn range begins and ends at a multiple of it
Row = tuple[Node, list[Node]]


def scores(material: Material) -> Element | None:
    """The section; None where nothing was scored."""
    found = [one for split in ("test", "dev") for one in material.scores(split) if one is not None]
    if not found:
        return None
    name = METRIC.get(found[0].metric, found[0].metric)
    domain = _domain(found)
    rows = [row for split in ("test", "dev") for row in _rows(material, split, domain)]
    low, high = (share(end, 0) for end in domain)
    whole = table(
        f"Scores of the empty prompt and of the {material.noun}",
        ["", name[0].upper() + name[1:], "95 %", "Examples", f"From {low} to {high}"],
        rows,
        kind="figures drawn",
    )
    said = "An interval of 95 % says how far the score of so few examples may be off."
    if any(material.gain(split) for split in ("test", "dev")):
        said += " Differences are of the same examples, so their interval is narrower than those of"
        said += " the two scores; p is McNemar's exact test of how often each is right."
    if (material.result.chosen_from or 0) > 1:
        said += f" Dev chose the prompt from {material.result.chosen_from}: its dev score flatters."
    return section("scores", "Before and after", whole, note(said))


def _rows(material: Material, split: str, domain: tuple[float, float]) -> Iterator[Row]:
    empty, own = material.scores(split)
    name = split.capitalize()
    if empty is not None:
        yield f"{name}, empty", _cells(empty, domain)
    if own is not None and (material.result.prompt or material.noun != "prompt"):
        yield f"{name}, {material.noun.removesuffix(' prompt')}", _cells(own, domain)
    gain = material.gain(split)
    if gain is not None:
        points = tag("strong", f"{signed(gain.score)} points")
        chance = probability(gain.p_value)
        yield f"{name}, difference", [points, bounds(gain.ci95, sign=True), "", chance]


def _cells(found: Evaluation, domain: tuple[float, float]) -> list[Node]:
    lost = f" ({found.unanswered:,} unanswered)" if found.unanswered else ""
    return [share(found.score), bounds(found.ci95), f"{found.n:,}{lost}", _drawn(found, domain)]


def _domain(found: list[Evaluation]) -> tuple[float, float]:
    """A range that holds all intervals, its ends at round numbers; -100 to 100 % at the most."""
    low = max(-1.0, min(one.ci95[0] for one in found))
    high = min(1.0, max(one.ci95[1] for one in found))
    ends = math.floor(low / GRID) * GRID, math.ceil(high / GRID) * GRID
    return ends if ends[0] < ends[1] else (ends[0], ends[0] + GRID)


def _drawn(found: Evaluation, domain: tuple[float, float]) -> Element:
    """The interval as a bar and the score as a mark on it."""

    def place(value: float) -> float:
        return 100 * (value - domain[0]) / (domain[1] - domain[0])

    start, end = (place(bound) for bound in found.ci95)
    span = tag("i", class_="range", style=f"left:{start:.1f}%;width:{end - start:.1f}%")
    mark = tag("i", class_="at", style=f"left:{place(found.score):.1f}%")
    return tag("td", tag("span", span, mark, class_="track", aria_hidden="true"), class_="bar")
