"""Tiny masked language models, made here: no hub is asked, nothing is downloaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import tokenizers
    import torch
    import transformers
    from transformers import PreTrainedTokenizerFast
else:  # an install without the extra still runs every other test
    torch = pytest.importorskip("torch", reason="the extra 'local' is not installed")
    transformers = pytest.importorskip("transformers", reason="the extra 'local' is not installed")
    tokenizers = pytest.importorskip("tokenizers", reason="the extra 'local' is not installed")

__all__ = ["KINDS", "WINDOW", "byte_level", "save_all", "sentence_pieces", "word_pieces"]

WINDOW = 64
CORPUS = [
    "the film was great and terrible, a great film",
    "a terrible plot. It was great. It was terrible.",
    "one two three four five six seven eight nine ten",
    'she said "great" (terrible) a great\nterrible film un fun',
    "hyponym",
] * 4


def byte_level() -> PreTrainedTokenizerFast:
    """RoBERTa's kind of tokenizer: byte-level BPE, a mask that swallows the space before it."""
    inner = tokenizers.Tokenizer(tokenizers.models.BPE())
    inner.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = tokenizers.decoders.ByteLevel()
    mask = tokenizers.AddedToken("<mask>", lstrip=True, special=True)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", mask],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator(CORPUS, trainer)
    inner.post_processor = tokenizers.processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    names = dict(bos="<s>", eos="</s>", unk="<unk>", pad="<pad>", cls="<s>", sep="</s>", mask=mask)
    return wrapped(inner, names)


def word_pieces() -> PreTrainedTokenizerFast:
    """BERT's kind of tokenizer: lower-cased WordPiece."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    inner = tokenizers.Tokenizer(tokenizers.models.WordPiece(unk_token=special[1]))
    inner.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True)
    inner.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    trainer = tokenizers.trainers.WordPieceTrainer(
        vocab_size=200, special_tokens=special, show_progress=False
    )
    inner.train_from_iterator(CORPUS, trainer)
    inner.post_processor = tokenizers.processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = dict(zip(("pad", "unk", "cls", "sep", "mask"), special, strict=True))
    return wrapped(inner, names)


def sentence_pieces() -> PreTrainedTokenizerFast:
    """XLM-R's kind of tokenizer: Unigram over pieces that carry the mark of a space."""
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "▁great", "great", "▁a", "▁(", "("]
    inner = tokenizers.Tokenizer(
        tokenizers.models.Unigram([(piece, -1.0) for piece in pieces], unk_id=3)
    )
    inner.normalizer = tokenizers.normalizers.Replace("\n", " ")
    inner.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    names = dict(zip(("bos", "pad", "eos", "unk", "mask"), pieces, strict=False))
    return wrapped(inner, names)


def wrapped(inner: tokenizers.Tokenizer, names: dict[str, Any]) -> PreTrainedTokenizerFast:
    """`inner` as transformers has it, told which of its tokens play which part."""
    make: Callable[..., PreTrainedTokenizerFast] = transformers.PreTrainedTokenizerFast
    return make(tokenizer_object=inner, **{f"{name}_token": token for name, token in names.items()})


SMALL: dict[str, object] = dict(
    hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48,
    initializer_range=0.3,
)  # fmt: skip
KINDS: dict[str, tuple[str, dict[str, object]]] = {
    "roberta": ("Roberta", dict(SMALL, max_position_embeddings=WINDOW + 2, pad_token_id=1)),
    "bert": ("Bert", dict(SMALL, max_position_embeddings=WINDOW)),
    "albert": ("Albert", dict(SMALL, embedding_size=16, max_position_embeddings=WINDOW)),
    "electra": ("Electra", dict(SMALL, embedding_size=16, max_position_embeddings=WINDOW)),
    "distilbert": (
        "DistilBert",
        dict(dim=32, n_layers=2, n_heads=2, hidden_dim=48, max_position_embeddings=WINDOW),
    ),
    "deberta": ("DebertaV2", dict(SMALL, legacy=False, max_position_embeddings=WINDOW)),
    "modernbert": ("ModernBert", dict(SMALL, max_position_embeddings=WINDOW, pad_token_id=0)),
}
"""Architecture -> the classes' prefix and a tiny configuration."""


def save_all(root: Path) -> None:
    """Save one model and its tokenizer per architecture, each in a folder named after it."""
    chatter: Any = transformers.utils.logging  # its switches carry no types
    chatter.disable_progress_bar()
    for folder, (prefix, options) in KINDS.items():
        torch.manual_seed(0)
        tokenizer = byte_level() if folder == "roberta" else word_pieces()
        config = getattr(transformers, f"{prefix}Config")(vocab_size=len(tokenizer), **options)
        getattr(transformers, f"{prefix}ForMaskedLM")(config).save_pretrained(root / folder)
        tokenizer.save_pretrained(root / folder)
