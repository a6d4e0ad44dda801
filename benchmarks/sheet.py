"""The page of a benchmark: machine, figures with their targets, remarks."""

from __future__ import annotations

import operator
import os
import platform
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from figures import spread

__all__ = ["TARGETS", "Target", "machine", "table", "target_of"]

PACKAGES = ("bdpl-async", "aiohttp", "orjson", "openai", "numpy", "torch")
SIGNS: dict[str, Callable[[float, float], bool]] = {"<=": operator.le, ">=": operator.ge}


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure should be.

    Attributes:
        name: of figures; a pattern for all of the name.
    """

    name: str
    sign: str
    limit: float

    def met(self, value: float) -> bool:
        """Whether it is."""
        return SIGNS[self.sign](value, self.limit)

    def __str__(self) -> str:
        return f"{self.sign.replace('<=', '≤').replace('>=', '≥')} {self.limit:,g}"


TARGETS = (
    Target(r"server, .* times bare aiohttp's rate", ">=", 2.0),
    Target(r"server, .* CPU of bare aiohttp's", "<=", 0.5),
    Target(r"engine(, cache|, journal|, cache and journal)?, \d+ in .* times .*", "<=", 1.5),
    Target(r"engine(, cache)?, lists, .* of one by one", "<=", 0.15),
    Target(r"engine, \d+ in flight, log-normal .* of the ideal", ">=", 0.9),
    Target(r"engine, cache, asks one after the other, .* of the ideal", ">=", 0.9),
    Target(r"whole run, .* of a wire that is never idle", ">=", 0.9),
    Target(r"engine, \d+ lists of 16, .* of the ideal", ">=", 0.8),
    Target(r".* a minute, counted (in|by a bucket).* of the limit", ">=", 0.97),
    Target(r".* a minute, counted (in|by a bucket).* refused", "<=", 0),
    Target(r"warm replay .* requests", "<=", 0),
    Target(r"warm replay .* scores/s", ">=", 20_000),
    Target(r"--help, .* s", "<=", 0.25),
    Target(r"whole run .* MB in memory at most", "<=", 300),
    Target(r"worker, .*, equal, float32 . x the loop", ">=", 1.5),
    Target(r"worker, .*, mixed, float32 . x the loop", ">=", 2.0),
    Target(r"worker, .*, bf16 . x the loop", ">=", 5.0),
    Target(r"worker, .*, float32 . largest error", "<=", 1e-4),
    Target(r"worker, .*, bf16 . % same argmax", ">=", 99.5),
)


def target_of(name: str) -> Target | None:
    """The figure's, if it has one."""
    return next((target for target in TARGETS if re.fullmatch(target.name, name)), None)


def machine() -> str:
    """Model of the processor, cores, memory, Python, versions; nothing that tells whose it is."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(": ")[2] for line in lines if "model name" in line), "unknown")
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    parts = [model, f"{cores} cores", f"{memory:.0f} GiB", platform.system()]
    parts.append(f"Python {platform.python_version()}")
    for package in PACKAGES:
        try:
            parts.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(parts)


def table(figures: Mapping[str, Sequence[float]]) -> str:
    """One row a figure."""
    rows = ["| what | | median | spread | rounds | target | met |", "|---|---|--:|---|--:|---|---|"]
    for name, values in figures.items():
        what, _, unit = name.partition(" | ")
        middle, low, high = spread(list(values))
        target = target_of(name)
        met = "" if target is None else "yes" if target.met(middle) else "**no**"
        between = f"{shown(low)} to {shown(high)}" if len(values) > 1 else ""
        cells = [what, unit, shown(middle), between, str(len(values)), str(target or ""), met]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def shown(value: float) -> str:
    """Three digits, or all those before the point."""
    if value == int(value) or abs(value) >= 1_000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
