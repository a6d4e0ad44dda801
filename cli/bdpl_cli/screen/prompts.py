"""The prompt as it stands, how sure the search is of each of its tokens, the luckiest draw, scores.

Where nothing is known yet, a placeholder keeps the place: what is below does not jump.
"""

from __future__ import annotations

from rich.cells import cell_len
from rich.text import Text

from bdpl_async.wording import percent
from bdpl_cli.screen.bar import divided
from bdpl_cli.screen.figures import number
from bdpl_cli.screen.line import GUTTER, cut, labelled
from bdpl_cli.screen.look import FAINT, STRONG, Look
from bdpl_cli.screen.panel import Panel
from bdpl_cli.screen.shading import LEGEND, Pieces, shade, wrapped
from bdpl_cli.screen.view import View

__all__ = ["luckiest", "odds", "prompt", "scores", "searches"]

NAME = 18  # cells of a token in the table of positions
MOST_BELOW = 12  # positions before the table has two columns
NARROWEST = 36  # cells of one of them


def searches(view: View) -> bool:
    """Whether the method looks for a prompt, as far as is known."""
    return view.pulse is None or view.pulse.planned != 0


def prompt(view: View, width: int, look: Look) -> Panel:
    """The best guess, or what was chosen in the end."""
    label, pieces = _prompt(view, look)
    room = width - GUTTER
    rows = _rows(view.widest, room)
    legend = LEGEND if view.step is not None and view.step.odds else ""
    return Panel(
        lambda given: _beside(label, wrapped(pieces, room, given, look)),
        full=rows,
        rule=legend,
    )


def _prompt(view: View, look: Look) -> tuple[str, Pieces]:
    """The label, and words with their styles."""
    step = view.step
    chosen = next((s for s in view.scores if s.role == "learned"), None)
    if chosen is not None and (step is None or chosen.prompt != step.prompt):
        return ("learned" if step else "prompt"), _words(chosen.prompt, look)
    label = "prompt" if chosen is None else "learned"
    if step is None or not (step.prompt or step.tokens):
        return label, [("none yet" if searches(view) else "not scored yet", FAINT)]
    if len(step.odds) != len(step.tokens):
        return label, _words(step.prompt, look)
    pairs = zip(step.tokens, step.odds, strict=True)
    return label, [(look.safe(token), shade(chance)) for token, chance in pairs]


def _rows(characters: int, width: int) -> int:
    """Lines that a text takes; they are not filled to their last cell."""
    return 1 if characters <= width else -(-characters * 9 // (8 * width))


def _words(text: str, look: Look) -> Pieces:
    return [(word, "") for word in look.safe(text).split(" ")] if text else [("(empty)", FAINT)]


def _beside(label: str, lines: list[Pieces]) -> list[Text]:
    """The lines, behind a label at the first."""
    return [labelled("" if place else label, *pieces) for place, pieces in enumerate(lines)]


def odds(view: View, width: int, look: Look) -> Panel | None:
    """For each position its likeliest token, and how likely it is; where all of them fit."""
    step = view.step
    if step is None or not step.odds or len(step.odds) != len(step.tokens):
        return None
    columns = 2 if len(step.odds) > MOST_BELOW and width >= 2 * NARROWEST else 1
    rows = -(-len(step.odds) // columns)
    size = (width - GUTTER - 2 * (columns - 1)) // columns
    cells = [
        _position(place, look.safe(token), chance, size, look)
        for place, (token, chance) in enumerate(zip(step.tokens, step.odds, strict=True), 1)
    ]
    lines = [labelled("", *cells[place], *_second(cells[rows:], place)) for place in range(rows)]
    return Panel(lambda given: lines[:given], least=0, full=rows)


def _second(cells: list[Pieces], place: int) -> Pieces:
    return [("  ", ""), *cells[place]] if place < len(cells) else []


def _position(place: int, token: str, chance: float, width: int, look: Look) -> Pieces:
    """``3 good    ######....  61.2 %``, in exactly `width` cells."""
    style, name = shade(chance), min(NAME, max(4, width - 26))
    word = cut(token, name - 1, look)
    full, free = divided([chance], 1.0, max(0, width - 4 - name - 8))
    return [
        (f"{place:>3} ", FAINT),
        (word, style),
        (" " * (name - cell_len(word)), ""),
        (look.spent * full, style),
        (look.free * free, FAINT),
        (f"{100 * chance:6.1f} %", ""),
    ]


def luckiest(view: View, width: int, look: Look) -> Panel | None:
    """The sampled prompt with the least loss; in words, since it is no result."""
    if not searches(view):
        return None
    best, room = view.best, width - GUTTER
    if best is None:
        return Panel(lambda rows: [labelled("luckiest", ("none yet", FAINT))][:rows])
    told = f"loss {number(best.loss)} in update {best.step:,} on a few examples:"
    pieces = [(word, FAINT) for word in told.split()] + _words(best.prompt, look)
    rows = _rows(len(told) + 1 + view.widest, room)
    return Panel(
        lambda given: _beside("luckiest", wrapped(pieces, room, given, look)), most=min(4, rows)
    )


def scores(view: View, width: int, look: Look) -> Panel:
    """What was measured so far, the newest last."""
    known = view.scores

    def drawn(rows: int) -> list[Text]:
        if not known:
            return [labelled("scores", ("the empty prompt on dev comes first", FAINT))][:rows]
        lines = []
        for place, score in enumerate(known[-rows:]):
            role = "empty" if score.role == "empty" else "learned" if view.step else "prompt"
            what = f"{score.split:<5}{role:<9}"
            told = cut(percent(score.result), width - GUTTER - len(what), look)
            figure, rest = told[: told.find("%") + 1], told[told.find("%") + 1 :]
            lines.append(labelled("" if place else "scores", what, (figure, STRONG), rest))
        return lines

    return Panel(drawn, full=max(1, len(known)))
