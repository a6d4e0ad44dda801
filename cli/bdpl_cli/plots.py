"""What a sweep found, as curves: the mean over seeds against what is varied, drawn as SVG.

The curves are plain numbers and need NumPy alone; matplotlib is asked for when they are drawn.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from bdpl_async.overrides import Value
from bdpl_async.studies.grid import SEED, Point, Sweep, short
from bdpl_cli.page.drawing import clipped, drawable, house_style, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bdpl_async.evaluation import Evaluation
    from bdpl_async.result import Result
    from bdpl_async.studies.sweeping import Row

__all__ = ["Curve", "Spot", "curves", "draw", "mean_interval"]

T975: Final = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
Z975: Final = 1.959964
WIDE: Final = 8.0  # largest over smallest x from which the axis is logarithmic
LEGEND: Final = 40  # characters of a line's name
STYLES: Final = ("-", "--", ":", "-.")
MARKS: Final = "osD^vPX*"


@dataclass(frozen=True, slots=True)
class Spot:
    """One point of a curve.

    Attributes:
        low, high: 95 %, over seeds; over the examples of the one run where there is no other.
        runs: how many seeds.
    """

    x: Value
    mean: float
    low: float
    high: float
    runs: int


@dataclass(frozen=True, slots=True)
class Curve:
    """One line: the same settings but for `x` and the seed.

    Attributes:
        line: the settings that make it this one; the first decides its colour.
    """

    line: Mapping[str, Value]
    spots: tuple[Spot, ...]

    @property
    def label(self) -> str:
        """For a legend."""
        return ", ".join(f"{short(key)} = {_text(value)}" for key, value in self.line.items())


def curves(sweep: Sweep, rows: Sequence[Row]) -> tuple[str, list[Curve]]:
    """What is drawn upwards, as in ``test accuracy``, and its lines; test, or dev where none is.

    Rows without a score are left out.
    """
    measured, scored = _scored(rows)
    keys = _line_keys(sweep)
    lines: dict[tuple[Value, ...], dict[Value, list[Evaluation]]] = {}
    for point, found in scored:
        line = lines.setdefault(tuple(point.values[key] for key in keys), {})
        line.setdefault(point.values[sweep.x], []).append(found)
    drawn = [
        Curve(
            dict(zip(keys, values, strict=True)),
            tuple(_spot(x, found) for x, found in _in_order(line)),
        )
        for values, line in lines.items()
    ]
    metric = next((found.metric for _, found in scored), "score")
    return f"{measured} {metric}", drawn


def mean_interval(scores: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of the mean of two or more scores, by Student's t."""
    freedom = len(scores) - 1
    half = _t975(freedom) * statistics.stdev(scores) / math.sqrt(len(scores))
    return statistics.fmean(scores) - half, statistics.fmean(scores) + half


def draw(sweep: Sweep, rows: Sequence[Row], kind: Literal["svg", "png"] = "svg") -> bytes:
    """A picture of the curves.

    Raises:
        ImportError: matplotlib is not installed.
    """
    measured, found = curves(sweep, rows)
    with house_style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7, 4.5), layout="constrained")
        axes = figure.add_subplot()
        _draw_curves(axes, found)
        axes.set_title(drawable(sweep.name), loc="left")
        axes.set_xlabel(sweep.x)
        axes.set_ylabel(measured)
        axes.grid(axis="y", alpha=0.3)
        figure.text(0.99, 0.005, _footnote(found), ha="right", va="bottom", fontsize=7, alpha=0.7)
        return save(figure, kind)


# Numbers


def _scored(rows: Sequence[Row]) -> tuple[str, list[tuple[Point, Evaluation]]]:
    """The split that every row was scored on, and the scores."""
    sides: tuple[tuple[str, Callable[[Result], Evaluation | None]], ...] = (
        ("test", lambda result: result.test),
        ("dev", lambda result: result.dev),
    )
    for split, side in sides:
        found = [(row.point, score) for row in rows if (score := side(row.result)) is not None]
        if len(found) == len(rows) or split == "dev":
            break
    return split, found


