"""The tokenizer: byte-level BPE trained on the corpus, with RoBERTa's special tokens."""

# mypy: disable-error-code="no-untyped-call"
# ruff: noqa: S106  (special tokens, not secrets)
from __future__ import annotations

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from keywords import OPINION, POOLS
from questions import LABEL_WORDS

SIZE = 8000
LONGEST = 256
SPECIALS = ("<s>", "<pad>", "</s>", "<unk>")
EMPHASIS = 150


def train(texts: list[str]) -> PreTrainedTokenizerFast:
    """Learn the merges; label words and keywords are repeated so that each is one token."""
    core = Tokenizer(models.BPE(unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=SIZE,
        special_tokens=[*SPECIALS, AddedToken("<mask>", lstrip=True, special=True)],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    pools = [word for pool in POOLS.values() for word in pool]
    wanted = " ".join(sorted(pools) * EMPHASIS + sorted(LABEL_WORDS) * EMPHASIS * 5)
    # Without a space before it, as the first word of a prompt has none.
    opening = sorted(OPINION) * EMPHASIS
    lowered = [text.lower() for text in texts]
    core.train_from_iterator([*texts, *lowered, *opening, " " + wanted], trainer)
    start, end = (("<s>", 0), ("</s>", 2))
    core.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[start, end]
    )
    return _check(_wrap(core))


def _wrap(core: Tokenizer) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token="<s>", eos_token="</s>", cls_token="<s>", sep_token="</s>",
        pad_token="<pad>", unk_token="<unk>",
        mask_token=AddedToken("<mask>", lstrip=True, special=True),
        model_max_length=LONGEST, model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip


def _check(tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    broken = [word for word in LABEL_WORDS if len(tokenizer.tokenize(" " + word)) != 1]
    if broken:
        raise ValueError(f"label words of several tokens: {broken}; raise EMPHASIS in tokens.py")
    return tokenizer
