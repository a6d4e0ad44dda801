"""How many example evaluations a prompt costs: what each setting of a search gains, and how fast.

    python benchmarks/queries.py run curve --data DIR --tasks sst2 ci --seeds 5 --out curve.jsonl
    python benchmarks/queries.py table curve.jsonl
    python benchmarks/queries.py against levers.jsonl
    python benchmarks/queries.py plot curve.jsonl --out curve.svg

A study is a set of arms at a few budgets; a row of the file is one run, and a run that the file has
is not run again. Budgets pay for learning and for choosing on dev; the first `--test` rows of the
test set are scored outside of them. DIR has a folder a task, see `FOLDERS`. `--model` is
roberta/builtin, causal/FOLDER for a model of `benchmarks/causal`, or that model on a server.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from studies import STUDIES, Arm
from variants import maker
from wordlists import frequent, pruned, written

from bdpl_async.errors import BudgetTooSmall
from bdpl_async.evaluation import predictions
from bdpl_async.losses import LOSSES
from bdpl_async.metrics import METRICS
from bdpl_async.overrides import Value
from bdpl_async.records import Prompt
from bdpl_async.run import Run
from bdpl_async.scorer import Scorer
from bdpl_async.session import Session
from bdpl_async.task import Split, Task
from bdpl_async.tuning import follow
from bdpl_cli.plots import mean_interval as bounds_of
from bdpl_providers import connect

FOLDERS = {"ci": "citation_intent", "se": "sciie", "hp": "hyperpartisan", "rct": "csabstruct"}
OWN = ("reviews",)  # ship their data
KEYS = ("loss", "metric")
Row = dict[str, str | int | float]


@dataclass(frozen=True, slots=True)
class Study:
    """What is asked of the command line, ready to run."""

    arms: Mapping[str, Arm]
    tasks: tuple[str, ...]
    seeds: tuple[int, ...]
    budgets: tuple[int, ...]
    data: Path
    test: int
    out: Path

    def cells(self) -> list[tuple[int, str, int, str]]:
        """(seed, task, budget, arm), all arms of one task side by side."""
        return [
            (seed, task, budget, arm)
            for seed in self.seeds
            for task in self.tasks
            for budget in self.budgets
            for arm in self.arms
        ]


SPECIAL = ("variant", "words", "kl")  # keys of an arm that are none of TASK.toml


def load(study: Study, name: str, arm: Arm, seed: int, budget: int) -> Task:
    """The task with the arm's settings laid over it."""
    plain = {key: value for key, value in arm.items() if key not in SPECIAL}
    over: dict[str, Value] = {**plain, "run.seed": seed, "budget.prompts": budget}
    if name not in OWN:
        over["run.data"] = str((study.data / FOLDERS.get(name, name)).resolve())
    return Task.from_toml(name, overrides=over)


@asynccontextmanager
async def opened(name: str, url: str | None) -> AsyncIterator[Scorer]:
    """A server's model, roberta/... in bfloat16 where that is quick, or a causal one in here."""
    provider, _, model = name.partition("/")
    if provider == "causal":
        from causal.scorer import CausalScorer

        async with CausalScorer(model, dtype="bf16") as scorer:
            yield scorer
    else:
        dtype = "auto" if provider == "roberta" else None
        async with connect(name, base_url=url, dtype=dtype) as found:
            yield found


async def dressed(study: Study, scorer: Scorer, cell: tuple[int, str, int, str]) -> Task:
    """The task of a cell, with a vocabulary or a start of the arm's own."""
    seed, name, budget, label = cell
    arm, spent = study.arms[label], 0
    task = load(study, name, arm, seed, budget)
    match arm.get("words"):
        case "start":
            manual = task.config.prompt.manual or ""
            return load(study, name, {**arm, "prompt.start": manual}, seed, budget)
        case "frequent":
            words = frequent(task)
        case "pruned":
            words, spent = await pruned(task, scorer)
        case "pruned-builtin":
            async with connect("roberta/builtin", dtype="auto") as free:
                words, _ = await pruned(task, free)
        case _:
            return task
    file = written(words, study.out.with_suffix(".words"), f"{name}-{seed}-{arm['words']}")
    return load(study, name, {**arm, "prompt.vocabulary": file}, seed, budget - spent)


