"""The network, and the side losses that teach it to combine question and content.

The mask's answer is (what the text says) times (what the prefix asks): a product that a small
network finds slowly from the answer alone. Two linear heads on the layer before last read
each factor at the mask, and two read them from the mean of the word vectors, which gives words
their tone and their topic early. The heads are thrown away afterwards.
"""

# mypy: disable-error-code="no-untyped-call"
# (torch and transformers annotate only a part of what is called here)
from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import RobertaConfig, RobertaForMaskedLM

from keywords import POOLS
from questions import FAMILIES

SIDE_LAYER = 3
WEIGHTS = {"answer": 1.0, "asked": 0.5, "truth": 0.5, "words": 0.5, "opening": 0.2, "plain": 0.2}
OPENING = 16
UNKNOWN = -100


@dataclass(frozen=True, slots=True)
class ClozeBatch:
    """Token ids with one mask a row, soft answers, and both factors of each answer."""

    ids: Tensor
    spot: Tensor
    answers: Tensor
    asked: Tensor
    family: Tensor
    truth: Tensor


@dataclass(frozen=True, slots=True)
class PlainBatch:
    """Token ids with words hidden; ``labels`` holds the hidden ids, ``UNKNOWN`` elsewhere."""

    ids: Tensor
    positions: Tensor
    labels: Tensor


def build(vocab_size: int) -> RobertaForMaskedLM:
    """A fresh four-layer RoBERTa."""
    config = RobertaConfig(
        vocab_size=vocab_size, hidden_size=256, num_hidden_layers=4, num_attention_heads=4,
        intermediate_size=1024, max_position_embeddings=258, type_vocab_size=1,
        layer_norm_eps=1e-5, initializer_range=0.06,
        hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.0,
        bos_token_id=0, pad_token_id=1, eos_token_id=2, tie_word_embeddings=True,
    )  # fmt: skip
    model = RobertaForMaskedLM(config)
    model.set_attn_implementation("eager")  # fused attention's backward pass is slow on a CPU
    return model


class Trainee(nn.Module):
    """The masked language model with its side heads."""

    answer_ids: Tensor

    def __init__(self, model: RobertaForMaskedLM, answer_ids: list[int]) -> None:
        """Wrap ``model``; ``answer_ids`` are the tokens that soft answers range over."""
        super().__init__()
        self.model = model
        self._pad = model.config.pad_token_id or 0
        widest = max(len(family.labels) for family in FAMILIES)
        self.asked = nn.Linear(model.config.hidden_size, len(POOLS))
        self.truth = nn.Linear(model.config.hidden_size, len(FAMILIES) * widest)
        self.opening = nn.Linear(model.config.hidden_size, len(POOLS))
        self.words = nn.Linear(model.config.hidden_size, len(FAMILIES) * widest)
        self.register_buffer("answer_ids", torch.tensor(answer_ids))

    def plain_loss(self, batch: PlainBatch) -> Tensor:
        """Masked-word loss, the vocabulary head only where a word was hidden."""
        found = self.model.roberta(input_ids=batch.ids, position_ids=batch.positions)
        hidden = batch.labels != UNKNOWN
        logits = self.model.lm_head(found.last_hidden_state[hidden])
        return functional.cross_entropy(logits.float(), batch.labels[hidden])

    def cloze_losses(self, batch: ClozeBatch) -> dict[str, Tensor]:
        """Answer loss, and the side losses: question asked, truth at the mask and by words."""
        found = self.model.roberta(
            input_ids=batch.ids,
            attention_mask=torch.ne(batch.ids, self._pad).long(),
            output_hidden_states=True,
        )
        rows = torch.arange(len(batch.ids))
        logits = self.model.lm_head(found.last_hidden_state[rows, batch.spot]).float()
        scores = functional.log_softmax(logits, -1)[:, self.answer_ids]
        side = found.hidden_states[SIDE_LAYER][rows, batch.spot]
        asked = functional.log_softmax(self.asked(side).float(), -1)
        return {
            "answer": -(batch.answers * scores).sum(-1).mean(),
            "asked": -(batch.asked * asked).sum(-1).mean(),
            "truth": _truth_loss(self.truth(side), batch),
            **self._by_words(found.hidden_states[0], batch),
        }

    def word_losses(self, batch: ClozeBatch) -> dict[str, Tensor]:
        """The losses by words alone, without the layers: cheap, for the first steps."""
        return self._by_words(self.model.roberta.embeddings(batch.ids), batch)

    def _by_words(self, vectors: Tensor, batch: ClozeBatch) -> dict[str, Tensor]:
        there = torch.ne(batch.ids, self._pad)[..., None]
        mean = ((vectors * there).sum(1) / there.sum(1)).to(vectors.dtype)
        opening = functional.log_softmax(self.opening(vectors[:, :OPENING].mean(1)).float(), -1)
        return {
            "words": _truth_loss(self.words(mean), batch),
            "opening": -(batch.asked * opening).sum(-1).mean(),
        }


def _truth_loss(scores: Tensor, batch: ClozeBatch) -> Tensor:
    rows = torch.arange(len(scores))
    own = scores.float().view(len(scores), len(FAMILIES), -1)[rows, batch.family]
    total = functional.cross_entropy(own, batch.truth, ignore_index=UNKNOWN, reduction="sum")
    return total / max(1, int((batch.truth >= 0).sum()))
