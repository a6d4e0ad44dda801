"""Train the built-in masked language model and save it.

    python providers/training/train.py --data DIR --out DIR

``--data`` holds one folder a task, each with a ``train.tsv``. Runs on a CPU; bfloat16 is used
where it is quick (AMX). Examples are drawn by seed, the same in every run of as many steps;
``--minutes`` ends a run early, its schedule shortened to fit, and is not repeatable.
"""

# mypy: disable-error-code="no-untyped-call"
# (torch and transformers annotate only a part of what is called here)
from __future__ import annotations

import argparse
import copy
import time
from math import inf
from pathlib import Path
from random import Random

import numpy as np
import torch
from transformers import PreTrainedTokenizerFast

import tokens
from batches import ClozeFeed, PlainFeed
from corpus import Corpus, load
from evaluate import TEMPLATE, WORDS, Judge, accuracy
from examples import ExampleMaker
from network import WEIGHTS, Trainee, build
from optimiser import MasterAdamW
from questions import LABEL_WORDS

STEPS = 4900
WARM_UP = 200
PEAK = 1e-3
DECAY = 0.02
SEED = 7
# Word vectors first, by the mean of a text's words: a hundred times cheaper than the layers.
WORDS_ONLY = 700
WORDS_RATE = 2e-3
# Plain text teaches little until attention has formed, which the cloze questions do quicker.
PLAIN_FROM = 0.3
PLAIN_SHARE = 0.08
LOG_EVERY = 100
WATCH_EVERY = 500
WATCH_PROMPTS = ("", "a film review:", "not opposite of movie opinion reverse")


class Trainer:
    """One run: feeds, optimiser, schedule and log."""

    def __init__(self, corpus: Corpus, tokenizer: PreTrainedTokenizerFast, steps: int) -> None:
        """Seed everything, build the network and the feeds."""
        torch.manual_seed(SEED)
        ids = [tokenizer.encode(" " + word, add_special_tokens=False)[0] for word in LABEL_WORDS]
        self.trainee = Trainee(build(len(tokenizer)), ids).bfloat16()
        self._corpus = corpus
        self._tokenizer = tokenizer
        self._steps = steps
        self._dice = Random(SEED)
        self._cloze = iter(ClozeFeed(ExampleMaker(corpus), tokenizer, Random(SEED + 1)))
        self._plain = iter(PlainFeed(corpus.texts(), tokenizer, np.random.default_rng(SEED)))
        self.optimiser = MasterAdamW(self.trainee.parameters(), PEAK, DECAY)
        self._log: dict[str, list[float]] = {}

    def run(self, limit: float, out: Path) -> None:
        """Take all steps, or as many as ``limit`` seconds hold; save now and then."""
        start = time.monotonic()
        step, progress = 0, 0.0
        self.trainee.train()
        self._learn_words()
        while progress < 1:
            self._step(step, progress)
            step += 1
            spent = time.monotonic() - start
            progress = max(step / self._steps, spent / limit)
            if step % LOG_EVERY == 0:
                self._tell(step, spent)
            if step % WATCH_EVERY == 0 or progress >= 1:
                self._watch()
                self.save(out)

    def save(self, out: Path) -> None:
        """Write weights as float16 and the tokenizer, ready for ``from_pretrained``."""
        model = copy.deepcopy(self.trainee)
        self.optimiser.publish(model.float())
        model.model.half().save_pretrained(out)
        # Its last call padded, and it would write that down as its habit.
        self._tokenizer.backend_tokenizer.no_padding()
        self._tokenizer.save_pretrained(out)

    def _learn_words(self) -> None:
        for step in range(WORDS_ONLY):
            self._weigh(self.trainee.word_losses(next(self._cloze))).backward()
            self.optimiser.step(WORDS_RATE)
            if (step + 1) % LOG_EVERY == 0:
                print(f"words only, {step + 1}:", end="  ")
                self._tell(0, 0.0)

    def _step(self, step: int, progress: float) -> None:
        self._loss(progress).backward()
        self.optimiser.step(PEAK * min((step + 1) / WARM_UP, max(0.01, 1 - progress)))

    def _loss(self, progress: float) -> torch.Tensor:
        if progress > PLAIN_FROM and self._dice.random() < PLAIN_SHARE:
            return self._weigh({"plain": self.trainee.plain_loss(next(self._plain))})
        return self._weigh(self.trainee.cloze_losses(next(self._cloze)))

    def _weigh(self, losses: dict[str, torch.Tensor]) -> torch.Tensor:
        for name, loss in losses.items():
            self._log.setdefault(name, []).append(float(loss.detach()))
        return torch.stack([WEIGHTS[name] * loss for name, loss in losses.items()]).sum()

    def _tell(self, step: int, seconds: float) -> None:
        means = "  ".join(f"{name} {np.mean(seen):.3f}" for name, seen in self._log.items())
        print(f"step {step}/{self._steps}  {seconds:.0f} s  {means}", flush=True)
        self._log.clear()

    def _watch(self) -> None:
        judge = Judge(self.trainee.model, self._tokenizer)
        seen = [accuracy(judge, p, self._corpus.watch, TEMPLATE, WORDS) for p in WATCH_PROMPTS]
        print("  watch set, empty / review / opposite:", "  ".join(f"{x:.3f}" for x in seen))
        self.trainee.train()


def main() -> None:
    """Read the arguments, train, save."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--out", type=Path, required=True, help="folder to write the model to")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--minutes", type=float, default=inf, help="end by then, in good order")
    arguments = parser.parse_args()
    corpus = load(arguments.data)
    tokenizer = tokens.train(corpus.texts())
    trainer = Trainer(corpus, tokenizer, arguments.steps)
    trainer.run(60 * arguments.minutes, arguments.out)


if __name__ == "__main__":
    main()
