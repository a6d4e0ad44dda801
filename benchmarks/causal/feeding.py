"""Batches of about equal work, and the tokenizer that cuts them into ids."""

# mypy: disable-error-code="no-untyped-call"
# ruff: noqa: S106  (special tokens, not secrets)

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from random import Random

import numpy as np
import torch
from drawing import Drawer, Drawn
from families import LABEL_WORDS
from student import Batch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

__all__ = ["Feed", "learn_tokens"]

SIZE = 8192
POSITIONS = 512
TOKENS = 4096
POOL = 2048
LONGEST = 320
# Few distinct widths: the matrix library keeps a kernel for each.
STRIDE = 8
EMPHASIS = 100


def learn_tokens(texts: list[str], wanted: list[str]) -> PreTrainedTokenizerFast:
    """Byte-level BPE of the texts, raw and in lower case; each of ``wanted`` becomes one token.

    Raises:
        ValueError: a label word is cut into several tokens.
    """
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=SIZE, special_tokens=["<s>", "<pad>", "</s>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    words = " " + " ".join([*wanted * EMPHASIS, *LABEL_WORDS * EMPHASIS * 5])
    core.train_from_iterator([*texts, *(text.lower() for text in texts), words], trainer)
    core.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 0)]
    )
    made = PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", eos_token="</s>", pad_token="<pad>",
        model_max_length=POSITIONS, model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip
    broken = [word for word in LABEL_WORDS if len(made.tokenize(" " + word)) != 1]
    if broken:
        raise ValueError(f"label words of several tokens: {broken}; raise EMPHASIS")
    return made


class Feed:
    """Endless batches of drawn examples."""

    def __init__(self, drawer: Drawer, tokenizer: PreTrainedTokenizerFast, rng: Random) -> None:
        """Draw with ``rng``; the order is fixed by the seed."""
        self._tokenizer = tokenizer
        self._stream = drawer.stream(rng)
        self._rng = rng
        self._column = {word: index for index, word in enumerate(LABEL_WORDS)}

    def __iter__(self) -> Iterator[Batch]:
        """Sort a pool of examples by length, cut it up, shuffle the pieces."""
        while True:
            pool = list(islice(self._stream, POOL))
            ids = self._tokenizer([drawn.text for drawn in pool])["input_ids"]
            order = sorted(range(POOL), key=lambda index: len(ids[index]))
            order = [index for index in order if len(ids[index]) <= LONGEST]
            pieces = []
            while order:
                # The longest stands last and tells how many fit beside it.
                rows = TOKENS // _width(ids[order[-1]])
                pieces.append(order[-rows:])
                del order[-rows:]
            self._rng.shuffle(pieces)
            for piece in pieces:
                yield self._batch([ids[index] for index in piece], [pool[i] for i in piece])

    def _batch(self, ids: list[list[int]], drawn: list[Drawn]) -> Batch:
        width = _width(max(ids, key=len))
        table = np.full((len(ids), width), self._tokenizer.pad_token_id, dtype=np.int64)
        answers = np.zeros((len(ids), len(LABEL_WORDS)), dtype=np.float32)
        for row, (these, example) in enumerate(zip(ids, drawn, strict=True)):
            table[row, : len(these)] = these
            for word, share in example.answers.items():
                answers[row, self._column[word]] += share
        return Batch(
            ids=torch.from_numpy(table),
            last=torch.tensor([len(these) - 1 for these in ids]),
            answers=torch.from_numpy(answers),
            asked=torch.tensor([example.asked for example in drawn]),
            family=torch.tensor([example.family for example in drawn]),
            truth=torch.tensor([example.truth for example in drawn]),
        )


def _width(ids: list[int]) -> int:
    return -(-len(ids) // STRIDE) * STRIDE