def _line_keys(sweep: Sweep) -> list[str]:
    """What tells lines apart: all that is varied but x and seed, without what follows from it."""
    points = sweep.points
    keys = [key for key in sweep.keys if key not in (sweep.x, SEED)]
    keys.sort(key=lambda key: key != sweep.series)

    def told_apart(by: Iterable[str]) -> int:
        return len({tuple(repr(point.values[key]) for key in (sweep.x, *by)) for point in points})

    for key in reversed(keys[:]):
        others = [other for other in keys if other != key]
        if key != sweep.series and told_apart(others) == told_apart(keys):
            keys = others
    return keys


def _in_order(line: Mapping[Value, list[Evaluation]]) -> list[tuple[Value, list[Evaluation]]]:
    """By x where that is a number, else as written."""
    numbers = _numbers(line)
    if numbers is None:
        return list(line.items())
    return [pair for _, pair in sorted(zip(numbers, line.items(), strict=True), key=_first)]


def _first(pair: tuple[float, object]) -> float:
    return pair[0]


def _numbers(values: Iterable[Value]) -> list[float] | None:
    """The values as numbers; None if one of them is none."""
    found = list(values)
    plain = [float(v) for v in found if isinstance(v, int | float) and not isinstance(v, bool)]
    return plain if len(plain) == len(found) else None


def _spot(x: Value, found: Sequence[Evaluation]) -> Spot:
    scores = [one.score for one in found]
    low, high = found[0].ci95 if len(found) == 1 else mean_interval(scores)
    lowest = -1.0 if found[0].metric == "mcc" else 0.0
    return Spot(x, statistics.fmean(scores), max(low, lowest), min(high, 1.0), len(scores))


def _t975(freedom: int) -> float:
    """Student's t, 97.5 %: a table, and beyond it the expansion about the normal's z."""
    if freedom <= len(T975):
        return T975[freedom - 1]
    z, n = Z975, freedom
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + (z**3 + z) / (4 * n) + second / n**2 + third / n**3


# Drawing


def _draw_curves(axes: Axes, found: Sequence[Curve]) -> None:
    places = _places(axes, [spot.x for curve in found for spot in curve.spots])
    colours = [next(iter(curve.line.values()), None) for curve in found]
    series = list(dict.fromkeys(colours))
    seen = [0] * len(series)
    for curve, own in zip(found, colours, strict=True):
        colour = series.index(own)
        rank, seen[colour] = seen[colour], seen[colour] + 1
        means = [spot.mean for spot in curve.spots]
        below = [spot.mean - spot.low for spot in curve.spots]
        above = [spot.high - spot.mean for spot in curve.spots]
        axes.errorbar(
            [places[spot.x] for spot in curve.spots],
            means,
            yerr=[below, above],
            color=f"C{colour % 10}",
            linestyle=STYLES[rank % len(STYLES)],
            marker=MARKS[colour % len(MARKS)],
            capsize=3,
            elinewidth=1,
            label=clipped(curve.label, LEGEND),
        )
    if len(found) > 1:
        axes.legend(frameon=False, fontsize=8)


def _places(axes: Axes, values: Sequence[Value]) -> dict[Value, float]:
    """Where each x stands: by its value if all are numbers, else side by side."""
    distinct = list(dict.fromkeys(values))
    numbers = _numbers(distinct)
    places = [float(i) for i in range(len(distinct))] if numbers is None else numbers
    if numbers and min(numbers) > 0 and max(numbers) / min(numbers) >= WIDE:
        axes.set_xscale("log")
        axes.minorticks_off()
    axes.set_xticks(places, [clipped(_text(value), LEGEND) for value in distinct])
    return dict(zip(distinct, places, strict=True))


def _footnote(found: Sequence[Curve]) -> str:
    runs = sorted({spot.runs for curve in found for spot in curve.spots})
    if runs == [1]:
        return "bars: 95 % over the examples of one run"
    span = f"{runs[0]}" if len(runs) == 1 else f"{runs[0]} to {runs[-1]}"
    alone = ", over the examples where there is one" if runs[:1] == [1] else ""
    return f"mean and 95 % over {span} seeds{alone}" if runs else ""


def _text(value: Value) -> str:
    return drawable(f"{value:g}" if isinstance(value, float) else str(value))
