"""What a frame of the terminal costs, and which part of a core drawing takes at the pace used.

    PYTHONPATH=.:providers:cli python benchmarks/screen.py [--frames 200]

Draws a run in full swing (five limits, ten positions, retries, notes) that moves on with every
frame, into a pseudo-terminal that another thread empties. Prints a table; CPU is that of the
drawing thread.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from math import exp
from random import Random

from bdpl_async.budget import Amount, Budget
from bdpl_async.evaluation import Evaluation
from bdpl_async.events import Evaluated, Event, Note, Retry, Started, Step
from bdpl_async.latency import Latency
from bdpl_async.limits.standing import Level, Standing
from bdpl_async.pulse import Pulse
from bdpl_async.result import Totals
from bdpl_cli.screen.live import PERIOD, Live
from bdpl_cli.screen.shape import frame
from bdpl_cli.screen.terminal import Terminal
from bdpl_cli.screen.view import View, fold

SIZES = ((60, 16), (80, 24), (160, 48), (200, 60))
BUDGET = Budget(requests=8_000, prompts=80_000, tokens=20_000_000, usd=50.0, seconds=6_000)
WORDS = tuple(
    [
        "customer",
        "gloomy",
        "software",
        "afraid",
        "humor",
        "watch",
        "step",
        "reliable",
        "stylist",
        "mix",
    ]
)


class Motion:
    """A run that goes on by one update, two requests and a second with every look at it."""

    def __init__(self) -> None:
        self._random = Random(0)
        self._steps = 0
        score = Evaluated(1.0, "dev", "empty", "", Evaluation("accuracy", 0.7, (0.6, 0.8), 320))
        first: list[Event] = [
            Started(0.0, "tickets", "openai/gpt-6-luna", "bdpl", 0, 16, 320, 200, None),
            score,
        ]
        first += [Note(2.0, f"note {n}: " + "something that is good to know " * 4) for n in "abc"]
        self.view = View()
        for event in first:
            self.view = fold(self.view, event)

    def next(self) -> View:
        """The view, one update later."""
        self._steps += 1
        n = self._steps
        odds = tuple(round(min(1.0, self._random.random() + n / 500), 4) for _ in WORDS)
        loss = 1.2 * exp(-n / 80) + 0.2 * self._random.random()
        step = Step(n, n, loss, 5 - n / 100, 0.01, " ".join(WORDS), Totals(), WORDS, odds, odds)
        self.view = fold(self.view, step)
        if n % 7 == 0:
            self.view = fold(self.view, Retry(n, 2, 1.5, "too many requests (429)", "rate limit"))
        self.view = fold(self.view, self._pulse(n))
        return self.view

    def _pulse(self, n: int) -> Pulse:
        used = Amount(8 * n, 80 * n, 12_000 * n, 0.031 * n)
        level = Level("requests", 310 + n % 40, 500, 61.0)
        return Pulse(
            n,
            "search",
            n,
            1_000,
            BUDGET,
            used,
            Amount(8, 64, 9_000, 0.02),
            Amount(80, 1_200, 180_000, 0.4),
            Totals(8 * n, 80 * n, 11_000 * n, 1_000 * n, 0.031 * n, 12 * n, n // 7, 0, n),
            Latency(0.12 + n % 9 / 100, 0.31),
            Standing(8, 64, n % 12, (level,), "the limit of requests", 13.2),
        )


class Sized(Terminal):
    """A pseudo-terminal that says it has this size."""

    size = (80, 24)


def measured(size: tuple[int, int], frames: int) -> tuple[float, float]:
    """CPU seconds of a frame, and the part of a core at the pace that a screen keeps."""
    reader, writer = os.openpty()
    drain = threading.Thread(target=_drain, args=(reader,), daemon=True)
    drain.start()
    with os.fdopen(writer, "w", encoding="utf-8") as out:
        kind = type("Sized", (Sized,), {"size": size})
        terminal = kind(out)
        motion = Motion()
        live = Live(
            terminal, motion.next, lambda v, w, h: frame(v, w, h, terminal.look), over=_raise
        )
        for _ in range(20):
            live.beat()
        began, pauses = time.thread_time(), 0.0
        for _ in range(frames):
            pauses += live.beat()
        cost = time.thread_time() - began
        terminal.leave()
    return cost / frames, cost / (cost + pauses)


def _raise(error: Exception) -> None:
    raise error


def _drain(descriptor: int) -> None:
    try:
        while os.read(descriptor, 65_536):
            pass
    except OSError:
        return  # the other end was closed


def main() -> None:
    """Measure every size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=200)
    frames = parser.parse_args().frames
    os.environ.setdefault("TERM", "xterm-256color")
    sys.stdout.write(f"{'size':>8}  {'CPU a frame':>12}  {'frames/s':>9}  {'of a core':>9}\n")
    for size in SIZES:
        cost, share = measured(size, frames)
        pace = share / cost
        sys.stdout.write(
            f"{size[0]:>4}x{size[1]:<3}  {1000 * cost:>9.2f} ms  {min(pace, 1 / PERIOD):>9.2f}"
            f"  {100 * share:>7.2f} %\n"
        )


if __name__ == "__main__":
    main()
