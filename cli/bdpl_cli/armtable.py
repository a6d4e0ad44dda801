"""What a comparison looks like when it is over: who scores what, at which cost, how fast.

Columns stand in as few tables as the width allows: one beside the other in a wide terminal, below
each other in eighty columns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from shutil import get_terminal_size
from typing import TYPE_CHECKING

from bdpl_async.studies.tally import mean_of
from bdpl_async.wording import bounds, signed
from bdpl_cli.columns import PIPE, aligned, short, wrapped
from bdpl_cli.plaintext import clean

if TYPE_CHECKING:
    from bdpl_async.studies.comparison import Difference, Mean
    from bdpl_async.studies.scoreboard import Row, Scoreboard
    from bdpl_async.studies.tally import Tally

__all__ = ["table"]

SHORTEST_PROMPT = 20  # characters, however narrow the terminal
GAP = "  "
NONE = "-"
Column = tuple[str, ...]  # its name, and a cell for each arm


def table(board: Scoreboard, width: int | None = None) -> list[str]:
    """The lines to print, `width` columns wide where the numbers allow it."""
    width = width or get_terminal_size(fallback=(PIPE, 24)).columns
    many = len({row.arm.model for row in board.rows}) > 1
    arms = ("arm", *(row.arm.method for row in board.rows))
    lines = wrapped(_title(board, many), width)
    for columns in _packed(arms, _columns(board), width):
        lines += ["", *_by_model(board, aligned(list(zip(*columns, strict=True))), many)]
    lines += ["", *_by_model(board, _prompts(board, width), many), ""]
    lines += wrapped(_legend(board, many), width)
    lines += [line for note in board.notes for line in wrapped(f"note: {note}", width)]
    return lines


def _title(board: Scoreboard, many: bool) -> str:
    seeds = f"{len(board.seeds)} seeds" if len(board.seeds) > 1 else f"seed {board.seeds[0]}"
    model = "" if many else f" on {clean(board.rows[0].arm.model)}"
    examples = f", {board.n:,} {board.split} examples" if board.split else ""
    return f"{clean(board.task.name)}{model}: {board.task.metric}{examples}, {seeds}"


def _columns(board: Scoreboard) -> list[list[Column]]:
    """All columns, those that belong together in one list; what no arm has is left out."""
    rows, took = board.rows, [mean_of(row.runs) for row in board.rows]

    def of(name: str, cell: Callable[[Tally], str]) -> Column:
        return (name, *map(cell, took))

    scores: list[Column] = [
        ("dev %", *(_mean(row.dev) for row in rows)),
        ("test %", *(_mean(row.test) for row in rows)),
        ("over empty", *map(_gain, rows)),
    ]
    first: list[Column] = [
        ("over the first", *(_against(row, row is rows[0]) for row in rows)),
        ("p", *(NONE if row.against is None else _p(row.against) for row in rows)),
    ]
    cost = [
        of("prompts", lambda t: f"{t.prompts:,.0f}"),
        of("requests", lambda t: f"{t.requests:,.0f}"),
        ("USD", *_dollars([t.usd for t in took])),
        ("USD a point", *_dollars([row.usd_per_point or None for row in rows])),
    ]
    pace = [
        of("p50 s", lambda t: _seconds(t.p50)),
        of("p95 s", lambda t: _seconds(t.p95)),
        of("tokens/s", lambda t: NONE if t.tokens_per_second is None else _large(t)),
        of("failed", lambda t: _count(t.failures)),
        of("retries", lambda t: _count(t.retries)),
    ]
    groups = [[c for c in group if set(c[1:]) != {NONE}] for group in (scores, first, cost, pace)]
    return [group for group in groups if group]


def _packed(arms: Column, groups: Sequence[list[Column]], width: int) -> list[list[Column]]:
    """Tables that begin with the arms and are no wider than `width`, in the order of the groups."""
    tables: list[list[Column]] = []
    for group in groups:
        if tables and _wide([*tables[-1], *group]) <= width:
            tables[-1] += group
        else:
            tables.append([arms])
            for column in group:
                if len(tables[-1]) > 1 and _wide([*tables[-1], column]) > width:
                    tables.append([arms])
                tables[-1].append(column)
    return tables


def _wide(columns: Sequence[Column]) -> int:
    return sum(max(map(len, column)) for column in columns) + len(GAP) * (len(columns) - 1)


def _prompts(board: Scoreboard, width: int) -> list[str]:
    """The prompt of each arm, and whether it was learned."""
    rows = board.rows
    kinds = ["learned" if row.searches else "fixed" for row in rows]
    arms = [row.arm.method for row in rows]
    heads = aligned([("arm", "prompt"), *zip(arms, kinds, strict=True)], left=2)
    room = max(width - max(map(len, heads)) - len(GAP), SHORTEST_PROMPT)
    texts = ["", *(short(row.best.result.prompt, room) or "(empty)" for row in rows)]
    wide = max(map(len, heads))
    return [f"{h.ljust(wide)}{GAP}{t}".rstrip() for h, t in zip(heads, texts, strict=True)]


def _legend(board: Scoreboard, many: bool) -> str:
    first = board.rows[0].arm
    about = "a run's mean" if len(board.seeds) > 1 else "the run's"
    said = [
        f"[95 % intervals]; differences are paired, in points on {board.split or 'no split'};"
        f" the first is {first.name if many else first.method}; p is of the difference to the"
        " first, Holm's over both columns; * is real, p < 0.05.",
        f"Prompts, requests, USD, times and failures are {about}, as paid: answers from the cache,"
        " which arms share, are free.",
    ]
    if any(mean_of(row.runs).usd is None for row in board.rows):
        said.append("USD is - where no price is known.")
    if any(row.usd_per_point for row in board.rows):
        said.append(
            "USD a point is for each point over the empty prompt, where that is above zero, and"
            " counts answers from the cache at their price."
        )
    if len(board.seeds) > 1:
        said.append("The prompt is the best seed's on dev.")
    return " ".join(said)


def _by_model(board: Scoreboard, lines: Sequence[str], many: bool) -> list[str]:
    """The lines of a table, a heading before those of another model."""
    found, model = [lines[0]], ""
    for row, line in zip(board.rows, lines[1:], strict=True):
        if many and row.arm.model != model:
            model = row.arm.model
            found.append(clean(model))
        found.append(line)
    return found


def _mean(found: Mean | None) -> str:
    return NONE if found is None else f"{100 * found.mean:.1f} [{bounds(found.ci95)}]"


def _gain(row: Row) -> str:
    if row.gain is None and any(run.result.prompt for run in row.runs) and (row.test or row.dev):
        return "same answers "
    return _difference(row.gain)


def _difference(found: Difference | None) -> str:
    if found is None:
        return NONE
    star = "*" if found.real else " "
    return f"{signed(found.score)} [{bounds(found.ci95, sign=True)}]{star}"


def _against(row: Row, first: bool) -> str:
    return "reference" if first else _difference(row.against)


def _p(found: Difference) -> str:
    return "<.001" if found.p_adjusted < 0.001 else f"{found.p_adjusted:.3f}"


def _dollars(column: Sequence[float | None]) -> list[str]:
    """As many decimals as the smallest of them needs."""
    least = min((usd for usd in column if usd), default=1.0)
    places = 4 if least >= 0.001 else 6
    return [NONE if usd is None else f"{usd:,.{places}f}" if usd else "0" for usd in column]


def _seconds(seconds: float | None) -> str:
    return NONE if seconds is None else f"{seconds:.3g}" if seconds < 100 else f"{seconds:,.0f}"


def _large(took: Tally) -> str:
    return f"{took.tokens_per_second:,.0f}"


def _count(count: float) -> str:
    return f"{count:,.0f}" if count == int(count) else f"{count:,.1f}"
