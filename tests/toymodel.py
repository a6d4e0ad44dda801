"""A language model small enough to be a truth: words are tokens, the next word follows a formula.

`FaultServer` serves it. It knows no HTTP; the same tokens always give the same numbers.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Iterable, Sequence

__all__ = ["BOS", "NEVER", "ToyModel"]

BOS = 1
NEVER = -25.0  # nats, for a word that the model never says
WORD = re.compile(r" ?\w+| ?[^\w\s]|\s")
FILLERS = "the a so very not it just really quite too all that this what one more our"
EVIDENCE = {"good": 1.0, "bad": -1.0}
STRENGTH, PREJUDICE, MASS = 3.0, 0.7, 0.9


class ToyModel:
    """Tokenizer and truth.

    Args:
        labels: the words that it says nine times in ten.
    """

    def __init__(self, labels: Sequence[str] = (" terrible", " great")) -> None:
        self.labels = tuple(labels)
        self._words: dict[int, str] = {BOS: ""}
        for label in labels:  # what may be asked for before it was ever read
            self.encode(label)

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        """Token ids; a beginning-of-sequence token stands first if `special`."""
        ids = [BOS] if special else []
        for word in WORD.findall(text):
            number = 2 + zlib.crc32(word.encode("utf-8", "replace")) % 2**30
            self._words[number] = word
            ids.append(number)
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids that were encoded here before; others read as a sign of their own."""
        return "".join(self._words.get(number, "\ufffd") for number in ids)

    def ranking(self, text: str, *, chat: bool = False) -> dict[str, float]:
        """Log-probabilities (nats) of the next word, the likeliest first.

        In a chat the answer opens a message, so its words have no leading space.
        """
        odds = self._odds(text)
        count = len(self.labels)
        logits = [odds * (2 * i / (count - 1) - 1) for i in range(count)]
        total = math.log(math.fsum(math.exp(logit) for logit in logits)) - math.log(MASS)
        found = {word: logit - total for word, logit in zip(self.labels, logits, strict=True)}
        fillers = FILLERS.split()
        share = math.fsum(1 / (2 + i) for i in range(len(fillers)))
        for i, filler in enumerate(fillers):
            found[" " + filler] = math.log((1 - MASS) / (2 + i) / share)
        ranked = sorted(found.items(), key=lambda item: -item[1])
        return {word.strip() if chat else word: value for word, value in ranked}

    def _odds(self, text: str) -> float:
        """Half the log-odds of the last label against the first."""
        words = re.findall(r"\w+", text.lower())
        listening = (1 + math.tanh(sum(map(_utility, words)) / 4)) / 2
        evidence = math.tanh(sum(EVIDENCE.get(word, 0.0) for word in words))
        trace = zlib.crc32(text.encode("utf-8", "replace")) / 2**32 / 100  # no two texts are alike
        return STRENGTH * listening * evidence + PREJUDICE * (1 - listening) + trace


def _utility(word: str) -> float:
    """How much a word makes the model listen: one in eight helps, one in eight harms."""
    draw = zlib.crc32(b"utility " + word.encode("utf-8", "replace"))
    return {0: 1.0, 1: -1.0}.get(draw % 8, 0.0) * (0.5 + draw / 2**32)
