"""What a comparison looks like in a terminal or a pipe: who scores what, and at which cost."""

from __future__ import annotations

from collections.abc import Sequence
from shutil import get_terminal_size
from typing import TYPE_CHECKING

from bdpl_cli.plaintext import clean

if TYPE_CHECKING:
    from bdpl_async.studies.comparison import Difference, Mean
    from bdpl_async.studies.scoreboard import Row, Scoreboard

__all__ = ["table"]

WIDTH = 80  # where there is no terminal
SHORTEST_PROMPT = 20  # characters, however narrow the terminal
NONE = "-"


def table(board: Scoreboard, width: int | None = None) -> list[str]:
    """The lines to print, `width` columns wide where the numbers allow it."""
    width = width or get_terminal_size(fallback=(WIDTH, 24)).columns
    first = board.rows[0].arm
    many = len({row.arm.model for row in board.rows}) > 1
    reference = first.name if many else first.method
    names = ("arm", "test", "over empty", "over the first", "p")
    scores = _aligned([names, *(_scores(row, row is board.rows[0]) for row in board.rows)])
    costs = _aligned([("arm", "dev", "prompts", "requests", "USD"), *map(_costs, board.rows)])
    prompts = ["prompt", *(clean(row.best.result.prompt) or "(empty)" for row in board.rows)]
    costs = [
        f"{line}  {_cut(p, width - len(line) - 2)}" for line, p in zip(costs, prompts, strict=True)
    ]
    return [
        _title(board, many),
        "",
        *_by_model(board, scores, many),
        "",
        *_by_model(board, costs, many),
        "",
        *_wrapped(_legend(board, clean(reference)), width),
        *(line for note in board.notes for line in _wrapped(f"note: {clean(note)}", width)),
    ]


def _title(board: Scoreboard, many: bool) -> str:
    seeds = f"{len(board.seeds)} seeds" if len(board.seeds) > 1 else f"seed {board.seeds[0]}"
    model = "" if many else f" on {clean(board.rows[0].arm.model)}"
    examples = f", {board.n} {board.split} examples" if board.split else ""
    return f"{clean(board.task.name)}{model}: {board.task.metric}{examples}, {seeds}"


def _legend(board: Scoreboard, reference: str) -> str:
    about = "a run's mean" if len(board.seeds) > 1 else "the run's"
    return (
        f"[95 % intervals]; differences are paired, in points; the first is {reference}; p is"
        " of the difference to the first, Holm's over both columns; * is real, p < 0.05."
        f" Prompts, requests and USD are {about}"
        ", as paid: answers from the cache, which arms share, are free"
        + ("; the prompt is the best seed's on dev." if len(board.seeds) > 1 else ".")
    )


def _by_model(board: Scoreboard, lines: Sequence[str], many: bool) -> list[str]:
    """The lines of a table, a heading before those of another model."""
    found, model = [lines[0]], ""
    for row, line in zip(board.rows, lines[1:], strict=True):
        if many and row.arm.model != model:
            model = row.arm.model
            found.append(clean(model))
        found.append(line)
    return found


def _scores(row: Row, first: bool) -> tuple[str, ...]:
    against = row.against
    return (
        row.arm.method,
        _mean(row.test),
        _difference(row.gain),
        "reference" if first else _difference(against),
        NONE if against is None else _chance(against.p_adjusted),
    )


def _costs(row: Row) -> tuple[str, ...]:
    usages = [run.result.usage for run in row.runs]
    count = len(usages)
    usd = sum(usage.usd for usage in usages) / count
    return (
        row.arm.method,
        NONE if row.dev is None else f"{100 * row.dev.mean:.1f}",
        f"{sum(usage.prompts for usage in usages) / count:,.0f}",
        f"{sum(usage.requests for usage in usages) / count:,.0f}",
        f"{usd:.4f}" if usd else "0",
    )


def _mean(found: Mean | None) -> str:
    if found is None:
        return NONE
    low, high = found.ci95
    return f"{100 * found.mean:.1f} [{100 * low:.1f} {100 * high:.1f}]"


def _difference(found: Difference | None) -> str:
    if found is None:
        return NONE
    low, high = found.ci95
    star = "*" if found.real else " "
    return f"{100 * found.score:+.1f} [{100 * low:+.1f} {100 * high:+.1f}]{star}"


def _chance(p_value: float) -> str:
    return "<.001" if p_value < 0.001 else f"{p_value:.3f}"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns of equal width: the first to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *others in rows:
        cells = [first.ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join(cells))
    return lines


def _cut(text: str, width: int) -> str:
    width = max(width, SHORTEST_PROMPT)
    return text if len(text) <= width else f"{text[: width - 3]}..."


def _wrapped(text: str, width: int) -> list[str]:
    import textwrap

    return textwrap.wrap(text, max(width, 40), subsequent_indent="  ")
