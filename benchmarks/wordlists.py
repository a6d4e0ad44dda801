"""Other vocabularies for a study: with stop words, or pruned by what each word does to a model."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np

from bdpl_async.config import BudgetTable
from bdpl_async.data.sampling import minibatch
from bdpl_async.records import Prompt
from bdpl_async.scorer import Scorer
from bdpl_async.session import Session
from bdpl_async.task import Task

__all__ = ["frequent", "pruned", "written"]

ROWS = 4  # training examples that a word is judged on
KEPT = 50


def frequent(task: Task) -> list[str]:
    """The most frequent words of the training texts, stop words included."""
    words: Counter[str] = Counter()
    for example in task.train.examples:
        for text in example.columns.values():
            words.update(re.findall(r"[a-z']+", text.lower()))
    return [word for word, _ in words.most_common(task.config.prompt.vocabulary_size)]


async def pruned(task: Task, scorer: Scorer) -> tuple[list[str], int]:
    """The `KEPT` candidates that lower the loss most as a prompt of their own; and what it took.

    Influence as in ClaPS (Zhou et al., arXiv 2310.12774).
    """
    config = task.config.model_copy(update={"budget": BudgetTable()})
    session = await Session.open(task, scorer, config)
    words = task.vocabulary()
    rows = minibatch(task.train.labels.tolist(), ROWS, 0, task.config.run.seed)
    prompts = [Prompt((word,)) for word in words]
    losses = await session.losses(prompts, [task.train.examples[i] for i in rows])
    order = np.argsort(losses.mean(axis=1), kind="stable")[:KEPT]
    return [words[i] for i in order], len(words) * len(rows)


def written(words: list[str], folder: Path, name: str) -> str:
    """A file of candidates, as ``prompt.vocabulary`` takes it."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.txt"
    path.write_text("".join(f"{word}\n" for word in words), encoding="utf-8")
    return str(path)
