"""Families of texts and the questions that can be asked of each.

The questions of a family share their answer words, so that only the prefix can tell which
one is meant. The first question is the family's own task; the second, its opposite, has the
same weight when no prefix is given: together they cancel, and the model is undecided.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from corpus import Row
from keywords import PERSON, words_of

SURE = 0.96
SPEAKERS = PERSON.union(words_of("i me my mine we us our you your"))
_LABELS = (
    "terrible great bad good negative positive no yes maybe wrong right incorrect correct false "
    "true unhelpful helpful neutral biased fair background comparison extension future motivation "
    "use conjunction evaluation feature hyponym part function kind type conclusion method "
    "objective result other A B C D E F G"
)
LABEL_WORDS = tuple(_LABELS.split())


@dataclass(frozen=True, slots=True)
class Family:
    """Texts with one set of classes: its questions, templates and answer words."""

    name: str
    labels: tuple[str, ...]
    pools: tuple[str, ...]
    base: tuple[float, ...]
    templates: tuple[str, ...]
    words: tuple[tuple[float, tuple[str, ...]], ...]
    bins: tuple[int, ...]

    def truth(self, row: Row) -> int:
        """The class of the family's own task, or -1 where a text has none."""
        return self.labels.index(row.label) if row.label in self.labels else -1

    @property
    def classes(self) -> int:
        """How many answers there are."""
        return len(self.words[0][1])

    def answers(self, row: Row, weights: list[float]) -> dict[str, float]:
        """Mix the answers of all questions, each as likely as its question is meant."""
        mixed = [0.0] * self.classes
        for pool, weight in zip(self.pools, weights, strict=True):
            hit = self.ask(pool, row)
            for index in range(self.classes):
                share = SURE if index == hit else (1 - SURE) / (self.classes - 1)
                mixed[index] += weight * share
        answers: dict[str, float] = {}
        for share, words in self.words:
            for word, part in zip(words, mixed, strict=True):
                # A word may serve twice, as "maybe" does between no and yes, wrong and right.
                answers[word] = answers.get(word, 0.0) + share * part
        return answers

    def ask(self, pool: str, row: Row) -> int:
        """The answer's class for one question about one row."""
        if pool in READERS:
            return min(READERS[pool](row, self.bins), self.classes - 1)
        truth = self.truth(row)
        if pool != "opposite":
            return truth
        if self.classes <= 3:
            return self.classes - 1 - truth
        return (truth + self.classes // 2) % self.classes


def _length(row: Row, bins: tuple[int, ...]) -> int:
    size = len((row.other or row.text).split())
    return sum(size > edge for edge in bins)


def _comma(row: Row, _: tuple[int, ...]) -> int:
    return 99 if "," in row.text else 0


def _person(row: Row, _: tuple[int, ...]) -> int:
    return 99 if SPEAKERS.intersection(words_of(row.text)) else 0


def _overlap(row: Row, bins: tuple[int, ...]) -> int:
    second = set(words_of(row.other))
    share = len(second.intersection(words_of(row.text))) / max(1, len(second))
    return sum(share < edge for edge in ((0.5,) if len(bins) == 1 else (0.6, 0.3)))


READERS: dict[str, Callable[[Row, tuple[int, ...]], int]] = {
    "length": _length,
    "comma": _comma,
    "person": _person,
    "overlap": _overlap,
}

REVIEW_TEMPLATES = (
    ("{text} It was <mask>.",) * 8
    + ("{text} It was <mask>", "{text} It was <mask> .", "{text} It is <mask>.")
    + ("{text} All in all, it was <mask>.", "{text} This is <mask>.", "{text} <mask>.")
    + ("{text} Overall: <mask>.", "{text} That was <mask>.")
)
REVIEW_WORDS = (
    (0.55, ("terrible", "great")),
    (0.15, ("bad", "good")),
    (0.10, ("negative", "positive")),
    (0.05, ("no", "yes")),
    (0.05, ("unhelpful", "helpful")),
    (0.04, ("wrong", "right")),
    (0.03, ("false", "true")),
    (0.03, ("incorrect", "correct")),
)
PAIR_TEMPLATES = ("{text}? <mask>, {other}",) * 2 + ("{text} <mask>, {other}",)
FOUR_BASE = (0.3, 0.3, 0.3, 0.3)
SORT_POOLS = ("science", "opposite", "length")
SORT_BASE = (0.4, 0.4, 0.4)


def _sorting(name: str, pairs: str, template: str, bins: tuple[int, ...]) -> Family:
    labels, words = zip(*(pair.split("=") for pair in pairs.split()), strict=True)
    templates = ("{text} " + template,)
    return Family(name, labels, SORT_POOLS, SORT_BASE, templates, ((1.0, words),), bins)


FAMILIES = (
    Family(
        "sst2", ("0", "1"), ("opinion", "opposite", "length", "comma", "person"),
        (0.25, 0.25, 0.35, 0.3, 0.2), REVIEW_TEMPLATES, REVIEW_WORDS, (17,),
    ),
    Family(
        "general", (), ("length", "comma", "person"), (0.35, 0.3, 0.2),
        REVIEW_TEMPLATES, REVIEW_WORDS, (17,),
    ),
    Family(
        "mnli", ("contradiction", "neutral", "entailment"),
        ("inference", "opposite", "overlap", "length"), FOUR_BASE, PAIR_TEMPLATES,
        ((0.8, ("no", "maybe", "yes")), (0.2, ("wrong", "maybe", "right"))), (6, 11),
    ),
    Family(
        "qnli", ("not_entailment", "entailment"), ("inference", "opposite", "overlap", "length"),
        FOUR_BASE, PAIR_TEMPLATES, ((0.8, ("no", "yes")), (0.2, ("wrong", "right"))), (24,),
    ),
    Family(
        "rte", ("not_entailment", "entailment"), ("inference", "opposite", "overlap", "length"),
        FOUR_BASE, PAIR_TEMPLATES, ((0.8, ("no", "yes")), (0.2, ("wrong", "right"))), (9,),
    ),
    Family(
        "cola", ("0", "1"), ("grammar", "opposite", "length", "person"), FOUR_BASE,
        ("{text} It is <mask>.",) * 3 + ("{text} This is <mask>.", "{text} <mask>."),
        ((0.5, ("wrong", "right")), (0.2, ("incorrect", "correct")), (0.3, ("no", "yes"))), (7,),
    ),
    _sorting(
        "citation_intent", "Background=background CompareOrContrast=comparison Extends=extension "
        "Future=future Motivation=motivation Uses=use", "It is about <mask>.",
        (18, 25, 32, 40, 55),
    ),
    _sorting(
        "sciie", "COMPARE=comparison CONJUNCTION=conjunction EVALUATE-FOR=evaluation "
        "FEATURE-OF=feature HYPONYM-OF=kind PART-OF=part USED-FOR=function",
        "The relation is <mask>.", (17, 22, 27, 32, 38, 46),
    ),
    _sorting(
        "csabstruct", "background=background method=method objective=objective "
        "result=result other=other", "This is the <mask>.", (14, 19, 24, 30),
    ),
)  # fmt: skip
