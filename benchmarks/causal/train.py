"""Train the causal language model of the benchmarks and save it.

    python benchmarks/causal/train.py --data DIR --out DIR --minutes 25

``--data`` holds one folder a task, each with a ``train.tsv``. Runs on one CPU core, in bfloat16.
The clock ends the run, its schedule fitted to it, so that two runs draw the same examples in the
same order, but not as many.
"""

# mypy: disable-error-code="no-untyped-call"
# (torch and transformers annotate only a part of what is called here)
from __future__ import annotations

import argparse
import copy
import time
from pathlib import Path
from random import Random

import numpy as np
import paths  # noqa: F401
import torch
from drawing import Drawer
from families import LABEL_WORDS
from feeding import POSITIONS, Feed, learn_tokens
from meanings import NAMED
from rows import train_rows
from student import WEIGHTS, Student, build, reopen
from transformers import GPT2LMHeadModel, PreTrainedTokenizerFast

from optimiser import MasterAdamW

SEED = 11
WARM_UP = 200
PEAK = 1e-3
DECAY = 0.05
WORDS_ONLY = 400
WORDS_RATE = 2e-3
LOG_EVERY = 100
SAVE_EVERY = 180.0


class Trainer:
    """One run: feed, optimiser, schedule and log."""

    def __init__(
        self, drawer: Drawer, tokenizer: PreTrainedTokenizerFast, network: GPT2LMHeadModel
    ) -> None:
        """Put side heads on the network and make the feed."""
        ids = [tokenizer.encode(" " + word, add_special_tokens=False)[0] for word in LABEL_WORDS]
        self.student = Student(network, ids).bfloat16().train()
        self.optimiser = MasterAdamW(self.student.parameters(), PEAK, DECAY)
        self._tokenizer = tokenizer
        self._feed = iter(Feed(drawer, tokenizer, Random(torch.initial_seed() + 1)))
        self._log: dict[str, list[float]] = {}

    def run(self, seconds: float, out: Path, words_only: int) -> None:
        """Words first, then everything until the time is over; save now and then."""
        start = saved = time.monotonic()
        for step in range(words_only):
            self._descend(self.student.word_losses(next(self._feed)), WORDS_RATE)
            if (step + 1) % LOG_EVERY == 0:
                self._tell(f"words {step + 1}", start)
        step, progress = 0, 0.0
        while progress < 1:
            rate = PEAK * min((step + 1) / WARM_UP, max(0.01, 1.02 - progress))
            self._descend(self.student.losses(next(self._feed)), rate)
            step += 1
            progress = (time.monotonic() - start) / seconds
            if step % LOG_EVERY == 0:
                self._tell(f"step {step}", start)
            if progress >= 1 or time.monotonic() - saved > SAVE_EVERY:
                saved = time.monotonic()
                self.save(out)

    def save(self, out: Path) -> None:
        """Write float32 weights and the tokenizer, ready for ``from_pretrained`` and servers."""
        whole = copy.deepcopy(self.student).float()
        self.optimiser.publish(whole)
        whole.model.save_pretrained(out)
        self._tokenizer.save_pretrained(out)

    def _descend(self, losses: dict[str, torch.Tensor], rate: float) -> None:
        for name, loss in losses.items():
            self._log.setdefault(name, []).append(float(loss.detach()))
        torch.stack([WEIGHTS[name] * loss for name, loss in losses.items()]).sum().backward()
        self.optimiser.step(rate)

    def _tell(self, where: str, start: float) -> None:
        means = "  ".join(f"{name} {np.mean(seen):.3f}" for name, seen in self._log.items())
        print(f"{where}  {time.monotonic() - start:.0f} s  {means}", flush=True)
        self._log.clear()


def main() -> None:
    """Read the arguments, train, save."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--out", type=Path, required=True, help="folder to write the model to")
    parser.add_argument("--start", type=Path, help="a saved model to train on; else from nothing")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--minutes", type=float, default=25.0)
    arguments = parser.parse_args()
    rows = train_rows(arguments.data)
    print("rows left out, since they are measured by:", rows.left_out)
    drawer = Drawer(rows)
    wanted = sorted(set().union(*NAMED.values(), *drawer.meanings.hints.values()))
    print("words that say what they mean:", sum(map(len, NAMED.values())), end=", hints: ")
    print(sum(map(len, drawer.meanings.hints.values())))
    torch.manual_seed(arguments.seed)
    if arguments.start:
        tokenizer = PreTrainedTokenizerFast.from_pretrained(arguments.start)
        network = reopen(arguments.start)
    else:
        tokenizer = learn_tokens(rows.texts(), wanted)
        network = build(len(tokenizer), POSITIONS)
    words_only = 0 if arguments.start else WORDS_ONLY
    Trainer(drawer, tokenizer, network).run(60 * arguments.minutes, arguments.out, words_only)


if __name__ == "__main__":
    main()
