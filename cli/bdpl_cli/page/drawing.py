"""Where figures are drawn: matplotlib's SVG made into elements that a page can hold.

Colours come out as the page's variables, so that a figure follows light and dark; text stays text
and nothing is loaded from anywhere. Knows nothing of what the figures show.
"""

from __future__ import annotations

import hashlib
import io
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Literal
from xml.etree.ElementTree import Element, fromstring

from bdpl_async.markup import clean

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "ACCENT",
    "CRISP",
    "HALO",
    "INK",
    "MUTED",
    "RULE",
    "SERIES",
    "SMALL",
    "WARM",
    "clipped",
    "drawable",
    "house_style",
    "picture",
    "save",
    "series",
    "variable",
]

WIDTH: Final = 440  # units; a phone shows them at about 0.8 pixels each, a desk at 1.3
HEIGHT: Final = 280
WIDEST: Final = "38rem"
TEXT: Final = 12.5
SMALL: Final = 11.5

# Drawn in colours that nothing else has, and replaced by the page's own.
INK: Final = "#0a0b01"
MUTED: Final = "#0a0b02"
ACCENT: Final = "#0a0b03"
WARM: Final = "#0a0b05"
RULE: Final = "#0a0b04"
SERIES: Final = tuple(f"#0a0c{number:02x}" for number in range(1, 9))
# Read on white and on black, and told apart by most eyes.
USUAL: Final = (
    *("#2f7ec4", "#d9690f", "#0f9d76", "#c25a9c"),  # blue, orange, green, pink
    *("#8a7500", "#7a68d8", "#5b9aa0", "#a0522d"),  # olive, violet, teal, brown
)
VARIABLES: Final = {
    INK: "var(--ink, currentColor)",
    MUTED: "var(--muted, #777)",
    ACCENT: "var(--accent, #2f7ec4)",
    WARM: "var(--warm, #d97706)",
    RULE: "var(--grid, #8884)",
    **{
        colour: f"var(--series-{number}, {usual})"
        for number, (colour, usual) in enumerate(zip(SERIES, USUAL, strict=True), 1)
    },
}
HALO: Final = "halo"  # the id of text that stands on lines: the page shows through around it
CRISP: Final = "crisp"  # the id of what is to have no seams
STYLED: Final = {
    HALO: "paint-order:stroke;stroke:var(--paper, Canvas);stroke-width:4px",
    CRISP: "shape-rendering:crispEdges",
}

HOUSE: Final = {
    "text.parse_math": False,  # names of models and data may hold dollar signs
    "text.usetex": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "bdpl-async",
    "axes.spines.top": False,
    "axes.spines.right": False,
}
PAGE: Final = {
    "font.size": TEXT,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": RULE,
    "axes.linewidth": 1.0,
    "axes.labelsize": SMALL,
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "lines.linewidth": 2.0,
}
NUMBER: Final = re.compile(r"-?\d+\.\d+")
REFERENCE: Final = re.compile(r"url\(#([^)]+)\)")
FONT: Final = re.compile(r"font-family:[^;]*;?\s*")
DROPPED: Final = ("metadata", "style", "title")
PLACES: Final = ("d", "x", "y")


# What any picture shares


@contextmanager
def house_style(*more: dict[str, object]) -> Iterator[None]:
    """matplotlib with our settings and none of the user's own.

    Raises:
        ImportError: matplotlib is not installed.
    """
    from matplotlib import style

    with style.context(["default", HOUSE, *more]):
        yield


def save(figure: Figure, kind: Literal["svg", "png"] = "svg") -> bytes:
    """The file; an SVG without a date, so that the same figure is the same file."""
    file = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else {}
    with any_letter():
        figure.savefig(file, format=kind, metadata=metadata, dpi=120)
    return file.getvalue()


