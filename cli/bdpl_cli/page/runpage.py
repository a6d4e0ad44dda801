"""The page about one run: its parts in the order in which a reader asks for them."""

from __future__ import annotations

from bdpl_async.markup import Element, tag
from bdpl_cli.page.certainty import certainty
from bdpl_cli.page.classes import classes
from bdpl_cli.page.course import course
from bdpl_cli.page.document import document
from bdpl_cli.page.flipped import flipped
from bdpl_cli.page.material import Material
from bdpl_cli.page.money import money, trouble
from bdpl_cli.page.prompt import prompt
from bdpl_cli.page.scores import scores
from bdpl_cli.page.setting import ENDINGS, environment, setting
from bdpl_cli.page.verdict import block, verdict
from bdpl_cli.page.wording import day, ellipsis

__all__ = ["run_page"]

PARTS = (prompt, scores, setting, course, classes, flipped, money, trouble, certainty, environment)
TITLE = 120  # characters


def run_page(material: Material, title: str | None = None) -> bytes:
    """The whole file.

    Args:
        material: of the run.
        title: None names it after the task and the model.
    """
    result = material.result
    named = ellipsis(title or f"{result.task} on {result.model}", TITLE)
    found = [part(material) for part in PARTS]
    sections = [one for one in found if one is not None]
    return document(named, _header(material, named), sections)


def _header(material: Material, title: str) -> Element:
    result = material.result
    ended = ENDINGS.get(result.stop_reason, result.stop_reason)
    said = f"Method {result.method}, seed {result.seed}; {ended}. {day(material.ended)}."
    return tag(
        "header",
        tag("p", "Report of a run", class_="eyebrow"),
        tag("h1", title),
        tag("p", said, class_="lead"),
        block(verdict(material)),
    )
