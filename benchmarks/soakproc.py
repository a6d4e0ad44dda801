"""What a process holds, read from outside: memory, descriptors, threads, and its files on disk."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import median

__all__ = ["Sample", "sample", "slope"]

MB = 1e6
APART = 1_000  # requests between two samples that tell a slope


@dataclass(frozen=True)
class Sample:
    """A process at one moment.

    Attributes:
        requests: that the server had seen by then.
        rss: MB in memory.
        peak: the most of them so far.
        sizes: MB by kind of file.
    """

    t: float
    requests: int
    rss: float
    peak: float
    descriptors: int
    sockets: int
    threads: int
    sizes: dict[str, float]


def sample(process: int, t: float, requests: int, folder: Path) -> Sample | None:
    """Look at a process whose files lie in `folder`; None when it is gone."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
        status = dict(line.split(":", 1) for line in lines if ":" in line)
        if "VmRSS" not in status:  # it has ended, and nobody has asked how
            return None
        open_ = descriptors(process)
    except (FileNotFoundError, ProcessLookupError):
        return None
    kilobytes = {key: int(status[key].split()[0]) for key in ("VmRSS", "VmHWM")}
    return Sample(
        t,
        requests,
        kilobytes["VmRSS"] * 1024 / MB,
        kilobytes["VmHWM"] * 1024 / MB,
        len(open_),
        sum(target.startswith("socket:") for target in open_),
        int(status["Threads"]),
        sizes(folder),
    )


def descriptors(process: int) -> list[str]:
    """What each open descriptor is."""
    found, folder = [], f"/proc/{process}/fd"
    for entry in os.listdir(folder):
        try:
            found.append(os.readlink(f"{folder}/{entry}"))
        except FileNotFoundError:
            continue
    return found


def sizes(folder: Path) -> dict[str, float]:
    """MB of the run's files: those of its folder by name, and the cache with its log."""
    found: dict[str, float] = {}
    for pattern in ("out/*", "out/.*", "cache.db*"):
        for path in folder.glob(pattern):
            try:
                size = path.stat().st_size / MB
            except FileNotFoundError:
                continue
            kind = "checkpoint*" if "checkpoint" in path.name else path.name
            found[kind] = found.get(kind, 0.0) + size
    return found


def slope(samples: Sequence[Sample]) -> float:
    """MB more for each 100,000 requests: the median over all pairs of samples.

    A large reply is in memory for a moment, and what is freed goes back late: neither is a trend.
    """
    slopes = [
        (later.rss - first.rss) / (later.requests - first.requests) * 1e5
        for first, later in combinations(samples, 2)
        if later.requests - first.requests >= APART
    ]
    return median(slopes) if slopes else 0.0
