"""A run of thousands of requests, and what would show if it leaked; `benchmarks/soak.py` is it."""

from __future__ import annotations

import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
REQUESTS = 5_000
MANY = 200_000


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="it reads /proc")
def test_thousands_of_requests_leave_nothing_behind(tmp_path: Path) -> None:
    """Through faults of every kind: no task, socket, thread or descriptor stays, nothing is large.

    By the server's own count the budget holds and is used, and no answer is paid for twice.
    """
    out = tmp_path / "soak.md"
    told = ["--requests", str(REQUESTS), "--batch", "40", "--out", str(out)]
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / "soak.py"), *told],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "PASS"
    page = out.read_text()
    assert "FAIL" not in page
    for kind in ("429-bare", "500", "reset", "truncated", "no-choices", "nan"):
        assert f"| {kind} | " in page


def report(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module that judges; scripts find their neighbours beside them."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return import_module("soakreport")


def found(report: Any, rss: Callable[[int], float] = lambda requests: 150.0) -> Any:
    """A soak in which all went well, with so many MB in memory after so many requests."""
    sample = import_module("soakproc").Sample
    samples = [
        sample(n, 1_000 * n, rss(1_000 * n), rss(1_000 * n), 60, 50, 7, {"events.jsonl": 0.1})
        for n in range(1, MANY // 1_000 + 1)
    ]
    still = {"descriptors": ["/dev/null"], "threads": ["MainThread"]}
    return report.Found(
        MANY,
        64,
        code=0,
        samples=samples,
        counts=[{"before": still}, {"tasks": 64}, {"left": []}, {"after": still}],
        books={"requests": MANY, "prompts": 190_000, "twice": 1, "struck": {"500": 2_000}},
        result={"stop_reason": "budget", "usage": {"requests": MANY, "prompts": 190_000}},
        steps=[700] * 500,
    )


def failing(report: Any, soak: Any) -> list[str]:
    return [verdict.what for verdict in report.judged(soak) if not verdict.passed]


def test_a_run_that_keeps_to_the_limits_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also with a large reply in memory now and then, and while caches fill at first."""
    judge = report(monkeypatch)

    def rss(requests: int) -> float:
        return 100.0 + min(requests, 120_000) / 2_000 + (33.0 if requests % 7_000 == 0 else 0.0)

    soak = found(judge, rss)
    assert failing(judge, soak) == []
    page = judge.page(soak, judge.judged(soak), Namespace(requests=MANY))
    assert "| 500 | 2,000 |" in page
    assert "| 200,000 | 200 | 160.0 |" in page


def test_memory_that_grows_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred bytes a request are too many, and so are 300 MB."""
    judge = report(monkeypatch)
    slowly = found(judge, lambda requests: 100.0 + requests * 1e-4)
    assert failing(judge, slowly) == ["memory, after 140,000 requests"]
    assert failing(judge, found(judge, lambda requests: 301.0)) == ["memory, peak"]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"code": 1}, "end of the run"),
        ({"counts": []}, "leaks"),
        ({"books": {"requests": MANY + 1}}, "requests"),
        ({"books": {"requests": MANY // 2}}, "requests"),
        ({"books": {"prompts": 190_001}}, "prompts"),
        ({"books": {"twice": 17}}, "answers paid twice"),
        ({"after": {"descriptors": ["/dev/null", "pipe:[1]"]}}, "descriptors of the process"),
        ({"after": {"descriptors": ["socket:[1]"]}}, "sockets after the run"),
        ({"after": {"threads": ["MainThread", "bdpl-cache"]}}, "threads of the process"),
        ({"left": ["<coroutine object>"]}, "asyncio tasks after the run"),
        ({"tasks": 1_000}, "asyncio tasks, at most"),
        ({"sizes": {"events.jsonl": 10.0}}, "events.jsonl"),
        ({"sizes": {"events.jsonl": 0.1, "checkpoint*": 65.0}}, "checkpoint*"),
        ({"sizes": {"events.jsonl": 0.1, "cache.db-wal": 65.0}}, "log of the cache"),
    ],
)
def test_each_limit_is_held(
    change: dict[str, Any], what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left behind, too large, unpaid or sent beyond the budget is found, and named."""
    judge = report(monkeypatch)
    soak = found(judge)
    counts = {key: line for line in soak.counts for key in line}
    for key, value in change.items():
        if key == "after":
            counts["after"]["after"] = {**counts["after"]["after"], **value}
        elif key == "books":
            soak.books.update(value)
        elif key == "sizes":
            soak.samples[100].sizes.update(value)
        elif key in counts:
            counts[key][key] = value
        else:
            setattr(soak, key, value)
    assert failing(judge, soak) == [what]
