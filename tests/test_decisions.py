"""The read-out of decisions: bodies as the protocol wants them, nothing in an answer is trusted."""

from __future__ import annotations

import math
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bdpl_async.errors import LabelError, UnusableAnswer
from bdpl_async.records import Score
from bdpl_providers.decisions import LEAST, MOST_CHOICES, MOST_QUESTIONS, Decisions
from bdpl_providers.wire import Readout

MODEL = "gpt-6-luna"
WORDS = (" terrible", " great")


def readout() -> Decisions:
    return Decisions(MODEL, WORDS)


def answer(name: object, *shares: object, kind: str = "choice") -> dict[str, object]:
    words = ("terrible", "great")
    listed = [{"value": w, "probability": p} for w, p in zip(words, shares, strict=True)]
    return {"type": kind, "name": name, "choice": "great", "probabilities": listed}


def document(*answers: object) -> dict[str, object]:
    return {"answers": list(answers), "model": MODEL}


def only(outcomes: list[Score | UnusableAnswer]) -> Score | UnusableAnswer:
    (outcome,) = outcomes
    return outcome


def test_a_body_asks_one_named_question_per_text() -> None:
    """A body holds a choice question for each text, with the label words stripped as choices."""
    body = readout().body(["p a It was", "p b It was"])
    questions = cast(list[dict[str, object]], body["questions"])
    assert body["model"] == MODEL
    assert isinstance(body["input"], str)
    assert [question["type"] for question in questions] == ["choice", "choice"]
    assert [question["name"] for question in questions] == ["text-0", "text-1"]
    assert [question["choices"] for question in questions] == [
        [{"value": "terrible"}, {"value": "great"}]
    ] * 2
    assert (
        questions[1]["instructions"] == "p b It was\nAnswer with exactly one of: terrible, great."
    )


def test_a_text_is_asked_in_the_same_form_alone_and_with_others() -> None:
    """Only the name of a question depends on its neighbours, so answers may be kept per text."""
    alone = readout().body(["b"])
    both = readout().body(["a", "b"])
    one = cast(list[dict[str, object]], alone["questions"])[0]
    two = cast(list[dict[str, object]], both["questions"])[1]
    assert {**one, "name": ""} == {**two, "name": ""}
    assert {**alone, "questions": 0} == {**both, "questions": 0}


def test_system_and_ask_are_the_users() -> None:
    """`system` stands before all questions, `ask` behind each text."""
    body = Decisions(MODEL, WORDS, system="You are a critic.", ask="Which?").body(["a"])
    assert body["input"] == "You are a critic."
    assert cast(list[dict[str, object]], body["questions"])[0]["instructions"] == "a\nWhich?"


def test_a_body_holds_at_most_four_hundred_texts() -> None:
    """More questions than the protocol takes, or none, never leave."""
    assert len(cast(list[object], readout().body(["x"] * MOST_QUESTIONS)["questions"])) == 400
    with pytest.raises(ValueError, match="401"):
        readout().body(["x"] * 401)
    with pytest.raises(ValueError, match="not 0"):
        readout().body([])


def test_probabilities_become_log_probabilities() -> None:
    """A score is the logarithm of what came, in the order of the labels; the mass is their sum."""
    flipped = answer("text-0", 0.25, 0.74)
    cast(list[object], flipped["probabilities"]).reverse()
    score = only(readout().scores(document(flipped), 1))
    assert isinstance(score, Score)
    assert score.logprobs == pytest.approx((math.log(0.25), math.log(0.74)))
    assert score.mass == pytest.approx(0.99)
    assert score.censored == (False, False)


def test_values_at_the_rounding_are_bounds() -> None:
    """A probability near 0 is clamped and marked as an upper bound; one of 1 stays finite."""
    score = only(readout().scores(document(answer("text-0", 0.0, 1.0)), 1))
    assert isinstance(score, Score)
    assert score.logprobs == pytest.approx((math.log(LEAST), 0.0), abs=1e-5)
    assert score.logprobs[1] < 0
    assert score.censored == (True, False)
    assert score.mass == 1.0


def test_a_sum_that_rounding_lifts_above_one_is_scaled() -> None:
    """Probabilities never sum to more than 1, whatever their rounding."""
    score = only(readout().scores(document(answer("text-0", 0.5005, 0.501)), 1))
    assert isinstance(score, Score)
    assert math.fsum(map(math.exp, score.logprobs)) == pytest.approx(1.0)
    assert score.mass == 1.0


@given(st.permutations(range(5)))
def test_answers_are_matched_by_name(order: list[int]) -> None:
    """Whatever the order of named answers, each text gets its own."""
    shares = [0.1, 0.2, 0.3, 0.4, 0.5]
    shuffled = document(*(answer(f"text-{i}", shares[i], 1 - shares[i]) for i in order))
    for share, score in zip(shares, readout().scores(shuffled, 5), strict=True):
        assert isinstance(score, Score)
        assert score.logprobs[0] == pytest.approx(math.log(share))


