"""The last notes, the newest last, each behind the time it came; and how to stop."""

from __future__ import annotations

from rich.text import Text

from bdpl_cli.screen.figures import clock
from bdpl_cli.screen.line import GUTTER, labelled
from bdpl_cli.screen.look import FAINT, Look
from bdpl_cli.screen.panel import Panel
from bdpl_cli.screen.shading import wrapped
from bdpl_cli.screen.view import View

__all__ = ["notes"]

STOP = "Ctrl-C stops and saves"
ROWS_A_NOTE = 4


def notes(view: View, width: int, look: Look) -> Panel:
    """As many of the newest as fit, each whole where there is room."""
    blocks = [_block(note.t, note.message, width, look) for note in view.notes]

    def drawn(rows: int) -> list[Text]:
        if not blocks:
            return [labelled("notes", ("none", FAINT))][:rows]
        shown: list[Text] = []
        for index in range(len(blocks) - 1, -1, -1):
            lines = blocks[index]
            if len(shown) + len(lines) > rows:
                note, left = view.notes[index], rows - len(shown)
                shown = _block(note.t, note.message, width, look, left)[:left] + shown
                break
            shown = [*lines, *shown]
        return shown

    total = sum(map(len, blocks))
    return Panel(drawn, full=max(1, min(2, total)), most=max(1, total), rule=STOP)


def _block(t: float, message: str, width: int, look: Look, rows: int = ROWS_A_NOTE) -> list[Text]:
    if rows < 1:
        return []
    words = [(word, "") for word in look.safe(message).split(" ")]
    lines = wrapped(words, width - GUTTER, rows, look)
    stamp = clock(t)
    return [labelled("" if place else stamp, *pieces) for place, pieces in enumerate(lines)]
