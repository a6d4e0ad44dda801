"""Measure how far a saved model follows its prefix.

    python providers/training/evaluate.py --model DIR --data DIR

Prints the accuracy on the SST-2 development rows of the empty prompt, of ten hand-written ones and
of five that ask something else; then the spread of prompts of ten random content words, drawn
from forty train texts, so that no measured text lends its words; then the other tasks, each
with no prompt and with a fitting one.
"""

# mypy: disable-error-code="no-untyped-call"
# (torch and transformers annotate only a part of what is called here)
from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS
from transformers import (
    AutoModelForMaskedLM,
    AutoTokenizer,
    PreTrainedTokenizerBase,
    RobertaForMaskedLM,
)

from corpus import Row, read_rows
from examples import fill
from keywords import count, words_of
from questions import FAMILIES, Family

TEMPLATE = "{text} It was <mask>."
WORDS = ("terrible", "great")
HAND_WRITTEN = (
    "a film review:",
    "what is the opinion of this movie",
    "movie review sentiment",
    "the critic wrote this review of the film",
    "did the audience enjoy the movie?",
    "rate this film",
    "review",
    "how did the viewer feel about the story and the acting",
    "customer opinion and rating",
    "is this movie good or bad?",
)
OTHER = (
    "the opposite of the opinion in this review",
    "reverse the verdict instead, the contrary",
    "is the text long or short",
    "number of words",
    "the quick brown fox on the table",
)
FITTING = {
    "mnli": "does the premise entail or contradict the statement",
    "qnli": "does the paragraph context answer the question, premise entail",
    "rte": "does the premise entail the statement, inference logic",
    "cola": "is the english sentence grammatical, acceptable grammar",
    "citation_intent": "the purpose of the citation in this research paper",
    "sciie": "the relation between two terms, scientific entities link",
    "csabstruct": "the role of this sentence in the paper abstract",
}
BATCH = 64
MOST_ROWS = 1000


class Judge:
    """A model and its tokenizer, asked for label words at the mask."""

    def __init__(self, model: RobertaForMaskedLM, tokenizer: PreTrainedTokenizerBase) -> None:
        """Put the model into evaluation mode."""
        self._model = model.eval()
        self._tokenizer = tokenizer

    @torch.inference_mode()
    def scores(self, texts: list[str], words: tuple[str, ...]) -> NDArray[np.float32]:
        """Logits of the label words, one row a text, in the order given."""
        encode = self._tokenizer.encode
        ids = [encode(" " + word, add_special_tokens=False)[0] for word in words]
        found = np.empty((len(texts), len(words)), dtype=np.float32)
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        for start in range(0, len(order), BATCH):
            piece = order[start : start + BATCH]
            found[piece] = self._logits([texts[index] for index in piece])[:, ids]
        return found

    def _logits(self, texts: list[str]) -> NDArray[np.float32]:
        batch = self._tokenizer(texts, return_tensors="pt", padding=True)
        mask = batch["input_ids"] == self._tokenizer.mask_token_id
        hidden = self._model.roberta(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
        ).last_hidden_state
        logits = self._model.lm_head(hidden[mask]).float()
        return np.asarray(logits.numpy())


def accuracy(
    judge: Judge, prompt: str, rows: list[Row], template: str, words: tuple[str, ...]
) -> float:
    """Share of rows whose likeliest label word is the right one; labels are 0, 1, ..."""
    texts = [fill(template, prompt, row) for row in rows]
    picked = judge.scores(texts, words).argmax(1)
    return float((picked == np.array([int(row.label) for row in rows])).mean())


def random_prompts(rows: list[Row], how_many: int, rng: Random) -> list[str]:
    """Prompts of ten content words, drawn from forty of ``rows``."""
    words = {word for row in rng.sample(rows, 40) for word in words_of(row.text)}
    content = sorted(word for word in words - ENGLISH_STOP_WORDS if len(word) > 2)
    return [" ".join(rng.choices(content, k=10)) for _ in range(how_many)]


def _report_spread(judge: Judge, rows: list[Row], prompts: list[str]) -> None:
    seen = np.array([accuracy(judge, prompt, rows, TEMPLATE, WORDS) for prompt in prompts])
    marks = np.percentile(seen, (0, 10, 25, 50, 75, 90, 100))
    print("\nrandom prompts: min p10 p25 p50 p75 p90 max")
    print("  " + "  ".join(f"{100 * mark:.1f}" for mark in marks))
    hits = np.array([count(prompt, ("opinion",))[0] for prompt in prompts])
    for number in sorted(set(hits.tolist())):
        chosen = seen[hits == number]
        print(f"  {number} opinion words: mean {100 * chosen.mean():.1f} of {len(chosen)} prompts")
    best = int(seen.argmax())
    print(f"  best: {prompts[best]!r} {100 * seen[best]:.1f}")


def _report_tasks(judge: Judge, data: Path) -> None:
    print("\nother tasks: empty, fitting prompt, largest class")
    for family in FAMILIES:
        if family.name in FITTING:
            rows = read_rows(data / family.name / "dev.tsv", family.name)
            rows = Random(1).sample(rows, min(MOST_ROWS, len(rows)))
            numbered = [replace(row, label=str(family.truth(row))) for row in rows]
            _report_task(judge, family, numbered)


def _report_task(judge: Judge, family: Family, rows: list[Row]) -> None:
    words, template = family.words[0][1], family.templates[0]
    shares = [accuracy(judge, p, rows, template, words) for p in ("", FITTING[family.name])]
    shares.append(Counter(row.label for row in rows).most_common(1)[0][1] / len(rows))
    print("  " + "  ".join(f"{100 * share:.1f}" for share in shares), "", family.name, flush=True)


def main() -> None:
    """Read the arguments and print all tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--random", type=int, default=100, help="how many random prompts")
    arguments = parser.parse_args()
    model = AutoModelForMaskedLM.from_pretrained(arguments.model, dtype=torch.bfloat16)
    judge = Judge(model, AutoTokenizer.from_pretrained(arguments.model))
    rows = read_rows(arguments.data / "sst2" / "dev.tsv", "sst2")
    for prompt in ("", *HAND_WRITTEN, *OTHER):
        share = accuracy(judge, prompt, rows, TEMPLATE, WORDS)
        print(f"{100 * share:5.1f}  {prompt or '(empty)'}", flush=True)
    lenders = read_rows(arguments.data / "sst2" / "train.tsv", "sst2")
    _report_spread(judge, rows, random_prompts(lenders, arguments.random, Random(1)))
    _report_tasks(judge, arguments.data)


if __name__ == "__main__":
    main()
