"""The network, and the side losses that teach it to combine question and content.

The answer is what the text says, weighed by what the prompt asks: a product that a small network
finds slowly from the answer alone. Linear heads read each factor at the last token and from the
mean word vector; another learns at each token whether it stood before, without which pairs of
texts are never compared; and some tokens of each batch predict the next. The heads are thrown
away afterwards.
"""

# mypy: disable-error-code="no-untyped-call"
# (torch and transformers annotate only a part of what is called here)
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from families import FAMILIES, ROLES
from torch import Tensor, nn
from torch.nn import functional
from transformers import GPT2Config, GPT2LMHeadModel

__all__ = ["WEIGHTS", "Batch", "Student", "build", "reopen"]

WEIGHTS = {"answer": 1.0, "asked": 0.5, "truth": 0.5, "words": 0.4, "opening": 0.2, "seen": 0.5,
           "next": 0.1}  # fmt: skip
WIDTH = 256
SEEN_LAYER, SIDE_LAYER = 1, 2
OPENING = 20
NEXT = 96


@dataclass(frozen=True, slots=True)
class Batch:
    """Token ids padded on the right, where each row ends, its soft answer and its factors."""

    ids: Tensor
    last: Tensor
    answers: Tensor
    asked: Tensor
    family: Tensor
    truth: Tensor


def build(vocab_size: int, positions: int) -> GPT2LMHeadModel:
    """A fresh three-layer GPT-2, two heads of whose first layer look for equal tokens.

    It is trained half as long again in the same time as a Llama of the same width, whose many
    small element-wise steps cost a CPU more than its matrices.
    """
    config = GPT2Config(
        vocab_size=vocab_size, n_positions=positions, n_embd=WIDTH, n_layer=3, n_head=4,
        n_inner=4 * WIDTH, activation_function="relu", initializer_range=0.05,
        embd_pdrop=0.1, resid_pdrop=0.0, attn_pdrop=0.0,
        bos_token_id=0, pad_token_id=1, eos_token_id=2, tie_word_embeddings=True,
    )  # fmt: skip
    model = GPT2LMHeadModel(config)
    model.set_attn_implementation("eager")  # fused attention's backward pass is slow on a CPU
    with torch.no_grad():
        weight = model.get_parameter("transformer.h.0.attn.c_attn.weight")
        weight[:, WIDTH : WIDTH + 128] = weight[:, :128]  # of keys, as those of queries
    return model


def reopen(folder: Path) -> GPT2LMHeadModel:
    """A saved network, to be trained on."""
    model = GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32)
    model.set_attn_implementation("eager")
    return model


class Student(nn.Module):
    """The causal language model with its side heads."""

    answer_ids: Tensor

    def __init__(self, model: GPT2LMHeadModel, answer_ids: list[int]) -> None:
        """Wrap ``model``; ``answer_ids`` are the tokens that soft answers range over."""
        super().__init__()
        self.model = model
        self._pad = model.config.pad_token_id or 0
        widest = max(len(family.labels) for family in FAMILIES)
        self.asked = nn.Linear(WIDTH, len(FAMILIES) * len(ROLES))
        self.truth = nn.Linear(WIDTH, len(FAMILIES) * widest)
        self.opening = nn.Linear(WIDTH, len(FAMILIES) * len(ROLES))
        self.words = nn.Linear(WIDTH, len(FAMILIES) * widest)
        self.seen = nn.Linear(WIDTH, 1)
        self.register_buffer("answer_ids", torch.tensor(answer_ids))

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """All losses by name; padding stands on the right, so causal attention never sees it."""
        found = self.model.transformer(
            input_ids=batch.ids, output_hidden_states=True, use_cache=False
        )
        rows = torch.arange(len(batch.ids))
        logits = self.model.lm_head(found.last_hidden_state[rows, batch.last]).float()
        scores = functional.log_softmax(logits, -1)[:, self.answer_ids]
        side = found.hidden_states[SIDE_LAYER][rows, batch.last]
        return {
            "answer": -(batch.answers * scores).sum(-1).mean() - _entropy(batch.answers),
            "asked": _soft(self.asked(side), batch.family, batch.asked),
            "truth": functional.cross_entropy(_own(self.truth(side), batch.family), batch.truth),
            "seen": self._seen(found.hidden_states[SEEN_LAYER], batch.ids),
            "next": self._next(found.last_hidden_state, batch.ids),
            **self._by_words(found.hidden_states[0], batch),
        }

    def word_losses(self, batch: Batch) -> dict[str, Tensor]:
        """The losses by words alone, without the layers: cheap, for the first steps."""
        return self._by_words(self.model.transformer.wte(batch.ids), batch)

    def _by_words(self, vectors: Tensor, batch: Batch) -> dict[str, Tensor]:
        there = torch.ne(batch.ids, self._pad)[..., None]
        mean = ((vectors * there).sum(1) / there.sum(1)).to(vectors.dtype)
        opening = self.opening(vectors[:, :OPENING].mean(1))
        return {
            "words": functional.cross_entropy(_own(self.words(mean), batch.family), batch.truth),
            "opening": _soft(opening, batch.family, batch.asked),
        }

    def _seen(self, hidden: Tensor, ids: Tensor) -> Tensor:
        """Whether each token stood earlier in its row."""
        there = torch.ne(ids, self._pad)
        before = torch.ones(ids.shape[1], ids.shape[1], dtype=torch.bool).tril(-1)
        target = ((ids[:, :, None] == ids[:, None, :]) & before).any(-1)[there]
        scores = self.seen(hidden[there]).float()[:, 0]
        return functional.binary_cross_entropy_with_logits(scores, target.float())

    def _next(self, hidden: Tensor, ids: Tensor) -> Tensor:
        """The next token at a few places: the vocabulary is too wide for all."""
        places = torch.ne(ids[:, 1:], self._pad).nonzero()
        row, column = places[torch.randint(len(places), (NEXT,))].unbind(1)
        logits = self.model.lm_head(hidden[row, column]).float()
        return functional.cross_entropy(logits, ids[row, column + 1])


def _own(scores: Tensor, family: Tensor) -> Tensor:
    """Of scores for all families, those of each row's own."""
    rows = torch.arange(len(scores))
    return scores.float().view(len(scores), len(FAMILIES), -1)[rows, family]


def _soft(scores: Tensor, family: Tensor, wanted: Tensor) -> Tensor:
    """Cross-entropy to soft targets, less what the best answer would have."""
    wide = functional.log_softmax(_own(scores, family), -1)
    return -(wanted * wide).sum(-1).mean() - _entropy(wanted)


def _entropy(shares: Tensor) -> Tensor:
    each: Tensor = torch.special.entr(shares).sum(-1)
    return each.mean()
