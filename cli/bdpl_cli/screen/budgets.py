"""A bar for every limit that was set: spent, in flight, reserved for the end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.text import Text

from bdpl_cli.screen.bar import divided
from bdpl_cli.screen.figures import amount
from bdpl_cli.screen.line import GUTTER, Piece, labelled, line
from bdpl_cli.screen.look import ACCENT, FAINT, STRONG, WARM, Look
from bdpl_cli.screen.panel import Panel
from bdpl_cli.screen.timing import COUNTED
from bdpl_cli.screen.view import View

__all__ = ["budgets"]

WORDS = ("spent", "in flight", "for the end", "of")
SHORT_WORDS = ("spent", "flying", "kept", "of")
SHORTEST = 10  # cells of a bar


@dataclass(frozen=True, slots=True)
class _Limit:
    """One limit: spent, in flight, kept for the end, granted."""

    name: str
    parts: tuple[float, float, float]
    whole: float

    @property
    def numbers(self) -> tuple[str, ...]:
        shown = (amount(self.name, value) if value else "" for value in self.parts[1:])
        spent = amount(self.name, self.parts[0])
        return (spent, *shown, amount(self.name, self.whole))


def budgets(view: View, width: int, look: Look) -> Panel | None:
    """A heading and a row a limit; None where there is no limit."""
    limits = list(_limits(view))
    if not limits:
        return None
    rows = len(limits) + 1
    return Panel(lambda rows: _drawn(limits, width, look)[:rows], rows)


def _limits(view: View) -> Iterator[_Limit]:
    pulse = view.pulse
    if pulse is None:
        return
    for name in COUNTED:
        whole = getattr(pulse.budget, name)
        if whole is not None:
            used, held, kept = (getattr(a, name) for a in (pulse.used, pulse.held, pulse.kept))
            yield _Limit(name, (used, held, kept), whole)
    if pulse.budget.seconds is not None:
        yield _Limit(
            "seconds", (min(float(view.t), pulse.budget.seconds), 0, 0), pulse.budget.seconds
        )


def _drawn(limits: list[_Limit], width: int, look: Look) -> list[Text]:
    glyphs = (look.spent, look.held, look.kept, "")
    longest = max(len(number) for limit in limits for number in limit.numbers[::3])
    for words in (WORDS, SHORT_WORDS):
        heads = [f"{glyph} {word}".strip() for glyph, word in zip(glyphs, words, strict=True)]
        columns = [max(len(head), longest) + 2 for head in heads]
        cells = width - GUTTER - sum(columns)
        if cells >= SHORTEST:
            break
    cells = max(0, cells)
    styles = (ACCENT, WARM, FAINT, "")
    heading: list[Piece] = [(look.rule * (GUTTER + cells), FAINT)]
    for head, glyph, column, style in zip(heads, glyphs, columns, styles, strict=True):
        heading += [" " * (column - len(head)), (glyph, style)]
        heading.append((head[len(glyph) :], FAINT))
    return [line(*heading), *(_row(limit, columns, cells, look) for limit in limits)]


def _row(limit: _Limit, columns: list[int], cells: int, look: Look) -> Text:
    spent, held, kept, free = divided(limit.parts, limit.whole, cells)
    texts = [f"{text:>{column}}" for text, column in zip(limit.numbers, columns, strict=True)]
    return labelled(
        "USD" if limit.name == "usd" else limit.name,
        (look.spent * spent, ACCENT),
        (look.held * held, WARM),
        (look.free * free, FAINT),
        (look.kept * kept, FAINT),
        (texts[0], STRONG),
        *texts[1:],
    )
