"""One frame of ``compare``: an arm a row, as wide and as high as the terminal is. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from bdpl_cli.screen.armsview import ArmsView, ArmView, left, progress
from bdpl_cli.screen.bar import divided
from bdpl_cli.screen.figures import brief, clock, money
from bdpl_cli.screen.line import cut, line, squared
from bdpl_cli.screen.look import ACCENT, ALERT, FAINT, STRONG, WARM, Look
from bdpl_cli.screen.sparkline import sparkline

__all__ = ["frame"]

NONE = "-"
GAP = "  "
PHASES = {"baseline": "empty prompt", "selection": "choosing", "test": "testing"}
NARROWEST = 10  # cells of an arm's name
AROUND = 8  # lines above and below the arms
FEWEST = 3  # arms, however low the terminal
FOOT = "Ctrl-C stops in good order; the same command goes on where it stopped"
STOPPING = "stopping: what is in flight may end; Ctrl-C again leaves at once"


@dataclass(frozen=True, slots=True)
class Column:
    """A column: the less its rank, the later it is left out of a narrow terminal."""

    name: str
    rank: int
    cell: Callable[[ArmView], str]


def frame(view: ArmsView, size: tuple[int, int], look: Look) -> list[Text]:
    """Exactly as many lines, each exactly as wide, as `size` (columns, rows) says."""
    width, height = size
    lines = [*_head(view, width, look), line(), *_rows(view, size, look), line()]
    room = height - len(lines) - 1
    said = [(f"note: {note}", WARM) for note in view.notes]
    said += [(f"{arm.name}: {arm.broken}", ALERT) for arm in view.arms if arm.broken]
    for text, style in said[-room:] if room > 0 else ():
        lines.append(line((cut(look.safe(text), width, look), style)))
    lines.append(line((cut(STOPPING if view.stopping else FOOT, width, look), FAINT)))
    lines = [*lines[:height], *[line()] * (height - len(lines))]
    return [squared(text, width) for text in lines]


def _head(view: ArmsView, width: int, look: Look) -> list[Text]:
    done, total = sum(len(arm.over) for arm in view.arms), sum(arm.runs for arm in view.arms)
    rest = left(view)
    said = [
        f"{done} of {total} runs done",
        clock(view.seconds),
        "" if rest is None or done == total else f"about {clock(rest)} left",
    ]
    tail = "   ".join(part for part in said if part)
    name = cut(look.safe(_title(view)), max(0, width - len(tail) - 3), look)
    share = progress(view)
    full, free = divided([share], 1.0, max(1, width - 6))
    return [
        line((name, STRONG), " " * (width - cell_len(name) - len(tail)), tail),
        line((look.spent * full, ACCENT), (look.free * free, FAINT), f"{100 * share:4.0f} %"),
        line(("spent  ", FAINT), cut(_spent(view), width - 7, look)),
    ]


def _title(view: ArmsView) -> str:
    """The task, and what all arms have in common."""
    models, methods = {arm.model for arm in view.arms}, {arm.method for arm in view.arms}
    by = f", {next(iter(methods))}" if len(methods) == 1 else ""
    on = f" on {next(iter(models))}" if len(models) == 1 else ""
    return f"compare {view.task}{by}{on}"


def _spent(view: ArmsView) -> str:
    usages = [usage for arm in view.arms for usage in arm.usages]
    usd, retries = sum(u.usd for u in usages), sum(u.retries for u in usages)
    parts = [
        f"{brief(sum(u.prompts for u in usages))} prompts",
        f"{brief(sum(u.requests for u in usages))} requests",
        money(usd) if usd else "",
        f"{brief(retries)} sent again" if retries else "",
    ]
    return "   ".join(part for part in parts if part)


def _rows(view: ArmsView, size: tuple[int, int], look: Look) -> list[Text]:
    """The table; where there are too many arms, those that matter now."""
    width, height = size
    models = list(dict.fromkeys(arm.model for arm in view.arms))
    alone = len({arm.method for arm in view.arms}) == 1  # then the models are the names
    headed = len(models) > 1 and not alone
    names = [look.safe(arm.model if alone else arm.method) for arm in view.arms]
    columns, wide = _chosen(view, names, width, look)
    table = [_squared([c.name, *map(c.cell, view.arms)]) for c in columns]
    kept = _kept(view.arms, max(FEWEST, height - AROUND - len(models) * headed))

    def row(name: str, place: int, style: str) -> Text:
        shown = GAP.join([_middle(name, wide), *(cells[place] for cells in table)])
        return line((shown, style))

    rows, model = [row("arm", 0, STRONG)], ""
    for place in kept:
        arm = view.arms[place]
        if headed and arm.model != model:
            model = arm.model
            rows.append(line((cut(look.safe(model), width, look), STRONG)))
        rows.append(row(names[place], 1 + place, _style(arm)))
    if len(kept) < len(names):
        rows.append(line((f"{len(names) - len(kept)} more arms", FAINT)))
    return rows


def _squared(cells: Sequence[str]) -> list[str]:
    """The same in equal widths, the ends below each other."""
    wide = max(map(cell_len, cells))
    return [" " * (wide - cell_len(cell)) + cell for cell in cells]


def _chosen(
    view: ArmsView, names: Sequence[str], width: int, look: Look
) -> tuple[list[Column], int]:
    """The columns that there is room for, and how wide an arm's name may be."""
    columns = _columns(view, width, look)
    longest = max(map(cell_len, (*names, "arm")))
    while True:
        rest = width - sum(_wide(view, column) + len(GAP) for column in columns)
        if rest >= min(longest, max(NARROWEST, longest * 2 // 3)) or len(columns) == 1:
            return columns, max(3, min(longest, rest))
        columns.remove(max(columns, key=lambda column: column.rank))


def _wide(view: ArmsView, column: Column) -> int:
    return max(map(cell_len, (column.name, *map(column.cell, view.arms))))


def _columns(view: ArmsView, width: int, look: Look) -> list[Column]:
    spark = 20 if width >= 120 else 8

    def state(arm: ArmView) -> str:
        return _state(arm, view.stopping).ljust(12)

    def losses(arm: ArmView) -> str:
        return sparkline(arm.losses.shown, spark, look.steps).ljust(spark)

    found = [
        Column("seeds", 4, lambda arm: f"{len(arm.over)}/{arm.runs}"),
        Column("state".ljust(12), 0, state),
        Column("dev %", 1, lambda arm: _percent(arm.score("dev"))),
        Column("test %", 1, lambda arm: _percent(arm.score("test"))),
        Column("loss".ljust(spark), 5, losses),
        Column("prompts", 2, lambda arm: brief(sum(u.prompts for u in arm.usages))),
        Column("requests", 7, lambda arm: brief(sum(u.requests for u in arm.usages))),
        Column("USD", 3, lambda arm: _usd(sum(u.usd for u in arm.usages))),
        Column("retries", 6, lambda arm: brief(sum(u.retries for u in arm.usages))),
        Column("p50 s", 8, _latency),
    ]
    one_seed = max(arm.runs for arm in view.arms) == 1
    free = not any(usage.usd for arm in view.arms for usage in arm.usages)
    absent = {"seeds": one_seed, "USD": free}
    return [column for column in found if not absent.get(column.name)]


def _kept(arms: Sequence[ArmView], room: int) -> list[int]:
    """Places of the arms that are shown: those that run, then those that wait, then the others."""
    if len(arms) <= room:
        return list(range(len(arms)))

    def matters(place: int) -> tuple[bool, bool]:
        arm = arms[place]
        return arm.run is None and not arm.broken, len(arm.over) == arm.runs

    return sorted(sorted(range(len(arms)), key=matters)[: room - 1])


def _style(arm: ArmView) -> str:
    if arm.broken:
        return ALERT
    if arm.run is not None:
        return ACCENT
    return "" if len(arm.over) == arm.runs else FAINT


def _state(arm: ArmView, stopping: bool) -> str:
    if arm.broken:
        return "failed"
    if arm.run is None:
        return "done" if len(arm.over) == arm.runs else "waiting"
    if stopping:
        return "stopping"
    pulse = arm.run.pulse
    if pulse is None:
        return "starting"
    if pulse.phase != "search":
        return PHASES[pulse.phase]
    return f"step {pulse.steps}" + (f"/{pulse.planned}" if pulse.planned else "")


def _usd(usd: float) -> str:
    return money(usd) if usd else NONE


def _percent(score: float | None) -> str:
    return NONE if score is None else f"{100 * score:.1f}"


def _latency(arm: ArmView) -> str:
    pulse = arm.run.pulse if arm.run is not None else None
    found = None if pulse is None else pulse.latency.p50
    return NONE if found is None else f"{found:.3g}"


def _middle(text: str, width: int) -> str:
    """`text` in `width` cells, cut in its middle: a model and its method differ at both ends."""
    if cell_len(text) <= width:
        return set_cell_size(text, width)
    tail = max(1, (width - 2) // 2 + 2)
    head = set_cell_size(text, max(0, width - 2 - tail))
    return set_cell_size(f"{head}..{text[-tail:]}", width)
