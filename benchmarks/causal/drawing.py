"""Draws training examples: a prompt, a text, and the soft answer that both deserve."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random

import paths  # noqa: F401
from families import FAMILIES, ROLES
from meanings import NAMED, Meanings
from rows import Rows

from corpus import Row, natural
from keywords import words_of
from lexicon import MadeReviews
from questions import Family

__all__ = ["Drawer", "Drawn"]

SHARES = {
    "sst2": 0.17, "cola": 0.07, "mnli": 0.10, "rte": 0.03, "qnli": 0.11, "qqp": 0.13,
    "mrpc": 0.07, "citation_intent": 0.08, "sciie": 0.10, "csabstruct": 0.11,
    "hyperpartisan": 0.03,
}  # fmt: skip
MADE = 0.2
JOINED = 0.1
EMPTY = 0.12
REPEAT = 0.1
MOST_WORDS = 22
# A dropped word costs a pair of texts its match, so pairs lose fewer.
DROPPED, DROPPED_PAIR = 0.12, 0.04
CLOSERS = ("",) * 12 + (":", ":", ".", "?")


@dataclass(frozen=True, slots=True)
class Drawn:
    """What the model reads, the answer it owes, and the two facts that lead there."""

    text: str
    answers: dict[str, float]
    family: int
    truth: int
    asked: tuple[float, ...]


class Drawer:
    """Draws examples without end."""

    def __init__(self, rows: Rows) -> None:
        """Find out what the words of all texts mean, and prepare noise and made-up reviews."""
        texts = rows.texts()
        self.meanings = Meanings(texts)
        self._rows = rows.by_family
        self._made = MadeReviews(texts)
        self._named = {name: sorted(pool) for name, pool in NAMED.items()}
        self._lines = {name: _lines(rows.texts(name)) for name in self._rows}

    def stream(self, rng: Random) -> Iterator[Drawn]:
        """Endless examples, families in the proportion of ``SHARES``."""
        picks = [SHARES[family.name] for family in FAMILIES]
        while True:
            yield self.draw(rng, rng.choices(range(len(FAMILIES)), picks)[0])

    def draw(self, rng: Random, index: int) -> Drawn:
        """One example of one family."""
        family = FAMILIES[index]
        row = self._row(rng, family)
        prompt = self.prompt(rng, family)
        weights = self.meanings.weights(prompt, family)
        body = rng.choice(family.templates).format(text=row.text, other=row.other)
        return Drawn(
            text=f"{prompt} {body}" if prompt else body,
            answers=family.answers(row, weights),
            family=index,
            truth=family.truth(row),
            asked=tuple(weights),
        )

    def prompt(self, rng: Random, family: Family) -> str:
        """A prompt, perhaps empty: words that ask for something among words that do not."""
        if rng.random() < EMPTY:
            return ""
        size = rng.randint(1, MOST_WORDS)
        about = rng.randint(0, min(size, rng.choice((1, 2, 4, 8, 16))))
        main = 0 if rng.random() < 0.6 else rng.randrange(1, len(ROLES))
        words: list[str] = []
        while len(words) < about:
            role = main if rng.random() < 0.75 else rng.randrange(len(ROLES))
            pool = self.meanings.hints[ROLES[role]]
            if rng.random() < 0.55:
                pool = self._named[family.pools[role]]
            words.append(rng.choice(pool))
        while len(words) < size:
            words.append(self._noise(rng, family))
        if rng.random() < REPEAT:
            words += rng.choices(words, k=rng.randint(1, 4))
        rng.shuffle(words)
        text = " ".join(words)
        if rng.random() < 0.15:
            text = text[:1].upper() + text[1:]
        return text + rng.choice(CLOSERS)

    def _noise(self, rng: Random, family: Family) -> str:
        """One to three neighbouring words of a text, mostly of the same family."""
        name = family.name if rng.random() < 0.75 else rng.choice(list(self._lines))
        line = rng.choice(self._lines[name])
        start = rng.randrange(len(line))
        return " ".join(line[start : start + rng.choice((1, 1, 2, 3))])

    def _row(self, rng: Random, family: Family) -> Row:
        row = rng.choice(self._rows[family.name])
        if family.name == "sst2":
            return _restyle(rng, self._review(rng, row))
        if family.name == "hyperpartisan":
            words = row.text.split()
            size = rng.randint(40, 170)
            # Mostly the opening, which is what is left of a text that is cut to fit.
            start = 0 if rng.random() < 0.6 else rng.randrange(max(1, len(words) - size + 1))
            row = replace(row, text=" ".join(words[start : start + size]))
        rate = DROPPED_PAIR if row.other else DROPPED
        if family.name in {"cola", "sciie"}:
            rate = 0.0  # there each word is the matter
        return replace(row, text=_thin(rng, row.text, rate), other=_thin(rng, row.other, rate))

    def _review(self, rng: Random, row: Row) -> Row:
        if rng.random() < MADE:
            text, praise = self._made.draw(rng)
            return Row("sst2", text, str(int(praise)))
        text = row.text
        while rng.random() < JOINED:
            mate = rng.choice(self._rows["sst2"])
            if mate.label == row.label:
                text += rng.choice((" . ", " , ")) + mate.text
        return replace(row, text=text)


def _lines(texts: list[str]) -> list[list[str]]:
    return [words for words in map(words_of, texts) if len(words) > 2]


def _thin(rng: Random, text: str, rate: float) -> str:
    """Half of the texts lose some of their words."""
    if not rate or rng.random() < 0.5:
        return text
    return " ".join(word for word in text.split() if rng.random() > rate) or text


def _restyle(rng: Random, row: Row) -> Row:
    """A review is read raw as often as it is read as an ordinary sentence."""
    text = _thin(rng, row.text, DROPPED)
    if rng.random() < 0.4:
        text = natural(text) + rng.choice(("", ".", ".", "!"))
    return replace(row, text=text)
