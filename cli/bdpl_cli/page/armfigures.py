"""The figures of a comparison: who scores what at which cost, and how fast each arm learned.

Numbers in, an ``<svg>`` element out, or None where there is nothing to draw. They need
matplotlib, the extra `report`: every function raises ImportError without it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bdpl_cli.page.axes import (
    axes_of,
    baseline_lines,
    legend,
    percent_axis,
    room,
    spend_axis,
    spread_apart,
)
from bdpl_cli.page.drawing import HALO, INK, MUTED, SMALL, clipped, drawable, picture, series
from bdpl_cli.page.figures import finite, smooth, thinned

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["LINES", "NAMED", "ArmCurve", "ArmPoint", "curves", "place_labels", "scatter"]

Floats = NDArray[np.float64]
Size = tuple[float, float]  # also a place
Box = tuple[float, float, float, float]  # left, bottom, right, top
WIDE: Final = 8.0  # largest over smallest cost from which the axis is logarithmic
NAMED: Final = 12  # arms; more have their numbers beside them
NAME: Final = 24  # characters
LETTER: Final = 0.56  # width of a letter, of its height
GRID: Final = 300  # points of a line
LINES: Final = 8  # arms that have a colour of their own
NEAR: Final = 0.03  # of the width: arms of equal costs are drawn so far apart
REACH: Final = (7.0, 17.0, 29.0, 44.0)  # units between a point and its name


@dataclass(frozen=True, slots=True)
class ArmPoint:
    """An arm: what it cost, what it scores (0 to 1) and the 95 % interval of that."""

    name: str
    cost: float
    score: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ArmCurve:
    """An arm that learns.

    Attributes:
        runs: for each what was spent, (T,), and the losses, (T,).
        number: of its colour, from 0.
    """

    name: str
    runs: Sequence[tuple[ArrayLike, ArrayLike]]
    number: int


def scatter(
    points: Sequence[ArmPoint], *, unit: str, measured: str, bare: float | None = None
) -> Element | None:
    """Score against cost, a point and its interval for each arm.

    Args:
        points: those without a cost or a score are left out.
        unit: of the cost: "USD", or what is counted.
        measured: what goes upwards, such as "test accuracy".
        bare: score of the empty prompt, drawn as a line.
    """
    known = [
        (number, point)
        for number, point in enumerate(points, 1)
        if np.isfinite([point.cost, point.score, point.low, point.high]).all()
    ]
    if not known:
        return None
    names = [clipped(p.name, NAME) if len(points) <= NAMED else f"{n}" for n, p in known]

    def draw(figure: Figure) -> None:
        axes = axes_of(figure)
        _limits(axes, [point for _, point in known])
        if bare is not None and np.isfinite(bare):
            baseline_lines(axes, {"empty prompt": bare})
        _cost_axis(axes, unit)
        percent_axis(axes.yaxis)
        axes.set_ylabel(drawable(measured))
        axes.set_xlim(axes.get_xlim())
        figure.draw_without_rendering()  # settles where a cost lies
        spots = _beside_each_other(axes, [point for _, point in known])
        for (number, point), (x, _, _, _) in zip(known, spots, strict=True):
            colour = series(number - 1) if len(points) <= LINES else INK
            axes.vlines(x, point.low, point.high, color=colour, alpha=0.5, linewidth=1.5)
            axes.plot(x, point.score, "o", color=colour, markersize=6.5)
        _name(axes, names, spots)

    told = "; ".join(f"{p.name} {100 * p.score:.1f} % at {p.cost:,.6g}" for _, p in known[:NAMED])
    return picture(f"{measured} against {unit}: {told}.", draw, 300)


def curves(arms: Sequence[ArmCurve], fixed: Mapping[str, float], *, unit: str) -> Element | None:
    """Loss against what was spent: every run's moving mean, faint; each arm's best so far.

    Args:
        arms: that learn; of several runs the best so far is their mean.
        fixed: losses of those that do not, by name; drawn as lines.
        unit: as for `scatter`.
    """
    found = [(arm, runs) for arm in arms if (runs := _runs(arm))]
    if not found:
        return None
    known = {name: level for name, level in fixed.items() if np.isfinite(level)}

    def draw(figure: Figure) -> None:
        axes = axes_of(figure)
        levels = list(known.values())
        for arm, runs in found:
            colour = series(arm.number) if len(found) <= LINES else MUTED
            for spent, means, best in runs:
                shown = thinned(len(spent), GRID)
                axes.plot(spent[shown], means[shown], color=colour, alpha=0.35, linewidth=1)
                levels += [*means[np.isfinite(best)], np.nanmax(best)]
            grid, best = _mean_best(runs)
            label = clipped(arm.name, NAME) if len(found) <= LINES else None
            axes.step(grid, best, where="post", color=colour, label=label)
        room(axes, levels)
        baseline_lines(axes, known)
        spend_axis(axes, unit)
        axes.set_ylabel("loss")
        legend(figure, axes, 2 if max(len(arm.name) for arm, _ in found) > 12 else 3)

    label = f"Loss against {unit} of {len(found)} arms; the best mean was "
    ends = [f"{min(np.nanmin(best) for *_, best in runs):.3f} of {arm.name}" for arm, runs in found]
    return picture(f"{label}{', '.join(ends[:LINES])}.", draw, 300)


def place_labels(
    spots: Sequence[Size], sizes: Sequence[Size], frame: Size, others: Sequence[Box] = ()
) -> list[Size]:
    """Where the middles of labels go, so that they hide each other and the spots least.

    Args:
        spots: (x, y) of what is named, in units from the corner of the frame.
        sizes: (width, height) of each label.
        frame: its width and height; labels keep within.
        others: boxes that are better not hidden either.
    """
    taken = [(_box(spot, (10.0, 10.0)), 1.0) for spot in spots]
    taken += [(box, 0.5) for box in others]
    found = []
    for spot, size in zip(spots, sizes, strict=True):
        tries = [_beside(spot, size, *where) for where in product(REACH, range(8))]
        tries = [_within(middle, size, frame) for middle in tries]
        costs = [
            sum(weight * _overlap(_box(middle, size), box) for box, weight in taken)
            + _gap(_box(middle, size), spot)
            for middle in tries
        ]
        best = tries[int(np.argmin(costs))]
        taken.append((_box(best, size), 20.0))
        found.append(best)
    return found


# Labels


def _beside(spot: Size, size: Size, reach: float, way: int) -> Size:
    """The middle of a label in one of eight directions, right and left first."""
    across, up = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1))[way]
    return (
        spot[0] + across * (size[0] / 2 + reach),
        spot[1] + up * (size[1] / 2 + reach - 2),
    )


def _within(middle: Size, size: Size, frame: Size) -> Size:
    x, y = (
        min(max(at, length / 2), max(most - length / 2, length / 2))
        for at, length, most in zip(middle, size, frame, strict=True)
    )
    return x, y


def _box(middle: Size, size: Size) -> Box:
    (x, y), (width, height) = middle, size
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _overlap(one: Box, other: Box) -> float:
    """The area that both boxes cover."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, width) * max(0.0, height)


