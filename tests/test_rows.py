"""The rules of `bdpl_async.saving.rows`: what became of a text comes back from JSON as it was."""

from __future__ import annotations

import math
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bdpl_async.caching.cache import Entry
from bdpl_async.errors import Fate, ProviderError, RequestFailed, ServerFault, UnusableAnswer
from bdpl_async.records import Score
from bdpl_async.saving.rows import MESSAGE, found, row, size

NAME = bytes(range(16))
LOGPROBS = st.floats(max_value=0.0, allow_nan=False) | st.just(-math.inf)
TOKENS = st.integers(0, 10**12)
FATES = st.sampled_from(["unsent", "refused", "unknown"])
ANY = st.text(st.characters())  # half surrogates and control characters among them
SHORT = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=MESSAGE)


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    labels = draw(st.integers(1, 12))
    flags = st.just(()) | st.tuples(*[st.booleans()] * labels)
    mass = st.none() | st.floats(0.0, 2.0)
    logprobs = draw(st.tuples(*[LOGPROBS] * labels))
    return Entry(Score(logprobs, draw(mass), draw(flags)), draw(TOKENS), draw(TOKENS))


def errors(said: st.SearchStrategy[str]) -> st.SearchStrategy[ProviderError]:
    hint = st.none() | said

    def failed(message: str, hint: str | None, fate: Fate) -> ProviderError:
        return RequestFailed(message, hint=hint, fate=fate)

    def fault(message: str, hint: str | None, fate: Fate) -> ProviderError:
        return ServerFault(message, hint=hint, fate=fate)

    def unusable(message: str, hint: str | None, retryable: bool) -> ProviderError:
        return UnusableAnswer(message, hint=hint, retryable=retryable)

    known = st.builds(failed, said, hint, FATES) | st.builds(fault, said, hint, FATES)
    return known | st.builds(unusable, said, hint, st.booleans())


def through(outcome: Any) -> tuple[bytes, Any]:
    return found(orjson.loads(orjson.dumps(row(NAME, outcome))))


@given(entries())
def test_answers_come_back_bit_for_bit(entry: Entry) -> None:
    """Minus infinity, no mass and flags of what was censored among them."""
    name, back = through(entry)
    assert (name, back) == (NAME, entry)
    assert repr(back) == repr(entry)  # the sign of a zero too


@given(errors(SHORT))
def test_failures_come_back(error: ProviderError) -> None:
    """Their class, what they said, and what the ledger and another try go by."""
    name, back = through(error)
    assert name == NAME
    assert type(back) is type(error)
    assert (back.args, back.hint) == (error.args, error.hint)
    assert (back.fate, back.retryable) == (error.fate, error.retryable)


@given(errors(ANY))
def test_whatever_was_said_is_kept_as_far_as_it_goes(error: ProviderError) -> None:
    """No text that came from outside stops a run: what cannot be spelled is a question mark."""
    _, back = through(error)
    assert type(back) is type(error)
    assert len(back.args[0]) <= MESSAGE
    again = through(back)[1]
    assert (again.args, again.hint) == (back.args, back.hint)


@given(
    entries()
    | errors(ANY | st.sampled_from(['"' * 999, "\x00" * 999, "\u00e9" * 999, "\U0001f600" * 99]))
)
def test_a_row_takes_no_more_than_it_says(outcome: Entry | ProviderError) -> None:
    """Room is kept by this: with all quotes, control characters and wide ones it still fits."""
    labels = len(outcome.score.logprobs) if isinstance(outcome, Entry) else 2
    names = len(orjson.dumps(["vain", [NAME.hex()]])) + len(orjson.dumps(["part", [NAME.hex()]]))
    assert len(orjson.dumps(row(NAME, outcome))) + names <= size(labels)


@pytest.mark.parametrize(
    "damaged",
    [
        [],
        ["00"],
        ["zz", [-1.0], None, "", 0, 0],
        ["00", [-1.0], None, "", 0],
        ["00", [-1.0], None, "", "x", 0],
        ["00", 3, None, "", 0, 0],
        ["00", "RequestFailed", "no", None, "lost", False],
        ["00", "OSError", "no", None, "unknown", False],
        ["00", "RequestFailed"],
        [7, [-1.0], None, "", 0, 0],
    ],
)
def test_what_is_no_row_is_refused(damaged: list[Any]) -> None:
    """By errors that the reader of a folder names as its damage."""
    with pytest.raises((TypeError, ValueError, KeyError)):
        found(damaged)