async def one(study: Study, scorer: Scorer, cell: tuple[int, str, int, str]) -> Row:
    """One run, and its prompt on test rows that the run has not seen."""
    seed, name, budget, arm = cell
    task = await dressed(study, scorer, cell)
    held, start = task.test.examples[: study.test], time.monotonic()
    task = replace(task, test=Split())
    make = maker(study.arms[arm])
    result = await follow(await Run.open(task, scorer, make=make), None, lambda event: None)
    free = task.config.model_copy(update={"budget": type(task.config.budget)()})
    session = await Session.open(task, scorer, free)
    labels = Split(held).labels
    logprobs = (await session.logprobs([Prompt(result.tokens)], held))[0]
    if result.calibration is not None:
        logprobs = result.calibration.applied(logprobs)
    losses = LOSSES["ce"](logprobs, labels)
    per_class = [losses[labels == label].mean() for label in np.unique(labels)]
    return {
        "arm": arm,
        "task": name,
        "model": scorer.name,
        "seed": seed,
        "budget": budget,
        "metric": METRICS[task.metric](predictions(logprobs), labels),
        "loss": float(np.mean(per_class)),
        "answers": answers_of(predictions(logprobs)),
        "truth": answers_of(labels),
        "steps": result.steps_done,
        "prompts": result.usage.prompts,
        "requests": result.usage.requests,
        "seconds": round(time.monotonic() - start, 1),
        "prompt": result.prompt,
    }


def answers_of(classes: NDArray[np.int64]) -> str:
    """A digit for each example, "-" where there was no answer; tasks have ten classes at most."""
    return "".join("-" if c < 0 else str(c) for c in classes)


def rows_of(file: Path) -> list[Row]:
    """The rows of a study so far."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


async def run(study: Study, model: str, url: str | None) -> None:
    """Every cell that the file lacks."""
    done = {(r["seed"], r["task"], r["budget"], r["arm"]) for r in rows_of(study.out)}
    async with opened(model, url) as scorer:
        for cell in study.cells():
            if cell not in done:
                try:
                    row = await one(study, scorer, cell)
                except BudgetTooSmall as error:  # the paper's update takes every training row
                    print(f"{cell}: {error}")
                    continue
                with study.out.open("a") as file:
                    file.write(json.dumps(row) + "\n")


def mean_interval(values: list[float]) -> tuple[float, float]:
    """Mean, and half the width of its 95 % interval by Student's t."""
    mean = float(np.mean(values))
    return mean, bounds_of(values)[1] - mean if len(values) > 1 else float("nan")


def table(file: Path, key: str) -> None:
    """Markdown: arms down, task and budget across; mean over seeds, 95 % interval."""
    rows = rows_of(file)
    arms = list(dict.fromkeys(str(row["arm"]) for row in rows))
    columns = sorted({(str(row["task"]), int(row["budget"])) for row in rows})
    scale = 100 if key == "metric" else 1
    print("| |", " | ".join(f"{task} {budget:,}" for task, budget in columns), "| mean |")
    print("|---" * (len(columns) + 2) + "|")
    for arm in arms:
        cells, means = [], []
        for task, budget in columns:
            at = (arm, task, budget)
            found = [float(r[key]) for r in rows if (r["arm"], r["task"], r["budget"]) == at]
            if not found:
                cells.append("")
                continue
            mean, half = mean_interval([scale * value for value in found])
            means.append(mean)
            cells.append(f"{mean:.1f} ± {half:.1f}" if scale > 1 else f"{mean:.3f} ± {half:.3f}")
        whole = f"{np.mean(means):.3f}" if len(means) == len(columns) else ""
        print(f"| {arm} |", " | ".join(cells), f"| {whole} |")


