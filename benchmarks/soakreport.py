"""What a soak found, held against its limits, and told as a page."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from soakproc import Sample, slope

__all__ = ["Found", "Verdict", "judged", "page"]

# The limits.
PEAK = 300.0  # MB
SLOPE = 5.0  # MB for each 100,000 requests, once what is kept in memory is full:
FULL = 140_000  # requests; 50,000 answers of the run's own, and twice 16 MB of the cache's pages
SOCKETS = 16  # more than requests in flight, at any time
EVENTS = 1.0, 600.0  # MB, and bytes for each update
CHECKPOINT = 64.0  # MB of all files of that name; a journal is renewed at 32
LOG = 64.0  # MB of the cache's write-ahead log
TWICE = 16  # answers that were paid twice: the probe asks what the run may ask again
USED = 0.8  # of the budget, at least

TREND = "{:+.1f} MB per 100,000 requests"


@dataclass
class Found:
    """All that a soak saw.

    Attributes:
        requests: the budget.
        concurrency: in flight at most.
        code: the command's exit code.
        said: what it printed.
        counts: the lines of `soaked.py`.
        books: the server's own, at the end.
        lines: of events.jsonl, by type; `steps`, the bytes of each update's.
    """

    requests: int
    concurrency: int
    seconds: float = 0.0
    code: int | None = None
    said: str = ""
    samples: list[Sample] = field(default_factory=list)
    counts: list[dict[str, Any]] = field(default_factory=list)
    books: dict[str, Any] = field(default_factory=dict)
    result: dict[str, Any] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    steps: list[int] = field(default_factory=list)

    def counted(self, key: str) -> Any:
        """What `soaked.py` told under this key, at last; None if it did not."""
        return next((line[key] for line in reversed(self.counts) if key in line), None)

    @property
    def tasks(self) -> int:
        """The most asyncio tasks at any second."""
        return max((line["tasks"] for line in self.counts if "tasks" in line), default=0)

    def since(self, requests: int) -> list[Sample]:
        """The samples from so many requests on."""
        return [seen for seen in self.samples if seen.requests >= requests]

    def biggest(self, file: str) -> float:
        """MB of one kind of file, at most."""
        return max((seen.sizes.get(file, 0.0) for seen in self.samples), default=0.0)


@dataclass(frozen=True)
class Verdict:
    """One limit: what was found, what was allowed."""

    what: str
    found: str
    limit: str
    passed: bool


def judged(found: Found) -> list[Verdict]:
    """Every limit."""
    return [*_ended(found), *_memory(found), *_leaks(found), *_money(found), *_disk(found)]


def _ended(found: Found) -> Iterator[Verdict]:
    reason = found.result.get("stop_reason", "no result")
    passed = found.code == 0 and reason == "budget"
    yield Verdict("end of the run", f"exit {found.code}, {reason}", "exit 0, budget", passed)


def _memory(found: Found) -> Iterator[Verdict]:
    peak = max((seen.peak for seen in found.samples), default=0.0)
    yield Verdict("memory, peak", f"{peak:.0f} MB", f"{PEAK:.0f} MB", 0 < peak < PEAK)
    half = slope(found.since(found.books["requests"] // 2))
    yield Verdict("memory, second half", TREND.format(half), "told only", passed=True)
    if found.books["requests"] >= FULL + FULL // 4:
        grows = slope(found.since(FULL))
        what = f"memory, after {FULL:,} requests"
        yield Verdict(what, TREND.format(grows), f"{SLOPE:g} MB", grows < SLOPE)


def _leaks(found: Found) -> Iterator[Verdict]:
    before, after = found.counted("before"), found.counted("after")
    left = found.counted("left")
    if before is None or after is None or left is None:
        yield Verdict("leaks", "not counted", "counted", passed=False)
        return
    for what in ("descriptors", "threads"):
        more = [name for name in after[what] if name not in before[what]]
        told = f"{len(before[what])} before, {len(after[what])} after {' '.join(more)}".strip()
        passed = len(after[what]) <= len(before[what])
        yield Verdict(f"{what} of the process", told, "no more after", passed)
    sockets = sum(name.startswith("socket:") for name in after["descriptors"])
    yield Verdict("sockets after the run", str(sockets), "0", sockets == 0)
    yield Verdict("asyncio tasks after the run", str(len(left)), "0", not left)
    most = max((seen.sockets for seen in found.samples), default=0)
    limit = found.concurrency + SOCKETS
    yield Verdict("sockets, at most", str(most), str(limit), most <= limit)
    # Some tasks serve a request, some the run; none is made for each text.
    limit = 2 * found.concurrency + SOCKETS
    yield Verdict("asyncio tasks, at most", str(found.tasks), str(limit), found.tasks <= limit)


def _money(found: Found) -> Iterator[Verdict]:
    books, usage = found.books, found.result.get("usage", {})
    sent, counted = books["requests"], usage.get("requests", 0)
    told = f"{sent:,} by the server, {counted:,} by the run"
    fits = USED * found.requests <= sent <= counted <= found.requests
    yield Verdict("requests", told, f"{found.requests:,}", fits)
    billed, known = books["prompts"], usage.get("prompts", 0)
    told = f"{billed:,} billed, {known:,} counted"
    yield Verdict("prompts", told, "none uncounted", billed <= known)
    twice = books["twice"]
    yield Verdict("answers paid twice", f"{twice:,}", f"{TWICE}", twice <= TWICE)


def _disk(found: Found) -> Iterator[Verdict]:
    fixed, each = EVENTS
    limit = fixed + each * len(found.steps) / 1e6
    size = found.biggest("events.jsonl")
    told = f"{size:.2f} MB, {len(found.steps):,} updates"
    yield Verdict("events.jsonl", told, f"{limit:.2f} MB", 0 < size <= limit)
    size = found.biggest("checkpoint*")
    yield Verdict("checkpoint*", f"{size:.2f} MB at most", f"{CHECKPOINT:g} MB", size <= CHECKPOINT)
    size = found.biggest("cache.db-wal")
    yield Verdict("log of the cache", f"{size:.2f} MB at most", f"{LOG:g} MB", size <= LOG)


def page(found: Found, verdicts: Sequence[Verdict], given: Namespace) -> str:
    """What was found, in Markdown."""
    lines = [
        "# A long run against a server that breaks",
        "",
        f"    python benchmarks/soak.py --requests {given.requests}",
        "",
        "`bdpl-async run`, one text a request as a chat, with RUN_DIR and cache, against",
        "`tests/faultserver.py` in a process of its own; both on the same two cores.",
        f"{found.books['requests']:,} requests in {found.seconds:,.0f} s,"
        f" {len(found.steps):,} updates, up to {found.concurrency} requests in flight.",
        "",
        "| what | found | limit | |",
        "|---|---|---|---|",
    ]
    for one in verdicts:
        mark = "pass" if one.passed else "**FAIL**"
        lines.append(f"| {one.what} | {one.found} | {one.limit} | {mark} |")
    return "\n".join([*lines, "", *_course(found), "", *_files(found), "", *_faults(found), ""])


def _course(found: Found) -> Iterator[str]:
    yield "Over time, by the server's count of requests:"
    yield ""
    yield "| requests | seconds | MB in memory | descriptors | sockets | threads |"
    yield "|---|---|---|---|---|---|"
    total, done = found.books["requests"], -1
    for seen in found.samples:
        tenth = 10 * seen.requests // max(1, total)
        if tenth > done:
            done = tenth
            yield (
                f"| {seen.requests:,} | {seen.t:.0f} | {seen.rss:.1f} | {seen.descriptors} |"
                f" {seen.sockets} | {seen.threads} |"
            )


def _files(found: Found) -> Iterator[str]:
    yield "Files, in MB at the end and at most:"
    yield ""
    yield "| file | end | most |"
    yield "|---|---|---|"
    last = found.samples[-1].sizes if found.samples else {}
    for name in sorted({name for seen in found.samples for name in seen.sizes}):
        if not name.startswith(".") and max(last.get(name, 0.0), found.biggest(name)) > 0:
            yield f"| {name} | {last.get(name, 0.0):.3f} | {found.biggest(name):.3f} |"
    yield ""
    told = ", ".join(f"{kind} {count:,}" for kind, count in sorted(found.lines.items()))
    mean = sum(found.steps) / max(1, len(found.steps))
    yield f"Lines of events.jsonl: {told}; an update's has {mean:.0f} bytes on average."


def _faults(found: Found) -> Iterator[str]:
    usage = found.result.get("usage", {})
    struck = found.books["struck"]
    yield (
        f"Faults: {sum(struck.values()):,}; {usage.get('retries', 0):,} requests were sent again,"
        f" {usage.get('failures', 0):,} brought nothing usable."
    )
    yield ""
    yield "| fault | times |"
    yield "|---|---|"
    for kind, times in sorted(struck.items()):
        yield f"| {kind} | {times:,} |"
