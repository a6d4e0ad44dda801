"""Answers as servers write them, and the same answers with anything at any place."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

from bdpl_async.errors import UnusableAnswer
from bdpl_async.records import Score

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(10**400)
    | st.floats()
    | st.sampled_from([-9999.0, -1e5, 0, 1, -1, 0.5, "", "NaN", "-0.5", "token_id:1", " Yes"])
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["index", "token", "logprob", " Yes"]), inner, max_size=3)
    ),
    max_leaves=6,
)
"""Whatever a parser may hand out, numbers beyond JSON's included."""


def completion(*tops: Mapping[str, object]) -> dict[str, object]:
    """An answer of ``/completions``: one choice for each list of likely tokens."""
    choices = [
        {"index": index, "text": " No", "logprobs": {"top_logprobs": [dict(top)]}}
        for index, top in enumerate(tops)
    ]
    return {"object": "text_completion", "choices": choices, "usage": {"prompt_tokens": 3}}


def entries(top: Mapping[str, object] | Sequence[tuple[str, object]]) -> dict[str, object]:
    """``logprobs`` in the form of chat."""
    pairs = top.items() if isinstance(top, Mapping) else top
    named = [{"token": t, "logprob": value, "bytes": list(t.encode())} for t, value in pairs]
    return {"content": [{"token": "x", "logprob": -0.1, "top_logprobs": named}]}


def chat(
    top: Mapping[str, object] | Sequence[tuple[str, object]], content: object = "No"
) -> dict[str, object]:
    """An answer of ``/chat/completions``."""
    message = {"role": "assistant", "content": content}
    return {"choices": [{"index": 0, "message": message, "logprobs": entries(top)}]}


@st.composite
def broken(draw: st.DrawFn, document: dict[str, object]) -> dict[str, object]:
    """`document` with any JSON value in place of one of its values, or without it."""
    whole = copy.deepcopy(document)
    path = draw(st.sampled_from(list(_paths(whole))))
    place: Any = whole  # a dictionary or a list, as the path has it
    for step in path[:-1]:
        place = place[step]
    if draw(st.booleans()):
        place[path[-1]] = draw(JSON)
    else:
        del place[path[-1]]
    return whole


def proper(outcome: object) -> bool:
    """Whether `outcome` is an error with a message, or a score that no loss trips over."""
    if isinstance(outcome, UnusableAnswer):
        return bool(str(outcome))
    assert isinstance(outcome, Score)
    numbers = all(type(v) is float and -9999.0 <= v < 1e-3 for v in outcome.logprobs)
    return numbers and (outcome.mass is None or 0.0 <= outcome.mass <= 1.0)


@st.composite
def distributions(draw: st.DrawFn) -> list[float]:
    """Log-probabilities of a whole vocabulary of 3 to 40 tokens, summing to one."""
    logits = draw(st.lists(st.floats(-30, 30), min_size=3, max_size=40))
    top = max(logits)
    total = top + math.log(math.fsum(math.exp(value - top) for value in logits))
    return [value - total for value in logits]


def _paths(value: object) -> Iterator[tuple[int | str, ...]]:
    """The places in a document, each as the steps that lead there."""
    steps: list[tuple[int | str, object]] = []
    if isinstance(value, dict):
        steps = list(value.items())
    elif isinstance(value, list):
        steps = list(enumerate(value))
    for step, inner in steps:
        yield (step,)
        yield from ((step, *rest) for rest in _paths(inner))
