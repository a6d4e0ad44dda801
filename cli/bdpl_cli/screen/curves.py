"""Loss and entropy over the updates: a sparkline each, or plots where there is room."""

from __future__ import annotations

from rich.text import Text

from bdpl_cli.screen.curve import Curve
from bdpl_cli.screen.figures import number
from bdpl_cli.screen.line import GUTTER, labelled, line
from bdpl_cli.screen.look import ACCENT, FAINT, STRONG, WARM, Look
from bdpl_cli.screen.panel import Panel
from bdpl_cli.screen.prompts import searches
from bdpl_cli.screen.sparkline import plot
from bdpl_cli.screen.view import View

__all__ = ["curves"]

TALLEST = 18  # rows of one plot
VALUE, RANGE = 8, 18  # cells


def curves(view: View, width: int, look: Look) -> Panel | None:
    """Every series that the method has."""
    if not searches(view):
        return None
    series = [("loss", view.losses, ACCENT)]
    if view.step is None or view.step.spread:
        series.append(("entropy", view.entropies, WARM))
    count = len(series)

    def drawn(rows: int) -> list[Text]:
        lines = []
        for name, curve, style in series:
            lines += _plot(name, curve, style, (width, rows // count), look)
        return lines

    return Panel(drawn, least=count, most=TALLEST * count, rule="")


def _plot(name: str, curve: Curve, style: str, size: tuple[int, int], look: Look) -> list[Text]:
    width, height = size
    room = max(1, width - GUTTER - VALUE - RANGE)
    if curve.last is None:
        none = [labelled(name, ("no update yet", FAINT))]
        return [*none, *(line() for _ in range(height - 1))][:height]
    rows = plot(curve.shown, room, height, look.steps)
    value = f"{number(curve.last):>{VALUE}}"
    low, high = number(curve.low), number(curve.high)
    if height == 1:
        ends = [f"  {low} to {high}"]
        values = [value]
    else:
        ends = [f"  {high} highest", *[""] * (height - 2), f"  {low} lowest"]
        values = [value, *[""] * (height - 1)]
    return [
        labelled(
            "" if place else name,
            (f"{row:<{room}}", style),
            (f"{values[place]:<{VALUE}}", STRONG),
            (ends[place], FAINT),
        )
        for place, row in enumerate(rows)
    ]
