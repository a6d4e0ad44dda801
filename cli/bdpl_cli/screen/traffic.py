"""Requests: in flight, how many a minute against which limits, how long, what went wrong."""

from __future__ import annotations

from rich.text import Text

from bdpl_async.limits.standing import Level, Standing
from bdpl_async.wording import counted
from bdpl_cli.screen.figures import brief, money, span
from bdpl_cli.screen.line import GUTTER, Piece, cut, labelled
from bdpl_cli.screen.look import FAINT, STRONG, WARM, Look
from bdpl_cli.screen.panel import Panel
from bdpl_cli.screen.timing import sent_a_minute
from bdpl_cli.screen.view import View

__all__ = ["traffic"]

NARROW = 76  # cells below which the first line is short
MINUTE = (59.0, 62.0)  # seconds: the limiter adds one to be safe


def traffic(view: View, width: int, look: Look) -> Panel:
    """Three lines always; limits, everything spent and the newest failure where there is room."""
    lines = [
        _requests(view, width),
        _answers(view, width, look),
        _waiting(view, width, look),
        *_levels(view, width, look),
        _spent(view, width, look),
        *_trouble(view, width, look),
    ]
    return Panel(lambda rows: lines[:rows], least=3, full=len(lines), rule="")


def _requests(view: View, width: int) -> Text:
    pulse = view.pulse
    if pulse is None:
        return labelled("requests", ("none yet", FAINT))
    standing, rate, short = pulse.standing, sent_a_minute(view), width < NARROW
    of, a_minute, size = ("/", "/min", 6) if short else (" of ", " a minute", 7)
    room = f"{standing.room}"
    pieces: list[Piece] = [(f"{standing.in_flight:>{len(room)}}", STRONG)]
    pieces += [f"{of}{room} in flight", (f"{'' if rate is None else brief(rate):>7}", STRONG)]
    pieces.append(a_minute if rate is not None else " " * len(a_minute))
    for name, seconds in (("p50", pulse.latency.p50), ("p95", pulse.latency.p95)):
        if seconds is not None:
            pieces += [(f"  {name} ", FAINT), (f"{span(seconds):>{size}}", STRONG)]
    return labelled("requests", *pieces)


def _answers(view: View, width: int, look: Look) -> Text:
    usage = view.pulse.usage if view.pulse is not None else None
    if usage is None:
        return labelled("answers", ("none yet", FAINT))
    told = f"{brief(usage.cache_hits)} known already   {brief(usage.failures)} failed"
    told += f"   {brief(usage.retries)} sent again"
    if view.retries:
        told += ": " + ", ".join(f"{look.safe(cause)} {count:,}" for cause, count in view.retries)
    return labelled("answers", cut(told, width - GUTTER, look))


def _waiting(view: View, width: int, look: Look) -> Text:
    standing = view.pulse.standing if view.pulse is not None else Standing()
    if not standing.waiting:
        return labelled("waiting", ("nothing waits", FAINT))
    told = "1 request waits" if standing.waiting == 1 else f"{standing.waiting:,} requests wait"
    if standing.seconds:
        told += f" {standing.seconds:,.0f} s"
    told += f" for {standing.obstacle or 'their turn'}"
    style = WARM if standing.seconds else ""
    return labelled("waiting", (cut(told, width - GUTTER, look), style))


def _levels(view: View, width: int, look: Look) -> list[Text]:
    levels = view.pulse.standing.levels if view.pulse is not None else ()
    texts = [_level(level) for level in levels]
    joined = "   ".join(texts)
    if texts and len(joined) <= width - GUTTER:
        texts = [joined]
    return [
        labelled("" if place else "limits", cut(text, width - GUTTER, look))
        for place, text in enumerate(texts)
    ]


def _level(level: Level) -> str:
    limit = brief(level.limit)
    shortest, longest = MINUTE
    period = "a minute" if shortest < level.period < longest else f"in {span(level.period)}"
    return f"{brief(level.held):>{len(limit)}} of {limit} {level.unit} {period}"


def _spent(view: View, width: int, look: Look) -> Text:
    if view.pulse is None:
        return labelled("spent", ("nothing yet", FAINT))
    usage = view.pulse.usage
    tokens = usage.prompt_tokens + usage.completion_tokens
    parts = [
        counted(usage.prompts, "prompt"),
        counted(usage.requests, "request"),
        counted(tokens, "token") if tokens else "",
        money(usage.usd) if usage.usd else "",
    ]
    return labelled("spent", cut("   ".join(filter(None, parts)), width - GUTTER, look))


def _trouble(view: View, width: int, look: Look) -> list[Text]:
    if view.trouble is None:
        return []
    told = f"{look.safe(view.trouble.reason)}; try {view.trouble.attempt} follows"
    return [labelled("trouble", (cut(told, width - GUTTER, look), FAINT))]
