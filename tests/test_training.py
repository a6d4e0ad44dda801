"""How the built-in model's training questions are asked: undecided without a prefix."""

from __future__ import annotations

from random import Random

import pytest

from corpus import Row
from keywords import POOLS
from prefixes import MAX_WORDS, PrefixMaker, weights
from questions import FAMILIES, LABEL_WORDS

REVIEWS = next(family for family in FAMILIES if family.name == "sst2")
TEXTS = ["a quiet morning by the river", "three men walk along an empty road"]


def meant(prefix: str) -> dict[str, float]:
    """The questions about a review and how much each is meant."""
    return dict(zip(REVIEWS.pools, weights(prefix, REVIEWS.pools, REVIEWS.base), strict=True))


@pytest.mark.parametrize("prefix", ["", "quiet river", "great awful"])
def test_without_keywords_opinion_and_opposite_weigh_the_same(prefix: str) -> None:
    """An empty prefix, noise, and words of praise or blame leave the model undecided."""
    asked = meant(prefix)
    assert asked["opinion"] == pytest.approx(asked["opposite"])
    assert sum(asked.values()) == pytest.approx(1.0)


@pytest.mark.parametrize("label", ["0", "1"])
def test_without_a_prefix_the_answer_says_nothing_of_the_opinion(label: str) -> None:
    """What the model owes to an empty prefix is the same for a good and a bad review."""
    row, other = (Row("sst2", "it was there", value) for value in (label, "01"[label == "0"]))
    undecided = weights("", REVIEWS.pools, REVIEWS.base)
    assert REVIEWS.answers(row, undecided) == pytest.approx(REVIEWS.answers(other, undecided))


def test_each_keyword_makes_its_question_likelier() -> None:
    """The landscape rises word by word, so that a search can climb."""
    words = ["movie", "acting", "review", "plot"]
    heights = [meant(" ".join(words[:count]))["opinion"] for count in range(5)]
    assert heights == sorted(heights)
    assert heights[0] < 0.3
    assert heights[-1] > 0.8


def test_answers_are_a_distribution_over_label_words() -> None:
    """Every question of every family is answered in words that are tokens of their own."""
    for family in FAMILIES:
        label = family.labels[0] if family.labels else ""
        row = Row(family.name, "a text of some words", label, "and another")
        answers = family.answers(row, weights("", family.pools, family.base))
        assert sum(answers.values()) == pytest.approx(1.0)
        assert set(answers) <= set(LABEL_WORDS)


def test_prefixes_are_short_varied_and_often_missing() -> None:
    """About a fifth are empty, none is longer than the limit, and few repeat."""
    maker, rng = PrefixMaker(TEXTS), Random(0)
    drawn = [maker.draw(rng, REVIEWS.pools) for _ in range(2000)]
    empty = sum(not prefix for prefix in drawn) / len(drawn)
    assert 0.15 < empty < 0.3
    assert (
        max(len(prefix.split()) for prefix in drawn) <= 2 * MAX_WORDS
    )  # noise comes in pairs, too
    assert len(set(drawn)) > 1000


def test_no_keyword_belongs_to_opinion_and_its_opposite() -> None:
    """A word that named both questions would name neither."""
    assert not POOLS["opinion"] & POOLS["opposite"]