def test_order_counts_only_where_no_answer_has_a_name() -> None:
    """Answers without names come in the order of the questions, if there are as many."""
    bare = document(answer(None, 0.1, 0.9), answer(None, 0.8, 0.2))
    first, second = readout().scores(bare, 2)
    assert isinstance(first, Score)
    assert isinstance(second, Score)
    assert (first.logprobs[0], second.logprobs[0]) == pytest.approx((math.log(0.1), math.log(0.8)))
    assert all(isinstance(found, UnusableAnswer) for found in readout().scores(bare, 3))
    mixed = document(answer(None, 0.1, 0.9), answer("text-1", 0.8, 0.2))
    unnamed, named = readout().scores(mixed, 2)
    assert isinstance(unnamed, UnusableAnswer)
    assert isinstance(named, Score)


def test_a_refusal_fails_its_text_alone_and_for_good() -> None:
    """A refusal is not asked again and leaves its neighbours their answers."""
    declined = {"type": "refusal", "name": "text-0"}
    refused, fine = readout().scores(document(declined, answer("text-1", 0.5, 0.5)), 2)
    assert isinstance(refused, UnusableAnswer)
    assert "refusal" in str(refused)
    assert not refused.retryable
    assert isinstance(fine, Score)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (document(), "no answer is named 'text-0'"),
        ({}, "no list of answers"),
        ({"answers": {"text-0": 1}}, "no list of answers"),
        (document("yes"), "is no object"),
        (document(answer("text-9", 0.5, 0.5)), "no answer is named"),
        (document(answer("text-0", 0.5, 0.5), answer("text-0", 0.4, 0.6)), "2 answers are named"),
        (document({"type": "choice", "name": "text-0"}), "no list of probabilities"),
        (document({"type": "predicate", "name": "text-0", "probability": 0.4}), "no list of"),
        (document(answer("text-0", None, 0.5)), "null as the probability of 'terrible'"),
        (document(answer("text-0", "0.5", 0.5)), "a str as the probability"),
        (document(answer("text-0", True, 0.5)), "a bool as the probability"),
        (document(answer("text-0", math.nan, 0.5)), "outside 0 to 1"),
        (document(answer("text-0", -0.1, 0.5)), "outside 0 to 1"),
        (document(answer("text-0", 10**400, 0.5)), "outside 0 to 1"),
        (document(answer("text-0", 0.0, 0.0)), "sum to 0"),
        (document(answer("text-0", 0.9, 0.9)), "sum to 1.8"),
        (
            document({"name": "text-0", "probabilities": [{"value": "great", "probability": 1}]}),
            "no probability for 'terrible'",
        ),
        (
            document(
                {"name": "text-0", "probabilities": [{"value": "great", "probability": 0.5}] * 2}
            ),
            "'great' twice",
        ),
    ],
)
def test_what_cannot_be_read_is_named(broken: dict[str, object], said: str) -> None:
    """An answer without usable numbers is an error in place that says what is wrong."""
    outcome = only(readout().scores(broken, 1))
    assert isinstance(outcome, UnusableAnswer)
    assert said in str(outcome)
    assert MODEL in str(outcome)
    assert outcome.retryable


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["answers", "name", "type", "probabilities", "value", "probability", "x"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.just("answers"), junk), st.integers(1, 4))
def test_no_document_breaks_the_reader(anything: dict[str, object], count: int) -> None:
    """Whatever comes, there is one outcome per text and nothing is raised."""
    outcomes = readout().scores(anything, count)
    assert len(outcomes) == count
    assert all(isinstance(outcome, Score | UnusableAnswer) for outcome in outcomes)


def test_label_words_must_be_choices() -> None:
    """Two to 255 words that differ in more than spaces; anything else is refused unsent."""
    with pytest.raises(LabelError, match="not all different"):
        Decisions(MODEL, (" yes", "yes"))
    with pytest.raises(LabelError, match="not all different"):
        Decisions(MODEL, (" yes", "  "))
    with pytest.raises(LabelError, match="not 1"):
        Decisions(MODEL, (" yes",))
    with pytest.raises(LabelError, match="not 256"):
        Decisions(MODEL, tuple(map(str, range(256))))
    Decisions(MODEL, tuple(map(str, range(MOST_CHOICES))))


def test_bodies_and_answers_are_those_of_the_sdk() -> None:
    """A body has the fields that the openai package knows, a reply of its type is read."""
    params = pytest.importorskip("openai.types.decision_create_params")
    replies = pytest.importorskip("openai.types.decision")
    body = readout().body(["a"])
    (question,) = cast(list[dict[str, object]], body["questions"])
    (first, _) = cast(list[dict[str, object]], question["choices"])
    assert set(body) <= set(params.DecisionCreateParams.__annotations__)
    assert set(question) <= set(params.QuestionQuestionParamChoice.__annotations__)
    assert set(first) <= set(params.QuestionQuestionParamChoiceChoice.__annotations__)
    usage: dict[str, object] = {"input_tokens": 9, "output_tokens": 1, "total_tokens": 10}
    usage |= {"input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0}}
    usage |= {"output_tokens_details": {"reasoning_tokens": 0}}
    typed = replies.Decision.model_validate(
        {**document({**answer("text-0", 0.5, 0.5), "confidence": 0.5}), "usage": usage}
    )
    assert isinstance(only(readout().scores(typed.model_dump(), 1)), Score)


def test_it_is_a_readout() -> None:
    """The class has what the border between read-outs and transports asks for."""
    protocol: Readout = readout()
    assert (protocol.name, protocol.path, protocol.lists) == ("decisions", "/decisions", True)
