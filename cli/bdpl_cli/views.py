"""What ``run`` prints as it goes: calm lines, events as JSON, nothing; or which screen it shows."""

from __future__ import annotations

import shlex
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING

import orjson

from bdpl_async.events import (
    Evaluated,
    Event,
    Finished,
    Note,
    Probed,
    Retry,
    Started,
    Step,
    to_json,
)
from bdpl_async.methods import FIXED
from bdpl_async.result import Result, Totals
from bdpl_async.wording import counted, dollars, percent, points
from bdpl_cli.columns import LEAST, PIPE, wrapped
from bdpl_cli.harmless import Harmless
from bdpl_cli.plaintext import clean, escaped
from bdpl_cli.stderr import say, warned

if TYPE_CHECKING:
    from bdpl_async.pulse import Pulse
    from bdpl_cli.interrupts import Interrupt

__all__ = ["make_view", "watching"]

SECONDS_BETWEEN_LINES = 2.0
Listener = Callable[[Event], None]


@asynccontextmanager
async def watching(
    ui: str, out: Path, pulse: Callable[[], Pulse], interrupt: Interrupt
) -> AsyncIterator[Listener]:
    """What is told of a run's events, as long as it lasts.

    Args:
        ui: as ``--ui`` names it; `auto` is the screen where there is one, else plain.
        out: RUN_DIR.
        pulse: how the run stands between its events.
        interrupt: its first signal is given when nobody reads on.

    Raises:
        OSError: after the run, if standard output took no more of it.
    """
    if _on_screen(ui):
        from bdpl_cli.screen.showing import showing

        told = Harmless(Plain(out), interrupt.first)
        async with showing(pulse, told, interrupt) as listener:
            yield listener
    else:
        told = Harmless(make_view(ui, out), interrupt.first)
        yield told
    told.settle()


def _on_screen(ui: str) -> bool:
    """Whether there is to be a screen; where it was asked for and cannot be, why."""
    if ui == "rich" or (ui == "auto" and sys.stdout.isatty()):
        from bdpl_cli.screen.shape import LEAST_COLUMNS, LEAST_ROWS
        from bdpl_cli.screen.terminal import unfit

        why = unfit((LEAST_COLUMNS, LEAST_ROWS))
        if why and ui == "rich":
            say(f"bdpl-async: plain lines instead of --ui rich: {why}")
        return not why
    return False


def make_view(ui: str, out: Path) -> Listener:
    """The lines that ``--ui`` names; all others are plain."""
    match ui:
        case "json":
            return _print_json
        case "none":
            return lambda event: None
        case _:
            return Plain(out)


def _print_json(event: Event) -> None:
    sys.stdout.write(escaped(orjson.dumps(to_json(event))) + "\n")
    sys.stdout.flush()


