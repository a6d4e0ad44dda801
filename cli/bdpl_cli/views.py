"""What ``run`` prints as it goes: calm lines, events as JSON, or nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from shutil import get_terminal_size

import orjson

from bdpl_async.evaluation import Evaluation
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
from bdpl_async.result import Result, Totals
from bdpl_cli.plaintext import clean

__all__ = ["make_view"]

SECONDS_BETWEEN_LINES = 2.0
WIDTH = 100  # of a step's line where there is no terminal; results are never cut


def make_view(ui: str, out: Path) -> Callable[[Event], None]:
    """The view that ``--ui`` names; `auto` is plain."""
    match ui:
        case "json":
            return _print_json
        case "none":
            return lambda event: None
        case _:
            return Plain(out)


def _print_json(event: Event) -> None:
    sys.stdout.write(orjson.dumps(to_json(event)).decode() + "\n")
    sys.stdout.flush()


def percent(result: Evaluation) -> str:
    """``71.2 % (95 %: 66.0 to 75.9, n=320)``; metrics below zero keep their sign."""
    low, high = (100 * bound for bound in result.ci95)
    lost = f", {result.unanswered} unanswered" if result.unanswered else ""
    return f"{100 * result.score:.1f} % (95 %: {low:.1f} to {high:.1f}, n={result.n}{lost})"


class Plain:
    """A line now and then, for a pipe, a log or a simple terminal."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._last = self._last_retry = float("-inf")
        self._steps: int | None = None

    def __call__(self, event: Event) -> None:
        """Print what the event has to say, if it is time."""
        match event:
            case Started():
                self._steps = event.steps
                self._print(
                    f"{clean(event.task)}: {event.method} on {clean(event.model)}, seed"
                    f" {event.seed}; {event.train} train, {event.dev} dev, {event.test} test"
                )
            case Probed() if event.readout is not None:
                self._print(f"read by {event.readout}, {_texts(event.batch)} a request")
            case Retry() if event.t - self._last_retry >= SECONDS_BETWEEN_LINES:
                self._last_retry = event.t
                again = f"again in {event.wait:.1f} s, try {event.attempt}"
                self._print(f"{event.t:6.1f} s  {clean(event.reason)}; {again}")
            case Step() if event.t - self._last >= SECONDS_BETWEEN_LINES:
                self._last = event.t
                self._print(self._step(event))
            case Evaluated():
                prompt = clean(event.prompt) or "(empty)"
                self._print(
                    f"{event.role} prompt on {event.split}: {percent(event.result)}  {prompt}"
                )
            case Note():
                self._print(f"note: {clean(event.message)}")
            case Finished():
                self._finish(event)
            case _:
                pass

    def _step(self, event: Step) -> str:
        of = f"/{self._steps}" if self._steps else ""
        spent = f"{event.usage.prompts:>6} prompts{_dollars(event.usage)}"
        line = (
            f"{event.t:6.1f} s  step {event.step:>3}{of}  loss {event.loss:.3f}"
            f"  entropy {event.entropy:.2f}  {spent}  {clean(event.prompt)}"
        )
        width = get_terminal_size(fallback=(WIDTH, 24)).columns
        return line if len(line) <= width else line[: width - 3] + "..."

    def _finish(self, event: Finished) -> None:
        result, usage = event.result, event.result.usage
        self._print(f"done ({result.stop_reason}): {result.steps_done} updates, {_spent(usage)}")
        if result.dev is not None or result.steps_done:
            what = "learned prompt" if result.steps_done else "prompt"
            self._print(f"{what}: {clean(result.prompt) or '(empty)'}")
            self._doubt(result)
        else:
            self._print("nothing was learned")
        if gain := result.gain:
            low, high = (100 * bound for bound in gain.ci95)
            self._print(
                f"gain over the empty prompt on test: {100 * gain.score:+.1f} points"
                f" (95 %: {low:+.1f} to {high:+.1f}, paired)"
                + ("" if low > 0 or high < 0 or low == high else "; too few examples to be sure")
            )
        elif result.dev is not None and result.steps_done:
            self._print("no test score: dev chose this prompt, so its dev score flatters it")
        self._print(f"saved in {clean(str(self._out))}")

    def _doubt(self, result: Result) -> None:
        """What stands between a score and its use."""
        if result.calibration is not None:
            kind = result.calibration.kind
            self._print(f"its scores are calibrated ({kind}); the offsets are in result.json")
        dev, empty = result.dev, result.baseline.dev
        if dev is not None and empty is not None and dev.score < empty.score:
            self._print("note: on dev the empty prompt scored higher")

    def _print(self, line: str) -> None:
        print(line, flush=True)


def _texts(count: int) -> str:
    return "one text" if count == 1 else f"up to {count} texts"


def _dollars(usage: Totals) -> str:
    return f", ${usage.usd:.4f}" if usage.usd else ""


def _spent(usage: Totals) -> str:
    """What a run took, in one line; what did not happen is left out."""
    tokens = usage.prompt_tokens + usage.completion_tokens
    parts = [
        f"{usage.prompts} prompts in {usage.requests} requests",
        f"{tokens} tokens" if tokens else "",
        f"${usage.usd:.4f}" if usage.usd else "",
        f"{usage.cache_hits} known already" if usage.cache_hits else "",
        f"{usage.retries} sent again" if usage.retries else "",
        f"{usage.seconds:.1f} s",
    ]
    return ", ".join(part for part in parts if part)
