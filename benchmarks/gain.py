"""What a learned prompt gains over the empty and the manual one, with paired intervals.

    python benchmarks/gain.py reviews --seeds 5
    python benchmarks/gain.py sst2 --data DIR --seeds 3

`sst2` takes the 16-shot splits DIR/k-shot/SST-2/16-{13,21,42} and tests on DIR/sst2/dev.tsv. Every
arm is scored on the same test examples; an interval is the paired bootstrap of the difference.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bdpl_async.evaluation import predictions
from bdpl_async.intervals import paired_interval
from bdpl_async.overrides import Value, parse_override
from bdpl_async.records import Prompt
from bdpl_async.run import Run
from bdpl_async.scorer import Scorer
from bdpl_async.session import Session
from bdpl_async.task import Task
from bdpl_async.tuning import follow
from bdpl_providers import connect

MANUAL = "a film review:"
SHOTS = ("16-13", "16-21", "16-42")


@dataclass(frozen=True, slots=True)
class Arm:
    """One learned prompt beside the fixed ones, as right answers (n,) on the same test examples."""

    split: str
    seed: int
    prompt: str
    seconds: float
    labels: NDArray[np.int64]
    answers: dict[str, NDArray[np.int64]]

    def accuracy(self, name: str) -> float:
        """Percent right."""
        return 100 * float((self.answers[name] == self.labels).mean())

    def line(self) -> str:
        """The table's row: accuracies, then learned - other with its paired interval."""
        cells = [f"{self.split:8} seed {self.seed}"]
        cells += [f"{name} {self.accuracy(name):5.1f}" for name in self.answers]
        for other in list(self.answers)[1:]:
            low, high = paired_interval(
                "accuracy",
                self.answers["learned"],
                self.answers[other],
                self.labels,
                np.random.default_rng(0),
            )
            gain = self.accuracy("learned") - self.accuracy(other)
            cells.append(f"vs {other} {gain:+5.1f} [{100 * low:+.1f}, {100 * high:+.1f}]")
        return "  ".join([*cells, f"{self.seconds:.0f} s", self.prompt])


def tasks(arguments: argparse.Namespace, overrides: dict[str, Value]) -> Iterator[tuple[str, Task]]:
    """The splits to learn on, as (name, task); the seed is set by the caller."""
    if arguments.task == "reviews":
        yield "reviews", Task.from_toml("reviews", overrides=overrides)
        return
    for shot in SHOTS:
        folder = Path(arguments.data) / "k-shot" / "SST-2" / shot
        files: dict[str, Value] = {
            "task.name": "sst2",
            "task.train": str((folder / "train.tsv").resolve()),
            "task.dev": str((folder / "dev.tsv").resolve()),
            "task.test": str((Path(arguments.data) / "sst2" / "dev.tsv").resolve()),
            "prompt.manual": MANUAL,
        }
        yield shot, Task.from_toml("reviews", overrides={**files, **overrides})


async def learn(task: Task, split: str, scorer: Scorer) -> Arm:
    """One run, then the fixed prompts on its test examples, outside its budget."""
    run = await Run.open(task, scorer)
    result = await follow(run, None, lambda event: None)
    session = await Session.open(task, scorer, task.config)
    prompts = {
        "learned": Prompt(result.tokens),
        "empty": Prompt(),
        "manual": Prompt.of(task.config.prompt.manual or ""),
    }
    logprobs = await session.logprobs(list(prompts.values()), task.test.examples)
    answers = {name: predictions(rows) for name, rows in zip(prompts, logprobs, strict=True)}
    seed, seconds = task.config.run.seed, result.usage.seconds
    return Arm(split, seed, result.prompt, seconds, task.test.labels, answers)


async def main(arguments: argparse.Namespace) -> None:
    """Run every split and seed, print a row each, then the means."""
    chosen: dict[str, Value] = dict(map(parse_override, arguments.set))
    arms = []
    async with connect(arguments.model) as scorer:
        for seed in range(arguments.seeds):
            for split, task in tasks(arguments, {**chosen, "run.seed": seed}):
                arms.append(await learn(task, split, scorer))
                print(arms[-1].line(), flush=True)
    for name in arms[0].answers:
        values = [arm.accuracy(name) for arm in arms]
        spread = np.std(values, ddof=1) if len(values) > 1 else 0.0
        print(f"{name:8} mean {np.mean(values):.1f}  sd over runs {spread:.1f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=["reviews", "sst2"])
    parser.add_argument("--data", default=".")
    parser.add_argument("--model", default="roberta/builtin")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", action="append", default=[])
    asyncio.run(main(parser.parse_args()))
