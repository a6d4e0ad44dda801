"""A comparison as CSV files: one line an arm in the first, one line a run in the second.

Numbers are unformatted fractions, seconds and USD; a text that a spreadsheet would compute is
protected. Both are made of the document alone, so they say what comparison.json says.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any, Final

from bdpl_async.studies.comparison import BARE
from bdpl_async.studies.spreadsheet import shown

__all__ = ["ARMS", "RUNS", "sheets"]

ARMS: Final = "comparison.csv"
RUNS: Final = "comparison-runs.csv"
Line = dict[str, object]


def sheets(document: Mapping[str, Any]) -> dict[str, bytes]:
    """The files by name.

    Args:
        document: see `bdpl_async.studies.boardjson`.
    """
    first = {d["arm"]: d for d in document["differences"] if d["reference"] != BARE}
    shared = {name: document[name] for name in ("task", "metric")}
    arms = [{**shared, **_arm(row, first.get(row["arm"]))} for row in document["summary"]]
    runs = [{**shared, **_run(run)} for run in document["arms"]]
    return {ARMS: _csv(arms), RUNS: _csv(runs)}


def _arm(row: Mapping[str, Any], against: Mapping[str, Any] | None) -> Line:
    names = ("prompts", "requests", "usd", "usd_per_point", "tokens_per_second")
    return {
        **{name: row[name] for name in ("arm", "model", "method", "seeds", "searches")},
        **_score("dev", row["dev"], "mean"),
        **_score("test", row["test"], "mean"),
        **_verdict("gain", row["gain"]),
        "gain_split": None if row["gain"] is None else row["gain"]["split"],
        **_verdict("over_first", against),
        **{name: row[name] for name in names},
        **_latency(row),
        **{name: row[name] for name in ("failures", "retries")},
        "prompt": row["best"]["prompt"],
        "prompt_seed": row["best"]["seed"],
        "prompt_run": row["best"]["run"],
    }


def _run(run: Mapping[str, Any]) -> Line:
    baseline, gain = run["baseline"], run["gain"]
    return {
        **{name: run[name] for name in ("model", "method", "seed", "steps_done", "stop_reason")},
        **_score("dev", run["dev"], "score"),
        **_score("test", run["test"], "score"),
        **{f"empty_{split}": _key(baseline[split], "score") for split in ("dev", "test")},
        **dict(zip(("gain", "gain_low", "gain_high"), _interval(gain, "score"), strict=True)),
        "gain_p": _key(gain, "p_value"),
        "gain_split": _key(gain, "split"),
        **run["usage"],
        "usd_per_point": run["usd_per_point"],
        **_latency(run),
        "tokens_per_second": run["tokens_per_second"],
        "run": run["run"],
        "prompt": run["prompt"],
    }


def _score(name: str, found: Mapping[str, Any] | None, key: str) -> Line:
    score, low, high = _interval(found, key)
    return {name: score, f"{name}_low": low, f"{name}_high": high, f"{name}_n": _key(found, "n")}


def _verdict(name: str, found: Mapping[str, Any] | None) -> Line:
    score, low, high = _interval(found, "score")
    chances = {"p": "p_value", "p_adjusted": "p_adjusted", "real": "real"}
    return {
        name: score,
        f"{name}_low": low,
        f"{name}_high": high,
        **{f"{name}_{short}": _key(found, key) for short, key in chances.items()},
    }


def _latency(found: Mapping[str, Any]) -> Line:
    return {f"latency_{quantile}": found["latency"][quantile] for quantile in ("p50", "p95")}


def _interval(found: Mapping[str, Any] | None, key: str) -> tuple[object, object, object]:
    if found is None:
        return None, None, None
    low, high = found["ci95"]
    return found[key], low, high


def _key(found: Mapping[str, Any] | None, key: str) -> object:
    return None if found is None else found[key]


def _csv(lines: Sequence[Line]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: shown(value) for key, value in line.items()} for line in lines)
    return text.getvalue().encode()
