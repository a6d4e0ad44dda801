"""The figures of a run's report: how it learned, what it was sure of, how reliable it became.

Numbers in, an ``<svg>`` element out, or None where there is nothing to draw. They need
matplotlib, the extra `report`: every function raises ImportError without it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bdpl_cli.page.axes import axes_of, baseline_lines, legend, percent_axis, room, spend_axis
from bdpl_cli.page.drawing import ACCENT, CRISP, MUTED, WARM, clipped, picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bdpl_async.reliability import Reliability

__all__ = ["entropies", "finite", "heatmap", "learning", "reliability", "smooth", "thinned"]

Floats = NDArray[np.float64]
DOTS: Final = 400  # more are thinned out
COLUMNS: Final = 200  # of a heat map
CELLS: Final = 4000  # of a heat map; a prompt of many tokens has fewer columns
WINDOW: Final = (3, 50)  # updates that a smoothed loss is the mean of, at least and at most
SHADES: Final = 24  # of a heat map
TOPS: Final = (0.1, 0.2, 0.5, 1.0)  # the darkest shade is the least of these that none is above


def smooth(losses: ArrayLike) -> tuple[Floats, Floats, int]:
    """The mean of the last few losses, the least of these means so far, and how few.

    The mean reaches back over a tenth of the updates; before there are that many it is of those
    that there are, and no such mean counts as the best.

    Args:
        losses: (T,) without NaN.
    """
    values = np.asarray(losses, dtype=np.float64)
    width = min(max(len(values) // 10, WINDOW[0]), WINDOW[1], max(1, len(values)))
    totals = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - width, 0)
    means = (totals[ends] - totals[starts]) / (ends - starts)
    best = np.where(ends >= width, means, np.nan)
    return means, np.fmin.accumulate(best), width


def learning(
    cost: ArrayLike, losses: ArrayLike, *, unit: str, baselines: Mapping[str, float]
) -> Element | None:
    """Loss against what was spent: a dot for each update, their moving mean, the best mean so far.

    Args:
        cost: (T,) spent after each update.
        losses: (T,) mean loss of each; NaN ones are left out.
        unit: "USD", or what was counted, such as "prompts".
        baselines: losses to compare with, by name; drawn as lines.
    """
    spent, values = finite(cost, losses)
    if not len(values):
        return None
    means, best, width = smooth(values)
    known = {name: level for name, level in baselines.items() if np.isfinite(level)}

    def draw(figure: Figure) -> None:
        axes = axes_of(figure)
        shown = thinned(len(values), DOTS)
        dots = axes.scatter(spent[shown], values[shown], s=9, color=MUTED, alpha=0.45, linewidths=0)
        dots.set_label("an update")
        axes.plot(spent[shown], means[shown], color=ACCENT, label=f"mean of {width}")
        axes.step(spent[shown], best[shown], where="post", color=WARM, label="best so far")
        low, high = np.quantile(values, (0.01, 0.99))
        levels = [float(low), float(high), *means, *known.values()]
        room(axes, levels)
        baseline_lines(axes, known)
        spend_axis(axes, unit)
        axes.set_ylabel("loss")
        legend(figure, axes)

    label = f"Loss against {unit} spent over {len(values):,} updates, from {means[0]:.3f} to"
    return picture(f"{label} {means[-1]:.3f}; the best mean was {np.nanmin(best):.3f}.", draw)


def entropies(cost: ArrayLike, spread: ArrayLike, *, unit: str) -> Element | None:
    """Entropy that is left against what was spent: the mean, and from the least to the most.

    Args:
        cost: (T,) spent after each update.
        spread: (T, n) entropy of each position, nats.
        unit: as for `learning`.
    """
    rows = np.asarray(spread, dtype=np.float64)
    if rows.ndim != 2 or not rows.size:
        return None
    spent, _, rows = _numbers(cost, rows)
    if not len(rows):
        return None
    mean, low, high = rows.mean(axis=1), rows.min(axis=1), rows.max(axis=1)

    def draw(figure: Figure) -> None:
        axes = axes_of(figure)
        shown = thinned(len(spent), DOTS)
        band = axes.fill_between(spent[shown], low[shown], high[shown], color=ACCENT, alpha=0.2)
        band.set_linewidth(0)
        band.set_label("all positions")
        axes.plot(spent[shown], mean[shown], color=ACCENT, label="mean")
        room(axes, [0.0, float(high.max())])
        axes.set_ylim(bottom=0)
        spend_axis(axes, unit)
        axes.set_ylabel("entropy (nats)")
        legend(figure, axes)

    label = f"Entropy of the positions against {unit} spent: mean {mean[0]:.2f} nats at first,"
    return picture(f"{label} {mean[-1]:.2f} at the end.", draw, 240)


def heatmap(odds: ArrayLike, steps: Sequence[int], tokens: Sequence[str] = ()) -> Element | None:
    """Probability of the likeliest token at each position (rows) after each update (columns).

    Args:
        odds: (T, n), 0 to 1.
        steps: (T,) numbers of the updates.
        tokens: (n,) names of the rows, as the tokens they ended with; else they are numbered.
    """
    rows = np.asarray(odds, dtype=np.float64)
    if rows.ndim != 2 or not rows.size or len(steps) != len(rows):
        return None
    shown = thinned(len(rows), min(COLUMNS, max(CELLS // rows.shape[1], 2)))
    image, count = np.clip(np.nan_to_num(rows[shown].T), 0, 1), rows.shape[1]
    top = next(level for level in TOPS if level >= image.max())
    names = [f"{i}  {clipped(t, 14)}" for i, t in enumerate(tokens, 1)]
    if len(names) != count:
        names = [str(i) for i in range(1, count + 1)]

    def draw(figure: Figure) -> None:
        axes, bar = figure.subplots(2, height_ratios=[count * 16, 9])
        edges = [steps[0] - 0.5, *(steps[i] + 0.5 for i in shown)]
        _shaded(axes, image / top, np.array(edges))
        some = thinned(count, 12)
        axes.set_yticks(some + 0.5, [names[i] for i in some])
        axes.invert_yaxis()
        axes.locator_params(axis="x", nbins=5, integer=True)
        axes.set_xlabel("update")
        _scale(bar, top)
        for part in (axes, bar):
            part.set_facecolor("none")
            part.tick_params(length=0)
            part.spines[:].set_visible(True)

    label = f"Probability of the likeliest token at {count} positions over {len(rows):,} updates:"
    label += f" mean {rows[0].mean():.2f} at first, {rows[-1].mean():.2f} at the end."
    return picture(label, draw, 118 + 16 * min(max(count, 3), 30))


def reliability(before: Reliability | None, after: Reliability | None) -> Element | None:
    """Accuracy against confidence, for the empty prompt (`before`) and the other one.

    A point on the diagonal is as often right as it is sure; its size tells how many examples. The
    bars are 95 % intervals.
    """
    from bdpl_async.intervals import wilson

    sides = [("empty", before, MUTED), ("prompt", after, WARM)]
    drawn = [(name, found, colour) for name, found, colour in sides if found is not None]
    if not drawn:
        return None

    def draw(figure: Figure) -> None:
        axes = axes_of(figure)
        axes.plot([0, 1], [0, 1], color=MUTED, linestyle=(0, (5, 3)), linewidth=1)
        for name, found, colour in drawn:
            sure = np.array([part.confidence for part in found.bins])
            right = np.array([part.accuracy for part in found.bins])
            ends = [wilson(round(p.accuracy * p.count), p.count) for p in found.bins]
            axes.vlines(sure, *zip(*ends, strict=True), color=colour, alpha=0.35, linewidth=1.5)
            axes.plot(sure, right, color=colour, linewidth=1.2)
            label = f"{name}: error {100 * found.ece:.1f} points"
            sizes = 14 + 160 * np.array([part.count for part in found.bins]) / found.n
            axes.scatter(sure, right, s=sizes, color=colour, linewidths=0, label=label)
        least = min(part.confidence for _, found, _ in drawn for part in found.bins)
        axes.set_xlim(max(0.0, np.floor(10 * least - 0.2) / 10), 1.02)
        axes.set_ylim(-0.02, 1.02)
        percent_axis(axes.xaxis)
        percent_axis(axes.yaxis)
        axes.set_xlabel("confidence")
        axes.set_ylabel("right")
        legend(figure, axes, 2)

    words = [f"{name} prompt {100 * found.ece:.1f} points" for name, found, _ in drawn]
    return picture(f"Accuracy against confidence. Calibration error: {', '.join(words)}.", draw)


# Numbers


def finite(cost: ArrayLike, losses: ArrayLike) -> tuple[Floats, Floats]:
    """Both, (T,) each, where both are numbers."""
    spent, values, _ = _numbers(cost, np.asarray(losses, dtype=np.float64)[:, np.newaxis])
    return spent, values


def _numbers(cost: ArrayLike, rows: Floats) -> tuple[Floats, Floats, Floats]:
    """Costs (T,), first column (T,) and rows (T, n), where all are numbers."""
    spent = np.asarray(cost, dtype=np.float64)
    known = np.isfinite(spent) & np.isfinite(rows).all(axis=1)
    return spent[known], rows[known, 0], rows[known]


def thinned(count: int, most: int) -> NDArray[np.intp]:
    """At most so many of the places 0..count-1, evenly, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.intp))