@contextmanager
def any_letter() -> Iterator[None]:
    """No warning of letters that the font for measuring has not: a page has others."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph|.*Glyph", category=UserWarning)
        yield


def drawable(text: str) -> str:
    """Text on one line, without what an SVG file may not hold."""
    shown = clean(" ".join(text.split()))
    return shown.translate(dict.fromkeys((0xFFFE, 0xFFFF), "\N{REPLACEMENT CHARACTER}"))


def clipped(text: str, most: int) -> str:
    """`drawable` text of at most so many characters."""
    shown = drawable(text)
    return shown if len(shown) <= most else f"{shown[: most - 1]}\N{HORIZONTAL ELLIPSIS}"


def series(number: int) -> str:
    """The colour of the n-th line, from 0; the ninth has the first one's again."""
    return SERIES[number % len(SERIES)]


def variable(number: int) -> str:
    """The page's colour of the n-th line, as a style names it."""
    return VARIABLES[series(number)]


# Figures for a page


def picture(label: str, draw: Callable[[Figure], None], height: float = HEIGHT) -> Element:
    """An ``<svg>`` as wide as there is room for.

    Args:
        label: what it shows, for those who cannot see it.
        draw: puts everything on an empty figure.
        height: units, of which a figure is `WIDTH` wide.

    Raises:
        ImportError: matplotlib is not installed.
    """
    with house_style(dict(PAGE)):
        from matplotlib.figure import Figure

        figure = Figure(figsize=(WIDTH / 72, height / 72), layout="constrained", facecolor="none")
        with any_letter():
            draw(figure)
        source = save(figure)
    return _adopted(fromstring(source), label, hashlib.sha256(source).hexdigest()[:8])  # noqa: S314


# From a file to an element


def _adopted(root: Element, label: str, prefix: str) -> Element:
    """The tree as part of a page: no namespaces, own ids, the page's fonts and colours."""
    used = {name for element in root.iter() for name in _references(element)}
    _strip(root)
    for element in root.iter():
        _adopt(element, used, prefix)
    shape = root.attrib["viewBox"]
    root.attrib.clear()
    style = f"width:100%;height:auto;max-width:{WIDEST};stroke-linejoin:round"
    root.attrib.update(
        {"class": "figure", "viewBox": shape, "role": "img", "aria-label": clean(label)}
        | {"style": style}
    )
    return root


def _references(element: Element) -> list[str]:
    found = [value for key, value in element.attrib.items() if key.endswith("href")]
    names = [value[1:] for value in found if value.startswith("#")]
    return names + [name for value in element.attrib.values() for name in REFERENCE.findall(value)]


def _strip(element: Element) -> None:
    """No namespaces, and nothing that would reach beyond the figure."""
    element.tag = element.tag.rpartition("}")[2]
    element.text = (element.text or "").strip("\n") if element.tag == "text" else None
    element.tail = None
    for child in list(element):
        if child.tag.rpartition("}")[2] in DROPPED:
            element.remove(child)
        else:
            _strip(child)


def _adopt(element: Element, used: set[str], prefix: str) -> None:
    for key, value in list(element.attrib.items()):
        del element.attrib[key]
        name, kept = key.rpartition("}")[2], value
        if name == "id":
            kind = value.partition("-")[0]
            if kind in STYLED:
                element.attrib["style"] = STYLED[kind]
            if value not in used:
                continue
            kept = f"{prefix}-{value}"
        elif name == "href" and value.startswith("#"):
            kept = f"#{prefix}-{value[1:]}"
        elif name == "href":
            kept = "".join(value.split())
        elif name == "style":
            kept = _coloured(FONT.sub("", value))
        elif name in PLACES:
            kept = NUMBER.sub(lambda found: f"{float(found[0]):.2f}", " ".join(value.split()))
        element.attrib[name] = REFERENCE.sub(rf"url(#{prefix}-\1)", kept)


def _coloured(style: str) -> str:
    for colour, variable in VARIABLES.items():
        style = style.replace(colour, variable)
    return style
