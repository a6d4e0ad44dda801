"""Axes as all figures have them: few ticks, faint lines, baselines whose names can be read."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from bdpl_cli.page.drawing import INK, MUTED, SMALL, clipped, drawable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

__all__ = [
    "axes_of",
    "baseline_lines",
    "legend",
    "percent_axis",
    "room",
    "spend_axis",
    "spread_apart",
]

NAME: Final = 26  # characters of a baseline's name
LINE: Final = 14  # of them on a line
LINE_SHARE: Final = 0.062  # height of a line, of the axes'
NAMED: Final = 6  # baselines that have names


def axes_of(figure: Figure) -> Axes:
    """Axes with faint horizontal lines and few ticks."""
    axes = figure.add_subplot(facecolor="none")
    axes.grid(axis="y")
    axes.tick_params(length=3)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.locator_params(axis="y", nbins=5)
    return axes


def spend_axis(axes: Axes, unit: str) -> None:
    """An x axis of what was spent: `unit` is "USD" or what is counted, such as "prompts"."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    money = unit == "USD"
    if axes.get_xscale() == "linear":
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=not money))
    text = (lambda x, _: f"${x:,.6g}") if money else (lambda x, _: f"{x:,.6g}")
    axes.xaxis.set_major_formatter(FuncFormatter(text))
    axes.set_xlabel("USD spent" if money else f"{drawable(unit)} asked")


def legend(figure: Figure, axes: Axes, columns: int = 3) -> None:
    """The names of the lines, above the axes."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        figure.legend(
            handles,
            labels,
            loc="outside upper left",
            ncols=columns,
            columnspacing=1.2,
            handlelength=1.4,
            handletextpad=0.5,
            borderaxespad=0.2,
        )


def spread_apart(heights: Sequence[float], gap: float) -> list[float]:
    """The heights in their order, moved as little as it takes to lie `gap` apart.

    Neighbours that are too close form a block about their common middle.
    """
    order = sorted(range(len(heights)), key=heights.__getitem__)
    blocks: list[tuple[float, int]] = []  # middle, members
    for place in order:
        middle, members = heights[place], 1
        while blocks and middle - blocks[-1][0] < gap * (members + blocks[-1][1]) / 2:
            below, others = blocks.pop()
            middle = (middle * members + below * others) / (members + others)
            members += others
        blocks.append((middle, members))
    spread = [
        middle + gap * (rank - (members - 1) / 2)
        for middle, members in blocks
        for rank in range(members)
    ]
    found = [math.nan] * len(heights)
    for place, height in zip(order, spread, strict=True):
        found[place] = height
    return found


def baseline_lines(axes: Axes, levels: Mapping[str, float]) -> None:
    """Dashed horizontal lines with their names right of the axes, which do not hide each other.

    Args:
        axes: with the limits of y set; they are widened where the names need it.
        levels: height by name; of many the names are left out.
    """
    named = dict(levels) if len(levels) <= NAMED else {}
    for level in levels.values():
        axes.axhline(level, color=MUTED, linestyle=(0, (5, 3)), linewidth=1.1)
    if not named:
        return
    texts = [textwrap.fill(clipped(name, NAME), LINE) for name in named]
    low, high = axes.get_ylim()
    gap = (high - low) * LINE_SHARE * max(text.count("\n") + 1.2 for text in texts)
    heights = spread_apart(list(named.values()), gap)
    axes.set_ylim(min(low, min(heights) - gap / 2), max(high, max(heights) + gap / 2))
    for text, height in zip(texts, heights, strict=True):
        axes.annotate(
            text,
            (1.015, height),
            xycoords=("axes fraction", "data"),
            va="center",
            color=INK,
            fontsize=SMALL,
            linespacing=1.0,
            annotation_clip=False,
        )


def room(axes: Axes, levels: Sequence[float]) -> None:
    """Let the y axis hold all levels, with a little room."""
    low, high = min(levels), max(levels)
    room = (high - low) * 0.06 or abs(high) * 0.1 or 0.1
    axes.set_ylim(low - room, high + room)


def percent_axis(axis: Axis) -> None:
    """Shares as per cent."""
    from matplotlib.ticker import FuncFormatter

    axis.set_major_formatter(FuncFormatter(lambda x, _: f"{100 * x:.3g} %"))