class Plain:
    """A line now and then, for a pipe, a log or a simple terminal."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._last = self._last_retry = float("-inf")
        self._steps: int | None = None
        self._learns = self._tested = True

    def __call__(self, event: Event) -> None:
        """Print what the event has to say, if it is time."""
        match event:
            case Started():
                self._start(event)
            case Probed() if event.readout is not None:
                self._print(f"read by {event.readout}, {_texts(event.batch)} a request")
            case Retry() if event.t - self._last_retry >= SECONDS_BETWEEN_LINES:
                self._last_retry = event.t
                again = f"again in {event.wait:.1f} s, try {event.attempt}"
                self._print(f"{event.t:6.1f} s  {event.reason}; {again}")
            case Step() if event.t - self._last >= SECONDS_BETWEEN_LINES:
                self._last = event.t
                self._say(_cut(clean(self._step(event))))
            case Evaluated():
                what = event.role if event.role == "empty" or self._learns else ""
                told = f"{what} prompt on {event.split}: {percent(event.result)}"
                self._print(told.strip())
            case Note() if not warned(event.message):
                self._print(f"note: {event.message}")
            case Finished():
                self._finish(event)
            case _:
                pass

    def _start(self, event: Started) -> None:
        self._steps, self._learns = event.steps, event.method not in FIXED
        self._tested = event.test > 0
        sizes = ((event.train, "train"), (event.dev, "dev"), (event.test, "test"))
        shown = ", ".join(f"{count:,} {split}" for count, split in sizes)
        self._print(f"{event.task}: {event.method} on {event.model}, seed {event.seed}; {shown}")

    def _step(self, event: Step) -> str:
        of = f"/{self._steps}" if self._steps else ""
        parts = [
            f"{event.t:6.1f} s",
            f"step {event.step:>{max(3, len(of) - 1)}}{of}",
            f"loss {event.loss:.3f}",
            f"entropy {event.entropy:z.2f}" if event.spread else "",
            f"{event.usage.prompts:>7,} prompts{_dollars(event.usage)}",
            event.prompt,
        ]
        return "  ".join(part for part in parts if part)

    def _finish(self, event: Finished) -> None:
        result, usage = event.result, event.result.usage
        self._print(f"done ({result.stop_reason}): {_spent(result, usage)}")
        if result.dev is not None or result.steps_done:
            what = "learned prompt" if result.steps_done else "prompt"
            self._say(f"{what}: {clean(result.prompt) or '(empty)'}")
            self._doubt(result)
        else:
            self._print("nothing was learned")
        if gain := result.gain:
            self._print(f"gain over the empty prompt on test: {points(gain)}")
            low, high = gain.ci95
            if low <= 0 <= high and low < high:
                self._print("there may be no gain: too few examples to be sure")
        elif result.dev is not None and result.steps_done:
            gives = "" if self._tested else "; a file named by task.test gives one"
            why = "dev chose this prompt, so its dev score flatters it"
            self._print(f"no test score: {why}{gives}")
        self._say(f"saved in {clean(str(self._out))}")
        if not result.cut_off:  # else there is a line on how to go on
            self._say(clean(f"next: bdpl-async report {shlex.quote(str(self._out))}"))

    def _doubt(self, result: Result) -> None:
        """What stands between a score and its use."""
        if result.calibration is not None:
            kind = result.calibration.kind
            self._print(f"its scores are calibrated ({kind}); the offsets are in result.json")
        dev, empty = result.dev, result.baseline.dev
        if dev is not None and empty is not None and dev.score < empty.score:
            self._print(
                "note: on dev the empty prompt scored higher: try more examples, another template"
                " or label words, or another model"
            )

    def _print(self, text: str) -> None:
        """Prose, in lines as wide as there is room."""
        for line in wrapped(text):
            self._say(line)

    def _say(self, line: str) -> None:
        """What is safe, as it is."""
        print(line, flush=True)


def _cut(line: str) -> str:
    """In one line of the terminal; what must be copied whole is never cut."""
    width = max(LEAST, get_terminal_size(fallback=(PIPE, 24)).columns)
    return line if len(line) <= width else line[: width - 3] + "..."


def _texts(count: int) -> str:
    return "one text" if count == 1 else f"up to {count:,} texts"


def _dollars(usage: Totals) -> str:
    return f", {dollars(usage.usd)}" if usage.usd else ""


def _spent(result: Result, usage: Totals) -> str:
    """What a run took; what did not happen is left out."""
    tokens = usage.prompt_tokens + usage.completion_tokens
    sent = f"{counted(usage.prompts, 'prompt')} in {counted(usage.requests, 'request')}"
    parts = [
        counted(result.steps_done, "update") if result.steps_done else "",
        sent,
        counted(tokens, "token") if tokens else "",
        dollars(usage.usd) if usage.usd else "",
        f"{usage.cache_hits:,} known already" if usage.cache_hits else "",
        f"{usage.retries:,} sent again" if usage.retries else "",
        f"{usage.seconds:.1f} s",
    ]
    return ", ".join(part for part in parts if part)
