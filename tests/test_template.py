"""The rules of `bdpl_async.template`."""

from __future__ import annotations

import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bdpl_async.errors import ConfigError, DataError
from bdpl_async.template import Template

REVIEW = "{prompt} {text} It was {mask}."
ROW = {"text": "Fine.", "title": "A film"}


def whole(template: str, prompt: str, row: dict[str, str] | None = None) -> str:
    """The text with ``[M]`` at the mask."""
    text = Template.parse(template).render(prompt, row or ROW)
    return f"{text.before}[M]{text.after}"


def test_fields_are_filled_and_the_text_is_cut_at_the_mask() -> None:
    """What stands before the mask keeps its trailing space; what stands after follows apart."""
    text = Template.parse(REVIEW).render("look here", ROW)
    assert text.before == "look here Fine. It was "
    assert text.after == "."


@pytest.mark.parametrize(
    ("template", "bare"),
    [
        (REVIEW, "Fine. It was [M]."),
        ("{text} {prompt} It was {mask}.", "Fine. It was [M]."),
        ("{text} It was {mask}. {prompt}", "Fine. It was [M]."),
        ("{text} {mask} {prompt} !", "Fine. [M] !"),
        ("{text} {prompt} {mask}", "Fine. [M]"),
        ("{text} {prompt}{mask}", "Fine. [M]"),
        ("Topic:{prompt} {text} {mask}", "Topic: Fine. [M]"),
        ("{prompt}{text} {mask}", "Fine. [M]"),
        ("{prompt}\n{text} {mask}", "\nFine. [M]"),
    ],
)
def test_the_empty_prompt_takes_its_space_along(template: str, bare: str) -> None:
    """No space is left doubled or at an edge, and no two things lose the space between them."""
    assert whole(template, "") == bare


def test_a_prompt_of_words_keeps_every_space() -> None:
    """Only the empty prompt drops a space."""
    assert whole("{text} {prompt} It was {mask}.", "so") == "Fine. so It was [M]."


def test_doubled_braces_are_literal() -> None:
    """``{{`` and ``}}`` are braces in the text, also right beside a field."""
    assert whole("{{{prompt}}} {{x}} {text}{mask}", "p") == "{p} {x} Fine.[M]"


@given(st.text(), st.text())
def test_values_go_in_as_they_are(value: str, prompt: str) -> None:
    """Braces, backslashes and spaces in a value or prompt mean nothing to the template."""
    found = whole("<{prompt}>{text}|{mask}", prompt, {"text": value})
    assert found == f"<{prompt}>{value}|[M]"


@given(st.text(), st.text(), st.sampled_from(["", "p q"]))
def test_cuttable_spans_are_the_column_values(one: str, other: str, prompt: str) -> None:
    """Spans count characters in before + after and hold the values, never prompt or template."""
    template = Template.parse("{prompt} A: {one} {mask} B: {other} {one}.")
    text = template.render(prompt, {"one": one, "other": other})
    values = [(text.before + text.after)[start:end] for start, end in text.cuttable]
    assert values == [value for value in (one, other, one) if value]


@given(st.text())
def test_literal_text_survives_escaping(literal: str) -> None:
    """Any text with its braces doubled stands in the result as it was."""
    escaped = literal.replace("{", "{{").replace("}", "}}")
    assert whole(f"{escaped}{{prompt}}{{text}}{{mask}}", "p") == f"{literal}pFine.[M]"


@given(st.text(alphabet="{}ab.! promptmask"))
def test_any_text_parses_or_is_refused(text: str) -> None:
    """Nothing but a ConfigError comes out of a bad template."""
    with suppress(ConfigError):
        assert Template.parse(text).columns


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{prompt} {text} { {mask}", "stray {"),
        ("{prompt} {text} } {mask}", "stray }"),
        ("{prompt} {text} {mask", "stray {"),
        ("{prompt} {} {mask}", "empty {}"),
        ("{prompt} { } {mask}", "empty { }"),
        ("{prompt} {0} {mask}", "has {0} at character 10"),
        ("{prompt} {a.b} {mask}", "has {a.b}"),
        ("{prompt} {a[0]} {mask}", "has {a[0]}"),
        ("{prompt} {a!r} {mask}", "has {a!r}"),
        ("{prompt} {a:>3} {mask}", "has {a:>3}"),
        ("{prompt} { text} {mask}", r"has { text}"),
        ("{text} {mask}", "has no {prompt}"),
        ("{prompt} {text}", "has no {mask}"),
        ("{prompt} {text} {mask} {mask}", "has 2 times {mask}"),
        ("{prompt} {prompt} {text} {mask}", "has 2 times {prompt}"),
        ("{prompt} {mask}", "no column of the data"),
        ("", "has no {prompt}"),
    ],
)
def test_what_is_amiss_is_named(template: str, problem: str) -> None:
    """Each mistake in a template has its own message."""
    with pytest.raises(ConfigError, match=re.escape(problem)) as caught:
        Template.parse(template, ["text"])
    assert repr(template) in str(caught.value)
    assert caught.value.hint


def test_an_unknown_column_is_met_with_the_nearest() -> None:
    """A column that the data lack is named, with what was probably meant and what there is."""
    with pytest.raises(ConfigError, match=r"names \{sentense\}") as caught:
        Template.parse("{prompt} {sentense} {mask}", ["sentence", "idx"])
    assert "did you mean {sentence}?" in str(caught.value)
    assert "sentence, idx" in str(caught.value)


def test_columns_are_named_once_in_order() -> None:
    """`columns` lists what must be read from the data, without prompt and mask."""
    assert Template.parse("{b} {prompt} {a} {b} {mask}").columns == ("b", "a")


def test_a_prompt_behind_the_mask_is_told_apart() -> None:
    """A causal model would never read a prompt after the mask, so callers can ask."""
    assert Template.parse(REVIEW).prompt_first
    assert not Template.parse("{text} {mask} {prompt}").prompt_first


@pytest.mark.parametrize(
    ("template", "first"),
    [
        (REVIEW, True),
        ("{text} {mask} {prompt}", True),
        ("{prompt} {mask} {text}", False),
        ("{a} {mask} {prompt} {b}", True),
        ("It was {mask}: {prompt} {text}", False),
    ],
)
def test_data_behind_the_mask_is_told_apart(template: str, first: bool) -> None:
    """A causal model reads a row only if one of its columns at least stands before the mask."""
    assert Template.parse(template).columns_first == first


def test_a_row_without_the_column_is_an_error() -> None:
    """Rendering a row that lacks a column names the column."""
    with pytest.raises(DataError, match=r"\{text\}, which a row lacks"):
        Template.parse(REVIEW).render("", {"title": "A film"})


def test_equal_templates_are_equal() -> None:
    """A template is a value: it can be compared and be a key."""
    assert {Template.parse(REVIEW)} == {Template.parse(REVIEW, ["text"])}
