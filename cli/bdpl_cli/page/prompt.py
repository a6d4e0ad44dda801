"""The prompt of a run: large, its tokens shaded by their probability, and plain to be copied."""

from __future__ import annotations

from collections.abc import Sequence

from bdpl_async.markup import Element, Node, clean, shaded, tag
from bdpl_cli.page.document import note, section
from bdpl_cli.page.material import Material
from bdpl_cli.page.wording import ellipsis

__all__ = ["prompt"]

TEMPLATE = 1000  # characters
LONG = 30  # tokens from which they are set smaller


def prompt(material: Material) -> Element:
    """The section."""
    result = material.result
    title = f"The {material.noun}"
    if not result.prompt:
        why = "It is the empty one: the template is sent with nothing in the place of the prompt."
        return section("prompt", title, tag("p", why), _filled(material))
    odds = _odds(material)
    big = tag("p", shaded(result.tokens, odds) if odds else _plain(result.tokens), dir="auto")
    parts: list[Node] = [tag("div", big, class_="long" if len(result.tokens) > LONG else None)]
    if odds:
        scale = tag("span", class_="scale", role="img", aria_label="from clear to amber")
        parts.append(
            note("Each token is shaded by its probability at the end, from 0", scale, "to 1.")
        )
    if material.cut_off and material.scores("dev")[1] is None:
        parts.append(note("It is the best guess by the time the run was cut off."))
    parts += [tag("h3", "To copy"), tag("pre", result.prompt, dir="auto")]
    if clean(result.prompt) != result.prompt:
        parts.append(
            note(
                "It holds characters that are obeyed instead of shown, which stand here as ",
                "\N{REPLACEMENT CHARACTER}: take it from result.json.",
            )
        )
    return section("prompt", title, *parts, _filled(material))


def _odds(material: Material) -> Sequence[float]:
    """The probability of each token at its position, at the end; empty where there is none."""
    places = material.explained.places or ()
    found = [place.probability for place in places]
    own = [chance for chance in found if chance is not None]
    return own if len(own) == len(material.result.tokens) else ()


def _plain(tokens: Sequence[str]) -> Element:
    """The tokens without shades; the style shows where each ends."""
    spans = (node for token in tokens for node in (tag("span", token, class_="token"), " "))
    return tag("span", spans, class_="prompt")


def _filled(material: Material) -> Element:
    """Where it stands; a model that reads from the left is sent what is before the mask."""
    return tag(
        "p",
        "In the template ",
        tag("code", ellipsis(material.result.template, TEMPLATE)),
        class_="note",
    )
