"""How the scoring of a model scales over Ray actors, against the worker in this process.

    OMP_NUM_THREADS=1 python benchmarks/actors.py --actors 1 2
    OMP_NUM_THREADS=1 python benchmarks/actors.py --shape base --requests 6 --rounds 3

`--shape` draws a model of RoBERTa's size at random instead of taking `--model`. Every actor and the
process itself compute with one thread. Texts are of mixed length, in requests of 64, all asked for
at the same time. Rounds take turns; the ratios are medians. Ideal is the number of actors, up to
that of cores that nobody else uses.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import time
from contextlib import nullcontext
from statistics import median

from worker import SHAPES, drawn

from bdpl_async.records import Request, Text
from bdpl_async.scorer import Scorer
from bdpl_providers import connect

BATCH = 64
LABELS = (" terrible", " great")
WORDS = ("a", "film", "that", "nobody", "saw", "and", "all", "of", "us", "loved")


def requests(count: int) -> list[Request]:
    """So many, the same each time: 8 to 60 words a text."""
    noise = random.Random(1)

    def text() -> Text:
        words = noise.choices(WORDS, k=noise.randint(8, 60))
        return Text(f"{' '.join(words)} It was ", ".")

    return [Request(tuple(text() for _ in range(BATCH)), LABELS) for _ in range(count)]


async def seconds(scorer: Scorer, asked: list[Request]) -> float:
    """How long all of it takes."""
    began = time.perf_counter()
    await asyncio.gather(*map(scorer.score, asked))
    return time.perf_counter() - began


async def main(given: argparse.Namespace, model: str) -> None:
    """Measure and print a table."""
    import torch

    torch.set_num_threads(1)
    asked = requests(given.requests)
    texts = BATCH * len(asked)
    print(f"{given.shape or model}, {os.cpu_count()} cores, one thread each\n")
    print("| actors | texts/s | texts/s here | ratio |")
    print("|---|---|---|---|")
    async with connect(model) as here:
        for count in given.actors:
            async with connect(model, workers=count) as there:
                rounds = [
                    (await seconds(here, asked), await seconds(there, asked))
                    for _ in range(given.rounds + 1)
                ]
            ours, theirs = zip(*rounds[1:], strict=True)  # the first warms up
            ratio = median(a / b for a, b in rounds[1:])
            rates = f"{texts / median(theirs):,.0f} | {texts / median(ours):,.0f}"
            print(f"| {count} | {rates} | {ratio:.2f} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="roberta/builtin")
    parser.add_argument("--shape", choices=SHAPES)
    parser.add_argument("--actors", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--requests", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with drawn(options.shape) if options.shape else nullcontext() as folder:
        asyncio.run(main(options, f"roberta/{folder}" if folder else options.model))