def _scale(bar: Axes, top: float) -> None:
    """What the shades of a heat map stand for, from 0 to `top`."""
    _shaded(bar, np.linspace(0, 1, SHADES)[np.newaxis], np.linspace(0, 1, SHADES + 1))
    bar.set_xticks([0, 0.5, 1], [f"{share * top:g}" for share in (0, 0.5, 1)])
    bar.set_yticks([])
    bar.set_xlabel("probability of the likeliest token")


def _shaded(axes: Axes, shares: Floats, edges: Floats) -> None:
    """Cells, (rows, columns), that are the more opaque the nearer to 1: so on light and on dark.

    One path a shade, and one rectangle for neighbours of the same: a few kB, no picture in it.
    """
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    level = np.round(shares * (SHADES - 1)).astype(int)
    for shade in range(1, SHADES):
        inside = np.pad(level == shade, ((0, 0), (1, 1))).astype(np.int8)
        turns = np.diff(inside, axis=1)
        row, first = np.nonzero(turns == 1)
        last = np.nonzero(turns == -1)[1]
        if not len(row):
            continue
        corners = [(edges[first], row), (edges[last], row), (edges[last], row + 1)]
        corners += [(edges[first], row + 1), (edges[first], row)]
        boxes = np.array(corners, dtype=np.float64).transpose(2, 0, 1)  # (boxes, corners, 2)
        turn = [Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY]
        path = Path(boxes.reshape(-1, 2), np.tile(turn, len(row)))
        alpha = shade / (SHADES - 1)
        patch = PathPatch(path, facecolor=WARM, alpha=alpha, linewidth=0)
        patch.set_gid(f"{CRISP}-{shade}")
        axes.add_patch(patch)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(0, len(shares))
