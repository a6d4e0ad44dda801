"""The table of methods: means over seeds, what `bdpl` gains over each, and which gains are real.

    python benchmarks/queries.py run methods --data DIR --tasks sst2 ci --seeds 3 --out m.jsonl
    python benchmarks/verdicts.py m.jsonl

Scores in per cent, with 95 % intervals over seeds and test examples; differences are paired, and
p-values corrected by Holm's method within a task. A `*` marks an arm that differs from bdpl.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from bdpl_async.config import load_config, resolve_task
from bdpl_async.studies.comparison import Comparison, Contest, compare_arms
from bdpl_async.studies.resampling import Judged

Row = dict[str, str | int | float]


def judged(rows: list[Row]) -> Judged:
    """One arm's answers, a row a seed."""
    rows = sorted(rows, key=lambda row: int(row["seed"]))
    labels, answers = (
        np.array([[-1 if c == "-" else int(c) for c in str(row[key])] for row in rows])
        for key in ("truth", "answers")
    )
    return Judged(labels, answers)


def compared(rows: list[Row], task: str) -> tuple[Comparison, dict[str, list[Row]]]:
    """The arms of one task beside each other; only seeds that all arms have."""
    mine = [row for row in rows if row["task"] == task]
    arms = {str(row["arm"]): [r for r in mine if r["arm"] == row["arm"]] for row in mine}
    seeds = set.intersection(*({int(r["seed"]) for r in found} for found in arms.values()))
    arms = {arm: [r for r in found if r["seed"] in seeds] for arm, found in arms.items()}
    bare = judged(arms["empty"])
    contests = [Contest(arm, judged(found), bare) for arm, found in arms.items()]
    return compare_arms(load_config(resolve_task(task)).task.metric, contests), arms


def cell(found: Comparison, arm: str) -> str:
    """Mean and interval; a star where the difference to the first arm is real."""
    if arm not in found.means:
        return "the budget buys no update"
    mean = found.means[arm]
    low, high = (100 * end for end in mean.ci95)
    real = any(d.arm == arm and d.real for d in found.differences)
    return f"{100 * mean.mean:.1f} [{low:.0f}, {high:.0f}]" + ("*" if real else "")


def main() -> None:
    """Markdown: tasks down, arms across; then bdpl's gains; then what the arms took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    rows: list[Row] = [
        json.loads(line) for line in parser.parse_args().file.read_text().split("\n") if line
    ]
    tasks = list(dict.fromkeys(str(row["task"]) for row in rows))
    found = {task: compared(rows, task) for task in tasks}
    arms = list(found[tasks[0]][1])
    print("| task, metric |", " | ".join(arms), "|\n" + "|---" * (len(arms) + 1) + "|")
    for task, (comparison, _) in found.items():
        metric = load_config(resolve_task(task)).task.metric
        print(f"| {task}, {metric} |", " | ".join(cell(comparison, arm) for arm in arms), "|")
    print("\n| bdpl less |", " | ".join(arms[1:]), "|\n" + "|---" * len(arms) + "|")
    for task, (comparison, _) in found.items():
        by_arm = {d.arm: d for d in comparison.differences}
        cells = (
            f"{-100 * d.score:+.1f} [{-100 * d.ci95[1]:+.1f}, {-100 * d.ci95[0]:+.1f}]"
            f" p {d.p_adjusted:.2g}"
            if d is not None
            else ""
            for d in (by_arm.get(arm) for arm in arms[1:])
        )
        print(f"| {task} |", " | ".join(cells), "|")
    print("\n| took | prompts | requests |\n|---|---|---|")
    for arm in arms:
        mine = [row for row in rows if row["arm"] == arm]
        prompts, requests = (
            np.mean([float(r[key]) for r in mine]) for key in ("prompts", "requests")
        )
        print(f"| {arm} | {prompts:,.0f} | {requests:,.0f} |")


if __name__ == "__main__":
    main()
