"""What is measured: a part of the benchmark, its rounds, and the figures that these give.

A part is opened once and then asked for rounds, so that rounds of all parts can take turns. A
figure is named `WHAT | UNIT`; each round has one value for it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles

__all__ = ["FULL", "QUICK", "TINY", "Figures", "Part", "Round", "Setting", "Sizes", "spread"]

Figures = dict[str, float]
Round = Callable[[], Awaitable[Figures]]


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured.

    Attributes:
        rounds: of the parts that take seconds; those that take longer have fewer.
        concurrency: requests in flight where CPU time is measured.
        requests: of a round of CPU time.
        crowds: requests in flight where replies take time; `latency`, how many seconds, and as
            many more as keep the client's CPU out of it; `waves`, requests for each in flight.
        minute: seconds that a minute of the limits lasts; `minutes`, for how many; `rpm`.
        replayed: scores of a warm replay, and `entries` of a cache.
        megabytes: of text for a vocabulary.
        steps: of a policy.
        long: requests of the run whose memory is looked at; `tuned`, of the one that waits.
        cold: starts of the command.
    """

    rounds: int = 7
    concurrency: tuple[int, ...] = (32, 256)
    requests: int = 2_000
    crowds: tuple[int, ...] = (64, 256, 1_024)
    latency: float = 0.25
    waves: int = 24
    minute: float = 60.0
    minutes: int = 1
    rpm: int = 1_200
    replayed: int = 8_000
    entries: int = 40_000
    megabytes: float = 100.0
    steps: int = 20
    long: int = 20_000
    tuned: int = 16_000
    cold: int = 10


FULL = Sizes()
QUICK = Sizes(2, (32,), 600, (64, 256), 0.1, 8, 15.0, 1, 600, 8_000, 5_000, 5, 10, 3_000, 1_500, 3)
TINY = Sizes(1, (4,), 16, (4,), 0.01, 2, 0.25, 1, 600, 160, 100, 0.05, 2, 400, 400, 1)


@dataclass(slots=True)
class Setting:
    """Where parts are opened.

    Attributes:
        stack: what a part leaves open is closed with it.
        folder: for files of theirs.
        pythons: others that may have clients to compare with.
        remarks: what was left out, and why.
    """

    stack: AsyncExitStack
    folder: Path
    sizes: Sizes = FULL
    pythons: tuple[str, ...] = ()
    remarks: list[str] = field(default_factory=list)

    def made(self, name: str) -> Path:
        """A new folder."""
        path = self.folder / name
        path.mkdir(parents=True)
        return path

    def remark(self, text: str) -> None:
        """Say it now, and on the page."""
        print(text, flush=True)
        self.remarks.append(text)


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the benchmark.

    Attributes:
        about: what it measures, one line.
        open: gets ready, and gives what makes a round.
        share: of the rounds that it gets, at least one.
    """

    about: str
    open: Callable[[Setting], Awaitable[Round]]
    share: float = 1.0

    def rounds(self, most: int) -> int:
        """How many it has where others have `most`."""
        return max(1, round(self.share * most))

    def due(self, turn: int, most: int) -> bool:
        """Whether it has a round in this turn of `most`; they are spread over all of them."""
        count = self.rounds(most)
        return (turn + 1) * count // most > turn * count // most


def spread(values: list[float]) -> tuple[float, float, float]:
    """Median and quartiles; lowest and highest instead where there are fewer than four."""
    if len(values) < 4:
        return median(values), min(values), max(values)
    low, _, high = quantiles(values, method="inclusive")
    return median(values), low, high
