"""From a text to the token ids that a masked model reads, and from a label word to its one id.

    Text --mask token--> string --tokenizer--> ids --cut to the window--> Row

Needs a fast tokenizer of the transformers library and knows no model.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bdpl_async.errors import LabelError, RequestFailed
from bdpl_async.records import Text

if TYPE_CHECKING:
    from tokenizers import Encoding
    from transformers import PreTrainedTokenizerFast

__all__ = ["Assembler", "Row"]


@dataclass(frozen=True, slots=True)
class Row:
    """The token ids of one text, special tokens included, and the index of its mask."""

    ids: list[int]
    mask: int


class Assembler:
    """Turns texts into rows that fit the model, and label words into token ids.

    Args:
        name: the scorer's name, for messages.
        tokenizer: a fast tokenizer with a mask token; its truncation and padding are switched off.
        window: tokens that the model reads at most, special tokens included.
    """

    def __init__(self, name: str, tokenizer: PreTrainedTokenizerFast, window: int) -> None:
        self.name = name
        self.window = window
        self._backend = tokenizer.backend_tokenizer
        self._backend.no_truncation()
        self._backend.no_padding()
        self._mask = str(tokenizer.mask_token)
        self._mask_id = int(tokenizer.mask_token_id)
        self._special = frozenset(tokenizer.all_special_ids)
        added = tokenizer.added_tokens_decoder.values()
        self._shield = _starts(
            {token.content for token in added if token.special} | set(tokenizer.all_special_tokens)
        )
        self._words: dict[tuple[tuple[str, ...], str], tuple[int, ...]] = {}

    def rows(self, texts: Sequence[Text]) -> list[Row | RequestFailed]:
        """One row per text, in order; a text that cannot be made to fit stands as its error."""
        encodings = self._backend.encode_batch([self._joined(text) for text in texts])
        return [self._row(*pair) for pair in zip(texts, encodings, strict=True)]

    def label_ids(self, labels: tuple[str, ...], before: str) -> tuple[int, ...]:
        """The token id of each label word where it follows `before`; worked out once per shape.

        Raises:
            LabelError: a word is not exactly one known token, or two words share one.
        """
        key = (labels, _lead(before))
        if key not in self._words:
            self._words[key] = self._resolve(*key)
        return self._words[key]

    def _joined(self, text: Text) -> str:
        return self._plain(text.before) + self._mask + self._plain(text.after)

    def _plain(self, part: str) -> str:
        """`part`, as long as before, without what the tokenizer would take for a special token."""
        # A lone surrogate, which JSON can smuggle in, would fail every text of the batch.
        return self._shield.sub(" ", part.encode("utf-8", "replace").decode("utf-8"))

    def _row(self, text: Text, encoding: Encoding) -> Row | RequestFailed:
        ids: list[int] = encoding.ids
        if ids.count(self._mask_id) != 1:
            return RequestFailed(
                f"{self.name}: the text reads as {ids.count(self._mask_id)} masks, not one: "
                f"{_excerpt(text)}"
            )
        excess = len(ids) - self.window
        if excess > 0:
            spans = _behind_mask(text, len(self._mask))
            dropped = _surplus(encoding.offsets, spans, excess)
            ids = [token for index, token in enumerate(ids) if index not in dropped]
        if len(ids) > self.window or self._mask_id not in ids:
            return RequestFailed(
                f"{self.name}: {len(ids)} tokens remain of a text with its data cut away, "
                f"the window holds {self.window}: {_excerpt(text)}",
                hint="shorten the prompt or the template, or take a model with a longer window",
            )
        return Row(ids, ids.index(self._mask_id))

    def _resolve(self, labels: tuple[str, ...], lead: str) -> tuple[int, ...]:
        owners: dict[int, str] = {}
        for label in labels:
            token = self._token(label, lead)
            if token in owners:
                raise LabelError(
                    f"label words {owners[token]!r} and {label!r} are the same token in "
                    f"{self.name}",
                    hint="give each label a word of its own",
                )
            owners[token] = label
        return tuple(owners)

    def _token(self, label: str, lead: str) -> int:
        """The one id that `label` adds behind `lead`."""
        tokens = self._added(label.strip(), lead) if label.strip() else []
        pieces = ", ".join(
            repr(self._backend.decode([t], skip_special_tokens=False)) for t in tokens
        )
        if len(tokens) != 1:
            what = f"is {len(tokens)} tokens ({pieces})" if tokens else "is no token of its own"
        elif tokens[0] in self._special:
            what = f"is not in the vocabulary (it reads as {pieces})"
        else:
            return tokens[0]
        raise LabelError(
            f"label word {label!r} {what} in {self.name}; a masked model needs one",
            hint="choose another word, or letters such as A, B, C",
        )

    def _added(self, word: str, lead: str) -> list[int]:
        """The ids behind those of `lead`; none where `word` melts into it."""

        def encode(string: str) -> list[int]:
            ids: list[int] = self._backend.encode(string, add_special_tokens=False).ids
            return ids

        whole = encode(lead + word)
        # A space belongs to the word (byte-level, SentencePiece) or to nobody (WordPiece); a line
        # break is a token of its own in some vocabularies and not in others.
        for prefix in (encode(lead.rstrip(" ")), encode(lead.rstrip())):
            if whole[: len(prefix)] == prefix:
                return whole[len(prefix) :]
        return []


def _lead(before: str) -> str:
    """A stand-in for `before` that shapes the next word alike: after space or after a sign.

    The data's own last word would make the label's token depend on the example. A mask that opens
    the text counts as one after a space: so it stands where there is a prompt before it, and the
    empty prompt must be read by the same tokens.
    """
    last = before[-1:] or " "
    return "a" + last if last.isspace() else "("


def _starts(specials: Iterable[str]) -> re.Pattern[str]:
    """Matches the first character of every special string, overlapping ones too."""
    strings = "|".join(re.escape(special) for special in sorted(specials) if special)
    return re.compile(f"(?={strings}).", re.DOTALL)


def _behind_mask(text: Text, width: int) -> list[tuple[int, int]]:
    """The cuttable spans as they lie once a mask token of `width` characters stands between."""
    cut = len(text.before)
    return [(s + width, e + width) if s >= cut else (s, min(e, cut)) for s, e in text.cuttable]


def _surplus(
    offsets: Sequence[tuple[int, int]], spans: Sequence[tuple[int, int]], excess: int
) -> set[int]:
    """The tokens to drop: always the last one of the span that is longest by now.

    Holds fewer than `excess` indices where the spans have no more; only tokens wholly inside a
    span are touched, so special tokens, which have no width, never are.
    """
    stacks = [
        [i for i, (start, end) in enumerate(offsets) if first <= start < end <= last]
        for first, last in spans
    ]
    dropped: set[int] = set()
    while len(dropped) < excess and any(stacks):
        dropped.add(max(stacks, key=len).pop())
    return dropped


def _excerpt(text: Text) -> str:
    """The words around the mask, enough to find the text again."""
    return repr(f"{text.before[-40:]}____{text.after[:20]}")
