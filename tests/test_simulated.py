"""The rules of `bdpl_providers.simulated`: its truth is what it says it is."""

from __future__ import annotations

import math

import pytest

from bdpl_async.records import Request, Score, Text
from bdpl_async.scorer import Scorer
from bdpl_providers import connect
from bdpl_providers.simulated import Simulated

LABELS = (" bad", " good")


async def margin(scorer: Scorer, before: str, after: str = "") -> float:
    """Log-odds of the last label against the first."""
    (score,) = (await scorer.score(Request((Text(before, after),), LABELS))).scores
    assert isinstance(score, Score)
    return score.logprobs[1] - score.logprobs[0]


def told(**utility: float) -> Simulated:
    """A model that listens to the words given, and follows good and awful."""
    return Simulated(utility=lambda word: utility.get(word, 0.0))


@pytest.mark.parametrize("classes", [2, 3, 6])
async def test_the_labels_share_all_belief(classes: int) -> None:
    """Log-probabilities sum to one, for any number of labels, and the mass says so."""
    labels = tuple(f" {k}" for k in range(classes))
    reply = await Simulated().score(Request((Text("a good film"), Text("")), labels))
    for score in reply.scores:
        assert isinstance(score, Score)
        assert len(score.logprobs) == classes
        assert sum(map(math.exp, score.logprobs)) == pytest.approx(1.0, abs=1e-12)
        assert score.mass == 1.0


async def test_the_more_it_listens_the_more_it_follows_the_evidence() -> None:
    """Words of utility move good texts up and bad texts down; idle words move nothing."""
    scorer = told(listen=2.0, dull=-2.0)
    plain, bad = await margin(scorer, "good day"), await margin(scorer, "awful day")
    assert await margin(scorer, "listen good day") > plain > await margin(scorer, "dull good day")
    assert await margin(scorer, "listen awful day") < bad
    assert await margin(scorer, "idle good day") == plain


async def test_a_deaf_model_leans_to_the_last_label() -> None:
    """Without listening the answer is the prejudice, whatever the text says."""
    scorer = told(deaf=-1000.0)
    for text in ("good", "awful", "day"):
        assert await margin(scorer, f"deaf {text}") == pytest.approx(1.4, abs=1e-12)  # 2 x 0.7


async def test_the_truth_is_the_names_alone() -> None:
    """The same name has the same utilities for ever, another name has others."""
    words = [f"word{k} good" for k in range(40)]
    first, again, other = Simulated("a"), Simulated("a"), Simulated("b")
    margins = [[await margin(scorer, word) for word in words] for scorer in (first, again, other)]
    assert margins[0] == margins[1] != margins[2]
    assert len(set(margins[0])) > 3  # some help, some harm, most are idle


async def test_it_charges_words_and_its_name_is_in_the_table() -> None:
    """`connect` opens it by name; usage counts the words on both sides of the mask."""
    async with connect("simulated/a-name") as scorer:
        assert scorer.name == "simulated/a-name"
        reply = await scorer.score(Request((Text("one two", "three"), Text("four")), LABELS))
    assert reply.usage.prompt_tokens == 4
