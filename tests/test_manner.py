"""The manner of a model: guessed by its name, learned from its refusals, each lesson once."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bdpl_providers.manner import LESSONS, ROOM, Manner, first_guess, relearned

FIELDS = ("max_tokens", "max_completion_tokens", "temperature", "logprobs", "reasoning_effort")


@pytest.mark.parametrize(
    ("name", "manner"),
    [
        ("gpt-4o-mini", Manner("max_tokens", 1, None)),
        ("ft:gpt-4.1:mine", Manner("max_tokens", 1, None)),
        ("gpt-3.5-turbo", Manner("max_tokens", 1, None)),
        ("o3", Manner(effort="low", room=ROOM)),
        ("gpt-5", Manner(effort="minimal", room=ROOM)),
        ("gpt-5-mini", Manner(effort="minimal", room=ROOM)),
        ("gpt-5.1", Manner()),
        ("gpt-5-chat-latest", Manner()),
        ("gpt-6-luna", Manner()),
        ("something-new", Manner()),
    ],
)
def test_a_name_suggests_a_manner(name: str, manner: Manner) -> None:
    """Old chat models take the common body, old reasoners think, all others are told not to."""
    assert first_guess(name) == manner


def test_the_supported_values_are_believed() -> None:
    """The least effort that a refusal offers is taken; thinking gets room, not thinking none."""
    refusal = (
        "Unsupported value: 'reasoning_effort' does not support 'none' with this model. "
        "Supported values are: 'high', 'low', and 'medium'."
    )
    found = relearned(Manner(), refusal)
    assert found is not None
    assert (found[0].effort, found[0].room) == ("low", ROOM)
    assert relearned(found[0], "'logprobs' is not supported with this model") is None


def test_room_is_for_thinking_alone() -> None:
    """A body that asks for probabilities gets no room to think: it would get none of them."""
    manner = first_guess("o3")
    listing = manner.applied({"messages": [], "max_tokens": 1, "logprobs": True})
    assert listing["max_completion_tokens"] == 4
    assert manner.applied({"messages": [], "max_tokens": 8})["max_completion_tokens"] == 8 + ROOM


def test_a_manner_is_spelled_by_what_it_changes() -> None:
    """Two ways to the same manner are the same manner, and its spelling is canonical JSON."""
    learned = relearned(Manner("max_tokens"), "use max_completion_tokens instead of max_tokens")
    assert learned is not None
    assert learned[0].spelled() == Manner().spelled()
    assert list(json.loads(Manner().spelled())) == sorted(json.loads(Manner().spelled()))
    assert "learned" not in json.loads(Manner().spelled())


words = st.text(max_size=40) | st.lists(
    st.sampled_from(
        [*FIELDS, "unsupported", "not", "supported values are:", "'none'", "'low'", "finish"],
    ),
    max_size=8,
).map(" ".join)


@given(st.lists(words, max_size=30), st.sampled_from(["gpt-4o", "o3", "gpt-5.1", "gpt-5", "x"]))
def test_learning_ends(refusals: list[str], name: str) -> None:
    """Whatever a server says, each lesson is learned once, and a body keeps all that it asks."""
    manner, learned = first_guess(name), 0
    for refusal in refusals * 2:
        if (found := relearned(manner, refusal)) is not None:
            manner, learned = found[0], learned + 1
    assert learned <= len(LESSONS)
    body = {"model": name, "messages": [1], "max_tokens": 1, "logprobs": True, "temperature": 0}
    told = manner.applied(body)
    assert (told["model"], told["messages"], told["logprobs"]) == (name, [1], True)
    assert told[manner.limit_key] == manner.least
    assert len(set(told) & {"max_tokens", "max_completion_tokens"}) == 1
    assert body["max_tokens"] == 1


def test_a_long_text_teaches_nothing() -> None:
    """A refusal that names no field changes nothing, and neither does one of the list's length."""
    for refusal in (
        "This model's maximum context length is 8192 tokens.",
        "Invalid 'top_logprobs': must be less than or equal to 5.",
        "",
    ):
        assert relearned(first_guess("gpt-4o"), refusal) is None
        assert relearned(Manner(), refusal) is None