def _gap(box: Box, spot: Size) -> float:
    """How far the nearest edge of a box is."""
    across = max(box[0] - spot[0], spot[0] - box[2], 0.0)
    return across + max(box[1] - spot[1], spot[1] - box[3], 0.0)


def _beside_each_other(axes: Axes, points: Sequence[ArmPoint]) -> list[Box]:
    """Of each arm where it is drawn, (x, score, low, high): equal costs a little apart."""
    ends = [(point.cost, point.score) for point in points]
    shown = axes.transData.transform(ends)
    wide = axes.get_window_extent().width * NEAR
    apart = spread_apart(shown[:, 0].tolist(), wide / max(1.0, len(points) / NAMED))
    places = axes.transData.inverted().transform(np.column_stack([apart, shown[:, 1]]))
    return [
        (float(x), point.score, point.low, point.high)
        for (x, _), point in zip(places, points, strict=True)
    ]


def _name(axes: Axes, names: Sequence[str], spots: Sequence[Box]) -> None:
    """Put the names beside their points; the layout has to be settled."""
    scale = 72 / axes.figure.dpi
    frame = axes.get_window_extent()

    def units(x: float, y: float) -> Size:
        across, up = (axes.transData.transform((x, y)) - (frame.x0, frame.y0)) * scale
        return float(across), float(up)

    places = [units(x, score) for x, score, _, _ in spots]
    bars = [
        (units(x, low)[0] - 1.5, units(x, low)[1], units(x, low)[0] + 1.5, units(x, high)[1])
        for x, _, low, high in spots
    ]
    sizes = [(LETTER * SMALL * len(name) + 2, SMALL * 1.15) for name in names]
    size = (frame.width * scale, frame.height * scale)
    for number, middle in enumerate(place_labels(places, sizes, size, bars)):
        place = places[number]
        axes.annotate(
            names[number],
            spots[number][:2],
            xytext=(middle[0] - place[0], middle[1] - place[1]),
            textcoords="offset points",
            ha="center",
            va="center_baseline",
            color=INK,
            fontsize=SMALL,
            gid=f"{HALO}-{number}",
        ).set_in_layout(False)


# Axes and lines


def _limits(axes: Axes, points: Sequence[ArmPoint]) -> None:
    """Let the axes hold all points and their intervals."""
    costs = [point.cost for point in points]
    if min(costs) > 0 and max(costs) / min(costs) >= WIDE:
        axes.set_xscale("log")
    axes.margins(x=0.12)
    axes.update_datalim([(point.cost, point.score) for point in points])
    axes.autoscale_view()
    room(axes, [end for point in points for end in (point.low, point.high)])


def _cost_axis(axes: Axes, unit: str) -> None:
    """As `spend_axis`, on a logarithmic scale too, where few ticks have numbers."""
    if axes.get_xscale() == "log":
        from matplotlib.ticker import LogLocator, NullLocator

        low, high = axes.get_xlim()
        few = np.log10(high / low) < 2.2
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 3) if few else (1,)))
        axes.xaxis.set_minor_locator(NullLocator())
    spend_axis(axes, unit)


def _runs(arm: ArmCurve) -> list[tuple[Floats, Floats, Floats]]:
    """Of each run what was spent, the moving mean and the best so far, (T,) each."""
    found = []
    for cost, losses in arm.runs:
        spent, values = finite(cost, losses)
        if len(values):
            means, best, _ = smooth(values)
            found.append((spent, means, best))
    return found


def _mean_best(runs: Sequence[tuple[Floats, Floats, Floats]]) -> tuple[Floats, Floats]:
    """The best so far as the mean of the runs, where all have one."""
    known = [(spent[np.isfinite(best)], best[np.isfinite(best)]) for spent, _, best in runs]
    first = max(spent[0] for spent, _ in known)
    grid = np.linspace(first, max(first, *(spent[-1] for spent, _ in known)), GRID)
    rows = [best[np.searchsorted(spent, grid, side="right").clip(1) - 1] for spent, best in known]
    return grid, np.mean(rows, axis=0)
