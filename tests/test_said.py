"""The rules of `bdpl_providers.said`."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bdpl_async.errors import UnusableAnswer
from bdpl_async.losses import cross_entropy
from bdpl_async.records import Score
from bdpl_providers.said import Said, label_said
from tests.documents import broken, chat, proper

LABELS = (" Yes", " No")
WELL = chat({}, "Yes.")
PLAIN: dict[str, object] = {
    "choices": [{"index": i, "text": t} for i, t in enumerate([" No", "?"])]
}


@pytest.mark.parametrize(
    "answer",
    [
        *("Yes", " yes", "YES.", '"Yes"', "**Yes**", "_Yes_", "`yes`\n", "\n- Yes, it is", "“Yes”"),
        *("(yes)", "The answer is yes.", "Answer: Yes", "I say **Yes**!", "yes, yes", "Yes or No"),
    ],
)
def test_a_label_word_is_heard(answer: str) -> None:
    """An answer that begins with a label word, or names one alone, says it, dressed as it may."""
    assert label_said(answer, LABELS) == 0


@pytest.mark.parametrize(
    "answer",
    ["", "   ", "?!", "Yesterday", "Nothing", "eyes", "Yes1", "I know", "either yes or no"],
)
def test_no_or_several_label_words_are_not_guessed(answer: str) -> None:
    """Parts of words are no label words, and of two named within a text neither is taken."""
    assert label_said(answer, LABELS) is None


def test_the_longer_of_two_words_is_heard() -> None:
    """Where one label word begins another, the longer that fits is meant; space may be any."""
    labels = (" good", " very good", " very")
    assert label_said("Very  good!", labels) == 1
    assert label_said("very bad", labels) == 2
    assert label_said("I find it very\ngood", labels) == 1
    assert label_said("Good", labels) == 0


def test_words_that_differ_by_case_alone_are_told_apart() -> None:
    """If two label words differ only in case, case counts."""
    assert label_said("US", (" us", " US")) == 1
    assert label_said("us", (" us", " US")) == 0


def test_signs_can_be_label_words() -> None:
    """A label word without letters is found as it is written, not as a pattern."""
    assert label_said("+", (" +", " -")) == 0
    assert label_said(".*", (" +", " .*")) == 1


WORDS = st.text(st.sampled_from("abcXYé0 .*+?()[]\\|^$-"), min_size=1, max_size=5)


@given(st.lists(WORDS, min_size=1, max_size=4), st.data())
def test_a_label_word_alone_is_heard_whatever_it_looks_like(
    labels: list[str], data: st.DataObject
) -> None:
    """An answer that is a label word says it, whatever signs it holds and others beside it."""
    words = [label for label in labels if any(map(str.isalnum, label))]
    assume(words and len({" ".join(w.split()).casefold() for w in words}) == len(words))
    index = data.draw(st.integers(0, len(words) - 1))
    assert label_said(f" {words[index]} ", words) == index


def test_a_few_tokens_are_asked_for_in_either_dialect() -> None:
    """At most eight tokens at temperature 0; a plain server is sent the text alone."""
    spoken = Said("gpt", LABELS, "Be brief.", extra={"reasoning_effort": "none"})
    body = spoken.body(["so"])
    assert (body["max_tokens"], body["temperature"], spoken.completion) == (8, 0, 8)
    assert body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "so\nAnswer with exactly one of: Yes, No."},
    ]
    assert body["reasoning_effort"] == "none"
    plain = Said("gpt", LABELS, chat=False)
    assert plain.body(["so"]) == {
        "model": "gpt",
        "prompt": "so",
        "max_tokens": 8,
        "temperature": 0,
    }
    assert plain.body(["a", "b"])["prompt"] == ["a", "b"]
    assert (spoken.path, spoken.lists) == ("/chat/completions", False)
    assert (plain.path, plain.lists, plain.name) == ("/completions", True, "text")
    newer = Said("gpt", LABELS, limit_key="max_completion_tokens").body(["so"])
    assert (newer.get("max_completion_tokens"), newer.get("max_tokens")) == (8, None)


def test_the_score_has_two_values_and_says_so() -> None:
    """The label said gets log 0.9, the others share 0.1, all censored, without a mass."""
    (score,) = Said("gpt", (" a", " b", " c")).scores(chat({}, "B"), 1)
    assert isinstance(score, Score)
    assert score.logprobs == pytest.approx((math.log(0.05), math.log(0.9), math.log(0.05)))
    assert (score.mass, score.censored) == (None, (True, True, True))
    assert cross_entropy([score.logprobs], [1])[0] == pytest.approx(-math.log(0.9))


def test_an_answer_without_a_label_word_is_quoted_and_final() -> None:
    """The error quotes forty characters at most; the model would say the same again."""
    (error,) = Said("gpt", LABELS).scores(chat({}, "x" * 39 + "yz"), 1)
    assert isinstance(error, UnusableAnswer)
    assert f"'{'x' * 39}y'" in str(error)
    assert not error.retryable


@pytest.mark.parametrize("content", [None, 3, ["Yes"], {"text": "Yes"}])
def test_no_text_is_no_answer(content: object) -> None:
    """A content that is no text, as of a model still thinking, is an error that says so."""
    document = chat({}, content)
    (error,) = Said("gpt", LABELS).scores(document, 1)
    assert isinstance(error, UnusableAnswer)
    assert "content is " in str(error)
    assert not error.retryable


def test_plain_answers_belong_to_texts_by_their_index() -> None:
    """Of several texts each has its own outcome, and one without a label word fails alone."""
    first, second = Said("m", LABELS, chat=False).scores(PLAIN, 2)
    assert isinstance(first, Score)
    assert first.logprobs.index(max(first.logprobs)) == 1
    assert isinstance(second, UnusableAnswer)
    assert "m: choice 1: the answer '?'" in str(second)


@given(broken(WELL), broken(PLAIN))
def test_nothing_in_an_answer_raises(spoken: dict[str, object], plain: dict[str, object]) -> None:
    """Whatever stands wherever, each text has one outcome: a sound score or an error."""
    (outcome,) = Said("m", LABELS).scores(spoken, 1)
    outcomes = Said("m", LABELS, chat=False).scores(plain, 2)
    assert len(outcomes) == 2
    assert all(map(proper, [outcome, *outcomes]))
