"""The first two lines: what runs, in which phase it is, how far, and for how long still."""

from __future__ import annotations

from rich.cells import cell_len
from rich.text import Text

from bdpl_cli.screen.bar import divided
from bdpl_cli.screen.figures import clock
from bdpl_cli.screen.line import GUTTER, Piece, cut, line
from bdpl_cli.screen.look import ACCENT, ALERT, FAINT, STRONG, Look
from bdpl_cli.screen.panel import Panel
from bdpl_cli.screen.timing import progress, seconds_left, sure
from bdpl_cli.screen.view import View

__all__ = ["head"]

DOING = {
    "baseline": "the empty prompt on dev",
    "selection": "choosing on dev",
    "test": "the final test",
}
SIDE = 24  # cells at the right: per cent and time left
SHORTEST = 8  # cells of a bar


def head(view: View, width: int, look: Look) -> Panel:
    """Title and progress."""
    return Panel(lambda rows: [_title(view, width, look), _phase(view, width, look)][:rows], 2)


def _title(view: View, width: int, look: Look) -> Text:
    time, started = clock(view.t), view.started
    if started is None:
        return line(("starting", STRONG))
    room = max(0, width - len(time) - 2)
    task = cut(look.safe(started.task), room, look)
    more = f"  {look.safe(started.method)} on {look.safe(started.model)}, seed {started.seed}"
    rest = cut(more, room - cell_len(task), look)
    gap = " " * (width - cell_len(task) - cell_len(rest) - len(time))
    return line((task, STRONG), rest, (f"{gap}{time}", FAINT))


def _phase(view: View, width: int, look: Look) -> Text:
    pulse = view.pulse
    if view.result is not None:
        return _told("done", view.result.stop_reason)
    if pulse is None:
        return line()
    if pulse.stopping:
        flying = pulse.standing.in_flight
        waits = f"{flying} in flight have 5 s to be answered; " if flying else ""
        return line((f"{'stopping':<{GUTTER}}", ALERT), f"{waits}what is known is saved")
    return _bar(view, f"{pulse.phase:<{GUTTER}}", _doing(view), width, look)


def _told(label: str, what: str) -> Text:
    return line((f"{label:<{GUTTER}}", STRONG), what)


def _doing(view: View) -> str:
    pulse = view.pulse
    if pulse is None or pulse.phase != "search":
        return DOING.get(pulse.phase, "") if pulse is not None else ""
    steps = f"{pulse.steps:,}"
    if not pulse.planned:
        return f"{steps} updates"
    if pulse.steps > pulse.planned:  # it was a guess
        asked = view.started.steps if view.started is not None else None
        return f"{steps} of at most {asked:,} updates" if asked else f"{steps} updates"
    planned = f"{pulse.planned:,}"
    return f"{steps:>{len(planned)}} of {'' if sure(view) else 'about '}{planned} updates"


def _bar(view: View, label: str, doing: str, width: int, look: Look) -> Text:
    """Label, what is done, a bar, per cent, time left."""
    done, left = progress(view), seconds_left(view)
    share = "" if done is None else f"{int(100 * done)} %"
    time = "" if left is None else f"about {clock(left)} left"
    end = f"{share:>6}{time:>{SIDE - 6}}"
    cells = width - GUTTER - len(doing) - 2 - SIDE
    pieces: list[Piece] = [(label, STRONG), f"{doing}  "]
    if cells >= SHORTEST and done is not None:
        full, free = divided([done], 1.0, cells)
        pieces += [(look.spent * full, ACCENT), (look.free * free, FAINT), end]
    else:
        pieces += [" " * max(0, cells), end]
    return line(*pieces)
