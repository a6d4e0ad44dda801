"""The rules of `bdpl_providers.chat`."""

from __future__ import annotations

import math

import pytest
from hypothesis import given

from bdpl_async.errors import UnusableAnswer
from bdpl_async.records import Score
from bdpl_providers.chat import ChatTopK
from bdpl_providers.wire import Document
from tests.documents import broken, chat, proper

LABELS = (" Yes", " No")
READ = ChatTopK("gpt", LABELS)
WELL = chat({"Yes": -0.5, "No": -1.0, " Yes": -4.0, "The": -5.0})


def test_a_conversation_is_the_text_and_a_line_that_asks() -> None:
    """One user message: the text, then a line that asks for exactly one of the label words."""
    body = READ.body(["Is it so? Answer:"])
    told = "Is it so? Answer:\nAnswer with exactly one of: Yes, No."
    assert body["messages"] == [{"role": "user", "content": told}]
    assert (READ.path, READ.name, READ.lists, READ.completion) == (
        ("/chat/completions", "chat", False, 1)
    )


def test_system_and_ask_are_the_users() -> None:
    """A system message goes first; the user's own line replaces ours, even an empty one."""
    body = ChatTopK("gpt", LABELS, 5, "Be brief.", "Yes or No?").body(["so"])
    assert body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "so\nYes or No?"},
    ]
    assert ChatTopK("gpt", LABELS, ask="").body(["so"])["messages"] == [
        {"role": "user", "content": "so\n"}
    ]


def test_one_token_and_the_list_are_asked_for() -> None:
    """The body asks for one token at temperature 0 and its list, under the name the model knows."""
    body = ChatTopK("gpt", LABELS, 7).body(["so"])
    assert (body["logprobs"], body["top_logprobs"]) == (True, 7)
    assert (body["max_tokens"], body["temperature"], body["model"]) == (1, 0, "gpt")
    newer = ChatTopK("gpt", LABELS, limit_key="max_completion_tokens").body(["so"])
    assert newer["max_completion_tokens"] == 1
    assert "max_tokens" not in newer


def test_extra_fields_lie_over_the_body() -> None:
    """What a model wants beside is added; None takes out what it does not bear."""
    body = ChatTopK("gpt", LABELS, extra={"reasoning_effort": "none", "temperature": None}).body(
        ["so"]
    )
    assert body["reasoning_effort"] == "none"
    assert "temperature" not in body


def test_a_conversation_holds_one_text() -> None:
    """Several texts in one conversation would be one answer: that is refused here."""
    with pytest.raises(ValueError, match="values to unpack"):
        READ.body(["a", "b"])
    with pytest.raises(ValueError, match="one text, not 2"):
        READ.scores(WELL, 2)


def test_both_spellings_of_a_word_add_up() -> None:
    """A label counts with and without its space; one not listed is a bound."""
    (score,) = READ.scores(WELL, 1)
    assert isinstance(score, Score)
    assert score.logprobs == pytest.approx((math.log(math.exp(-0.5) + math.exp(-4)), -1.0))
    assert score.censored == (False, False)
    (half,) = READ.scores(chat({"Yes": -0.5, "The": -3.0}), 1)
    assert isinstance(half, Score)
    assert half.logprobs == pytest.approx((-0.5, -3.0))
    assert half.censored == (False, True)
    assert half.mass == pytest.approx(math.exp(-0.5))


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({}, "no choice"),
        ({"choices": []}, "choices is empty"),
        ({"choices": [None]}, "no choice"),
        ({"choices": [{"message": {"content": "Yes"}}]}, "logprobs is null"),
        ({"choices": [{"logprobs": None}]}, "logprobs is null"),
        ({"choices": [{"logprobs": {"content": None}}]}, "no list"),
        (chat({"Yes": None}), "'Yes' is null"),
        (chat({}), "is empty"),
    ],
)
def test_an_answer_without_a_list_says_why(document: Document, named: str) -> None:
    """The error names the model and what is wrong with the answer."""
    (error,) = READ.scores(document, 1)
    assert isinstance(error, UnusableAnswer)
    assert named in str(error)
    assert str(error).startswith("gpt: ")


def test_pieces_tell_which_words_are_not_read_whole() -> None:
    """A label read by its first piece is told, with the piece; whole words tell nothing."""
    readout = ChatTopK("gpt", (" hyponym", " part"))
    assert readout.pieces(chat({"hyp": -0.5, "Part": -1.0})) == {" hyponym": "hyp"}
    assert READ.pieces(WELL) == {}
    assert READ.pieces({}) == {}


@given(broken(WELL))
def test_nothing_in_an_answer_raises(document: dict[str, object]) -> None:
    """Whatever stands wherever, there is one outcome: a sound score or an error."""
    outcomes = READ.scores(document, 1)
    assert len(outcomes) == 1
    assert all(map(proper, outcomes))
    READ.pieces(document)
