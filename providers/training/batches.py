"""Batches of about equal work: examples of like length together, words hidden at random."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from random import Random

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerFast

from examples import Example, ExampleMaker
from network import UNKNOWN, ClozeBatch, PlainBatch
from questions import LABEL_WORDS
from tokens import LONGEST

TOKENS = 4096
POOL = 2048
WINDOW = 96
HIDDEN = 0.15
FIRST_POSITION = 2
# Few distinct shapes: the matrix library prepares and keeps a kernel for each.
STRIDE = 8

Item = tuple[list[int], Example]


class ClozeFeed:
    """Endless cloze batches."""

    def __init__(
        self, maker: ExampleMaker, tokenizer: PreTrainedTokenizerFast, rng: Random
    ) -> None:
        """Draw from ``maker`` with ``rng``; the order is fixed by the seed."""
        self._tokenizer = tokenizer
        self._stream = maker.stream(rng)
        self._rng = rng
        self._place = {word: index for index, word in enumerate(LABEL_WORDS)}

    def __iter__(self) -> Iterator[ClozeBatch]:
        """Sort a pool of examples by length, cut it up, shuffle the pieces."""
        rest: list[Item] = []
        while True:
            pool = list(islice(self._stream, POOL))
            ids = self._tokenizer([example.text for example in pool])["input_ids"]
            items = rest + [item for item in zip(ids, pool, strict=True) if len(item[0]) <= LONGEST]
            pieces, rest = _cut(items)
            self._rng.shuffle(pieces)
            yield from map(self._batch, pieces)

    def _batch(self, piece: list[Item]) -> ClozeBatch:
        width = _width(piece[0])
        table = np.full((len(piece), width), self._tokenizer.pad_token_id, dtype=np.int64)
        answers = np.zeros((len(piece), len(LABEL_WORDS)), dtype=np.float32)
        for row, (ids, example) in enumerate(piece):
            table[row, : len(ids)] = ids
            for word, share in example.answers.items():
                answers[row, self._place[word]] += share
        truth = [example.truth if example.truth >= 0 else UNKNOWN for _, example in piece]
        return ClozeBatch(
            ids=torch.from_numpy(table),
            spot=torch.from_numpy((table == self._tokenizer.mask_token_id).argmax(1)),
            answers=torch.from_numpy(answers),
            asked=torch.tensor([example.asked for _, example in piece]),
            family=torch.tensor([example.family for _, example in piece]),
            truth=torch.tensor(truth),
        )


class PlainFeed:
    """Endless windows of running text with words hidden."""

    def __init__(
        self, texts: list[str], tokenizer: PreTrainedTokenizerFast, rng: np.random.Generator
    ) -> None:
        """Tokenise ``texts`` once into one long row of ids."""
        self._rng = rng
        self._mask = tokenizer.mask_token_id
        self._size = len(tokenizer)
        pieces = [texts[index] for index in rng.permutation(len(texts))]
        ids = tokenizer(pieces)["input_ids"]
        self._ids = np.concatenate([np.asarray(row, dtype=np.int64) for row in ids])

    def __iter__(self) -> Iterator[PlainBatch]:
        """Cut windows at random places and hide some of their words."""
        rows = TOKENS // WINDOW
        while True:
            starts = self._rng.integers(0, len(self._ids) - WINDOW, rows)
            ids = self._ids[starts[:, None] + np.arange(WINDOW)]
            # Shifted at random, so that every position the model has is trained.
            shift = self._rng.integers(0, LONGEST - WINDOW + 1, rows)
            positions = FIRST_POSITION + shift[:, None] + np.arange(WINDOW)
            ids, labels = self._hide(ids)
            yield PlainBatch(*map(torch.from_numpy, (ids, positions, labels)))

    def _hide(self, ids: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        chosen = (self._rng.random(ids.shape) < HIDDEN) & (ids > self._mask)
        labels = np.where(chosen, ids, UNKNOWN)
        dice = self._rng.random(ids.shape)
        ids = np.where(chosen & (dice < 0.8), self._mask, ids)
        stray = self._rng.integers(self._mask + 1, self._size, ids.shape)
        return np.where(chosen & (dice > 0.9), stray, ids), labels


def _width(item: Item) -> int:
    return -(-len(item[0]) // STRIDE) * STRIDE


def _cut(items: list[Item]) -> tuple[list[list[Item]], list[Item]]:
    """Full pieces, longest first, and what was left over for the next time."""
    items.sort(key=lambda item: -len(item[0]))
    pieces = []
    while items and len(items) >= (rows := TOKENS // _width(items[0])):
        pieces.append(items[:rows])
        items = items[rows:]
    return pieces, items
