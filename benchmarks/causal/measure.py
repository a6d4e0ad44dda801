"""Measure how far a saved model follows its prompt, task by task.

    python benchmarks/causal/measure.py --model DIR --data DIR

Of each task at most 400 development rows are read by the template of the built-in task, behind no
prompt, one written by hand, a fitting one, one that asks for the opposite, prompts of 1, 2, 4 and
8 words that name the task, and random prompts of ten entries of the task's own vocabulary, made of
16 train rows a class. No row that is measured here was trained on.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import paths  # noqa: F401
from families import FAMILIES
from meanings import NAMED
from numpy.typing import NDArray
from rows import read
from scorer import CausalModel

from bdpl_async.data.sampling import k_shot
from bdpl_async.metrics import METRICS
from bdpl_async.vocabulary import pmi_vocabulary
from corpus import Row
from questions import Family

PROMPTS = {
    "sst2": ("a film review:", "opinion film review critic audience acting story verdict"),
    "cola": (
        "is this sentence grammatical?",
        "grammar grammatical english sentence linguist acceptable correct language",
    ),
    "mnli": (
        "does the first sentence imply the second?",
        "premise hypothesis entailment contradiction imply follow conclusion logic",
    ),
    "rte": (
        "does the first sentence imply the second?",
        "premise hypothesis entailment imply follow conclusion evidence logic",
    ),
    "qnli": (
        "does the sentence answer the question?",
        "answer question context paragraph entailment evidence support fact",
    ),
    "qqp": (
        "do these two questions ask the same?",
        "same questions duplicate paraphrase equivalent ask similar compare",
    ),
    "mrpc": (
        "do these two sentences say the same?",
        "same sentences paraphrase duplicate equivalent meaning similar compare",
    ),
    "citation_intent": (
        "why does this paper cite the other?",
        "citation purpose paper cite reference research intent work",
    ),
    "sciie": (
        "how are the two marked terms related?",
        "relation entities terms scientific link relationship between method",
    ),
    "csabstruct": (
        "which part of a scientific abstract is this?",
        "abstract section role paper research article sentence science",
    ),
    "hyperpartisan": (
        "is this news article biased?",
        "news article bias partisan politics media extreme journalism",
    ),
}
OPPOSITE = "the opposite reversed contrary inverse otherwise instead negate swapped"
MEASURES = {"cola": "mcc", "mrpc": "f1", "qqp": "f1", "hyperpartisan": "macro_f1"}
HEAD = (
    "| task | metric | largest class | empty | by hand | fitting | opposite | 1 word | 2 | 4 | 8 "
    "| random: lowest | p25 | p50 | p75 | best |"
)
MOST_ROWS = 400
SHOTS = 16
COUNTS = 1, 2, 4, 8
DRAWS = 3


@dataclass(frozen=True, slots=True)
class Bench:
    """One task's rows and how they are put to the model."""

    model: CausalModel
    family: Family
    rows: list[Row]

    @property
    def labels(self) -> NDArray[np.int64]:
        """(rows,) the classes that are right."""
        return np.array([self.family.truth(row) for row in self.rows])

    def picks(self, prompt: str) -> NDArray[np.int64]:
        """(rows,) the classes that the model finds likeliest."""
        template = "{prompt} " + self.family.templates[0] if prompt else self.family.templates[0]
        texts = [
            template.format(prompt=prompt, text=row.text, other=row.other) for row in self.rows
        ]
        words = [" " + word for word in self.family.words[0][1]]
        return np.asarray(self.model.logprobs(texts, words).argmax(1), dtype=np.int64)


def main() -> None:
    """Read the arguments and print a line a task and metric."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--random", type=int, default=20, help="how many random prompts")
    parser.add_argument("--dtype", default="bf16", help="float32 or bf16")
    parser.add_argument("--tasks", nargs="*", help="families to measure; all if not given")
    arguments = parser.parse_args()
    model = CausalModel(arguments.model, dtype=arguments.dtype)
    print(HEAD, "|---" * HEAD.count(" | ") + "|---|", sep="\n")
    start, sent = time.monotonic(), 0
    for family in FAMILIES:
        if not arguments.tasks or family.name in arguments.tasks:
            folder = arguments.data / family.name
            rows = read(folder / "dev.tsv", family.name)
            bench = Bench(model, family, Random(1).sample(rows, min(MOST_ROWS, len(rows))))
            train = read(folder / "train.tsv", family.name)
            sent += _report(bench, _random_prompts(train, family, arguments.random))
    print(f"\n{sent / (time.monotonic() - start):.0f} texts/s")


def _report(bench: Bench, chance: list[str]) -> int:
    """Print the lines of one task; how many texts were read for it."""
    family, labels = bench.family, bench.labels
    named = sorted(word for word in NAMED[family.pools[0]] if "-" not in word)
    groups = [[prompt] for prompt in ("", *PROMPTS[family.name], OPPOSITE)]
    for count in COUNTS:
        draws = [Random(10 * count + draw) for draw in range(DRAWS)]
        groups.append([" ".join(rng.sample(named, count)) for rng in draws])
    prompts = {prompt for group in (*groups, chance) for prompt in group}
    picks = {prompt: bench.picks(prompt) for prompt in prompts}
    own = MEASURES.get(family.name, "macro_f1" if len(family.labels) > 3 else "accuracy")
    for name in dict.fromkeys((own, "accuracy")):
        metric = METRICS[name]
        # F1 is highest of an answer that always finds what it looks for.
        common = 1 if name == "f1" else int(np.bincount(labels).argmax())
        means = [metric(np.full(len(labels), common), labels)]
        means += [float(np.mean([metric(picks[p], labels) for p in group])) for group in groups]
        spread = np.percentile([metric(picks[p], labels) for p in chance], (0, 25, 50, 75, 100))
        figures = " | ".join(f"{100 * figure:.1f}" for figure in (*means, *spread))
        print(f"| {family.name} | {name} | {figures} |", flush=True)
    return len(prompts) * len(bench.rows)


def _random_prompts(rows: list[Row], family: Family, draws: int) -> list[str]:
    """Prompts of ten entries of the vocabulary of a few-shot draw."""
    chosen = k_shot([family.truth(row) for row in rows], SHOTS, np.random.default_rng(0))
    texts = [text for index in chosen for text in (rows[index].text, rows[index].other) if text]
    vocabulary = pmi_vocabulary(texts, 200)
    rng = Random(2)
    return [" ".join(rng.choices(vocabulary, k=10)) for _ in range(draws)]


if __name__ == "__main__":
    main()
