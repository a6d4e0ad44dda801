"""Turns rows into training examples: a text with one mask and a soft answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random

from corpus import Corpus, Row, natural
from keywords import POOLS
from lexicon import MadeReviews
from prefixes import PrefixMaker, weights
from questions import FAMILIES, Family

# How often each family is drawn; reviews are what the model is for.
SHARES = {
    "sst2": 0.680, "general": 0.06, "mnli": 0.070, "qnli": 0.03, "rte": 0.01,
    "cola": 0.050, "citation_intent": 0.025, "sciie": 0.035, "csabstruct": 0.04,
}  # fmt: skip
MADE = 0.25
JOINED = 0.12
DROPPED = 0.08


@dataclass(frozen=True, slots=True)
class Example:
    """What the model reads, the answer it owes, and the two facts that lead there."""

    text: str
    answers: dict[str, float]
    family: int
    truth: int
    asked: tuple[float, ...]


class ExampleMaker:
    """Draws cloze examples without end."""

    def __init__(self, corpus: Corpus) -> None:
        """Prepare the noise words and the made-up reviews from the corpus."""
        texts = corpus.texts()
        films = [row.text for row in corpus.rows["sst2"]]
        self._rows = corpus.rows
        self._texts = texts
        # Reviews are a tenth of the corpus; prompts are drawn from reviews, so noise is too.
        self._prefixes = PrefixMaker(texts + films * 8)
        self._made = MadeReviews(texts)
        self._pools = list(POOLS)

    def stream(self, rng: Random) -> Iterator[Example]:
        """Endless examples, families in the proportion of ``SHARES``."""
        picks = [SHARES[family.name] for family in FAMILIES]
        while True:
            yield self.draw(rng, rng.choices(range(len(FAMILIES)), picks)[0])

    def draw(self, rng: Random, index: int) -> Example:
        """One example of one family."""
        family = FAMILIES[index]
        row = self._row(rng, family)
        prefix = self._prefixes.draw(rng, family.pools)
        shares = weights(prefix, family.pools, family.base)
        asked = dict(zip(family.pools, shares, strict=True))
        return Example(
            text=fill(rng.choice(family.templates), prefix, row),
            answers=family.answers(row, shares),
            family=index,
            truth=family.truth(row),
            asked=tuple(asked.get(pool, 0.0) for pool in self._pools),
        )

    def _row(self, rng: Random, family: Family) -> Row:
        if family.name == "general":
            return _restyle(rng, Row("general", rng.choice(self._texts), ""))
        if family.name != "sst2":
            return rng.choice(self._rows[family.name])
        return _restyle(rng, self._review(rng))

    def _review(self, rng: Random) -> Row:
        if rng.random() < MADE:
            text, praise = self._made.draw(rng)
            return Row("sst2", text, str(int(praise)))
        row = rng.choice(self._rows["sst2"])
        text = row.text
        while rng.random() < JOINED:
            mate = rng.choice(self._rows["sst2"])
            if mate.label == row.label:
                text += rng.choice((" . ", " . ", " ; ", " , ")) + mate.text
        return replace(row, text=text)


def fill(template: str, prefix: str, row: Row) -> str:
    """Put prefix and texts into a template; no prefix leaves no leading space."""
    body = template.format(text=row.text, other=row.other)
    return f"{prefix} {body}" if prefix else body


def _restyle(rng: Random, row: Row) -> Row:
    """Vary case, punctuation and words, so that no one spelling is relied upon."""
    text = row.text
    if rng.random() < 0.5:
        text = " ".join(word for word in text.split() if rng.random() > DROPPED) or text
    if rng.random() < 0.5:
        text = natural(text)
        ends = (".", ".", ".", "!", "")
    else:
        ends = ("", "", "", " .", " .")
    if text[-1:].isalnum():
        text += rng.choice(ends)
    if "." in text and rng.random() < 0.5:
        text = ". ".join(part[:1].upper() + part[1:] for part in text.split(". "))
    return replace(row, text=text)