def against(file: Path) -> None:
    """Markdown: what each arm adds to loss and score of the first one, paired; mean and error."""
    rows = rows_of(file)
    found = {(r["arm"], r["task"], r["seed"], r["budget"]): r for r in rows}
    first, *arms = dict.fromkeys(str(row["arm"]) for row in rows)
    tasks = list(dict.fromkeys(str(row["task"]) for row in rows))
    print("| | pairs | loss | score |", " | ".join(f"{task}: loss, score" for task in tasks), "|")
    print("|---" * (4 + len(tasks)) + "|")
    for arm in arms:
        pairs = []
        for cell, row in found.items():
            other = found.get((first, *cell[1:]))
            if cell[0] == arm and other is not None:
                pairs.append((str(cell[1]), *(float(row[k]) - float(other[k]) for k in KEYS)))
        losses, scores = (np.array([pair[column] for pair in pairs]) for column in (1, 2))
        error = len(pairs) ** -0.5
        cells = [f"{losses.mean():+.4f} ± {losses.std(ddof=1) * error:.4f}"]
        cells += [f"{100 * scores.mean():+.1f} ± {100 * scores.std(ddof=1) * error:.1f}"]
        for task in tasks:
            mine = np.array([pair[1:] for pair in pairs if pair[0] == task]).mean(axis=0)
            cells.append(f"{mine[0]:+.3f}, {100 * mine[1]:+.1f}")
        print(f"| {arm} | {len(pairs)} |", " | ".join(cells), "|")


def plot(file: Path, out: Path, key: str) -> None:
    """One panel a task: the mean over seeds against example evaluations, a line an arm."""
    from matplotlib.figure import Figure

    rows = rows_of(file)
    tasks = list(dict.fromkeys(str(row["task"]) for row in rows))
    figure = Figure(figsize=(3.4 * len(tasks), 3.2), layout="constrained")
    for index, task in enumerate(tasks):
        axes = figure.add_subplot(1, len(tasks), index + 1)
        for arm in dict.fromkeys(str(row["arm"]) for row in rows):
            points: dict[int, list[float]] = {}
            for row in rows:
                if (row["arm"], row["task"]) == (arm, task):
                    points.setdefault(int(row["budget"]), []).append(float(row[key]))
            budgets = sorted(points)
            means = [mean_interval(points[budget]) for budget in budgets]
            middle, half = [m for m, _ in means], [h for _, h in means]
            axes.errorbar(budgets, middle, half, label=arm, capsize=2, lw=1.2)
        axes.set_xscale("log")
        axes.set_title(task)
        axes.set_xlabel("example evaluations")
    figure.axes[0].set_ylabel({"metric": "test score", "loss": "test loss, nats"}[key])
    lines, names = figure.axes[0].get_legend_handles_labels()
    figure.legend(lines, names, loc="outside lower center", ncols=len(names), fontsize="small")
    figure.savefig(out, format="svg", metadata={"Date": None})


def main() -> None:
    """Run, table or plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["run", "table", "against", "plot"])
    parser.add_argument("name", help="a study, or a file of rows")
    parser.add_argument("--data", type=Path, default=Path())
    parser.add_argument("--model", default="roberta/builtin")
    parser.add_argument("--base-url")
    parser.add_argument("--tasks", nargs="+", default=["reviews"])
    parser.add_argument("--arms", nargs="+", help="some of the study's")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--budgets", type=int, nargs="+", default=[500, 1000, 2000, 4000])
    parser.add_argument("--test", type=int, default=400)
    parser.add_argument("--key", choices=["metric", "loss"], default="metric")
    parser.add_argument("--out", type=Path, default=Path("queries.out"))
    given = parser.parse_args()
    if given.what == "table":
        table(Path(given.name), given.key)
    elif given.what == "against":
        against(Path(given.name))
    elif given.what == "plot":
        plot(Path(given.name), given.out, given.key)
    else:
        every = STUDIES[given.name]
        arms = {name: every[name] for name in given.arms or every}
        seeds = tuple(range(given.first_seed, given.first_seed + given.seeds))
        budgets, tasks = tuple(given.budgets), tuple(given.tasks)
        study = Study(arms, tasks, seeds, budgets, given.data, given.test, given.out)
        asyncio.run(run(study, given.model, given.base_url))


if __name__ == "__main__":
    main()
