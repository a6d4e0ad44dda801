"""What judging all prompts of a step on the same examples saves: the variance of the gradient.

    python benchmarks/noise.py --data DIR --tasks sst2 qqp --model roberta/builtin

Scores random prompts on all training rows once, then draws steps from that table: I prompts on one
minibatch of B rows, or each prompt on B rows of its own. Printed is the mean squared error of the
step's gradient, the one with common examples as a share of the other, and the same for one
minibatch balanced over the classes against rows drawn anyhow.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from queries import FOLDERS, opened

from bdpl_async.data.sampling import minibatch
from bdpl_async.estimator import leave_one_out
from bdpl_async.methods import drawn
from bdpl_async.session import Session
from bdpl_async.task import Task

SAMPLES, BATCH, STEPS, TABLES = 20, 4, 4000, 4
Floats = NDArray[np.float64]


async def table(task: Task, model: str) -> Floats:
    """(prompts, rows) losses of random prompts on every training row."""
    async with opened(model, None) as scorer:
        session = await Session.open(task, scorer, task.config)
        prompts = [
            prompt
            for part in range(TABLES)
            for prompt in drawn(
                task.config.model_copy(
                    update={"run": task.config.run.model_copy(update={"seed": part})}
                ),
                task.vocabulary(),
            )
        ]
        return await session.losses(prompts, task.train.examples)


def error(losses: Floats, labels: list[int], kind: str) -> float:
    """Mean squared error of the advantages of a step, against those on all rows."""
    rng, total = np.random.default_rng(0), 0.0
    for step in range(STEPS):
        chosen = rng.choice(len(losses), SAMPLES, replace=False)
        mine = losses[chosen]
        if kind == "balanced":
            means = mine[:, minibatch(labels, BATCH, step, 0)].mean(axis=1)
        elif kind == "common":
            means = mine[:, rng.choice(len(labels), BATCH, replace=False)].mean(axis=1)
        else:
            own = np.stack([rng.choice(len(labels), BATCH, replace=False) for _ in mine])
            means = np.take_along_axis(mine, own, axis=1).mean(axis=1)
        true = leave_one_out(mine.mean(axis=1))
        total += float(((leave_one_out(means) - true) ** 2).mean())
    return total / STEPS


def main() -> None:
    """A row a task."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="roberta/builtin")
    parser.add_argument("--tasks", nargs="+", default=["sst2"])
    given = parser.parse_args()
    print("| task | common of own examples | balanced of common |\n|---|---|---|")
    for name in given.tasks:
        folder = (given.data / FOLDERS.get(name, name)).resolve()
        task = Task.from_toml(name, data=folder)
        losses = asyncio.run(table(task, given.model))
        labels = task.train.labels.tolist()
        own, common, balanced = (error(losses, labels, k) for k in ("own", "common", "balanced"))
        print(f"| {name} | {common / own:.2f} | {balanced / common:.2f} |", flush=True)


if __name__ == "__main__":
    main()
