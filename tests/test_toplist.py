"""The rules of `bdpl_providers.toplist`."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bdpl_async.errors import UnusableAnswer
from bdpl_providers.toplist import by_id, checked, listed, pieces, standing, weigh
from tests.documents import JSON, distributions, entries

LABELS = (" Yes", " No")


def of(top: dict[str, object]) -> dict[str, float]:
    return listed({"top_logprobs": [top]})


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (None, "null"),
        (math.nan, "NaN"),
        ("NaN", "the text 'NaN'"),
        ("-0.5", "the text"),
        (True, "a boolean"),
        (False, "a boolean"),
        ({}, "an object"),
        ([-0.5], "a list"),
        (0.5, "above zero"),
        (1, "above zero"),
        (math.inf, "above zero"),
        (10**400, "above zero"),
    ],
)
def test_what_is_no_logprob_is_named(value: object, named: str) -> None:
    """An error says what stands there instead of a log-probability, and of which token."""
    with pytest.raises(UnusableAnswer, match=named) as caught:
        checked(value, "token_id:7")
    assert "token_id:7" in str(caught.value)


@pytest.mark.parametrize("value", [-9999.0, -9999, -1e9, -math.inf, -(10**400)])
def test_minus_infinity_is_a_low_number(value: float) -> None:
    """-9999 and all below stand for minus infinity and stay finite, so that no loss is NaN."""
    assert checked(value, "x") == -9999.0


@pytest.mark.parametrize("value", [-0.5, -2, 0, 0.0, 9e-4])
def test_numbers_pass_unchanged(value: float) -> None:
    """Integers and what rounding lifts a little above zero are log-probabilities."""
    assert checked(value, "x") == value


def test_both_forms_of_a_list_read_alike() -> None:
    """The list of completions and that of chat give the same tokens and numbers."""
    top: dict[str, object] = {" Yes": -0.5, " No": -1.0}
    assert of(top) == listed(entries(top)) == {" Yes": -0.5, " No": -1.0}


def test_a_token_that_stands_twice_counts_once() -> None:
    """The token written, which is added to the list, does not double its probability."""
    assert listed(entries([("a", -0.5), ("b", -2.0), ("a", -0.5)])) == {"a": -0.5, "b": -2.0}
    assert listed(entries([("a", -3), ("a", -1.0), ("a", -2.0)])) == {"a": -1.0}


@pytest.mark.parametrize(
    ("logprobs", "named"),
    [
        (None, "null or missing"),
        (True, "no object"),
        ({}, "no list"),
        ({"top_logprobs": None}, "no list"),
        ({"top_logprobs": []}, "no list"),
        ({"top_logprobs": [None]}, "no list"),
        ({"top_logprobs": [{}]}, "is empty"),
        ({"content": []}, "no list"),
        ({"content": [{"token": "a"}]}, "no list"),
        ({"content": [{"top_logprobs": []}]}, "is empty"),
        ({"content": [{"top_logprobs": ["a"]}]}, "no object"),
        ({"content": [{"top_logprobs": [{"logprob": -1.0}]}]}, "no text"),
        ({"content": [{"top_logprobs": [{"token": "a"}]}]}, "'a' is null"),
        ({"top_logprobs": [{"a": -0.5, "b": None}]}, "'b' is null"),
    ],
)
def test_a_list_that_cannot_be_read_says_why(logprobs: object, named: str) -> None:
    """Each way in which a list may be absent or damaged has its own words."""
    with pytest.raises(UnusableAnswer, match=named):
        listed(logprobs)


@given(JSON)
def test_any_value_is_a_list_or_an_error(logprobs: object) -> None:
    """Whatever stands in the place of a list, nothing but `UnusableAnswer` is raised."""
    try:
        found = listed(logprobs)
    except UnusableAnswer:
        return
    assert found
    assert all(-9999.0 <= value < 1e-3 for value in found.values())


@pytest.mark.parametrize("token", [" Yes", "ĠYes", "▁Yes"])
@pytest.mark.parametrize("loose", [True, False])
def test_a_leading_space_has_three_spellings(token: str, loose: bool) -> None:
    """A label word is found however the tokenizer writes its space."""
    assert standing(LABELS, [token, " the"], loose=loose) == [[token], []]


def test_a_missing_space_is_another_word_unless_loose() -> None:
    """After plain text "Yes" without its space is another token; in chat it is the same answer."""
    tokens = ["Yes", " Yes", "yes", "YES", "  Yes"]
    assert standing(LABELS, tokens, loose=False)[0] == [" Yes"]
    assert standing(LABELS, tokens, loose=True)[0] == ["Yes", " Yes"]


def test_spellings_of_one_word_add_up() -> None:
    """The probabilities of both spellings sum; the sum is the score and part of the mass."""
    found = of({"Yes": math.log(0.5), " Yes": math.log(0.25), "No": math.log(0.125)})
    score = weigh(found, standing(LABELS, found, loose=True), 3)
    assert score.logprobs == pytest.approx((math.log(0.75), math.log(0.125)))
    assert score.mass == pytest.approx(0.875)
    assert score.censored == (False, False)


def test_a_long_word_is_read_by_its_longest_piece() -> None:
    """A word that is no single token is read by the longest listed token that begins it."""
    labels, tokens = (" hyponym", " part"), [" h", " hyp", " hypo", " part", " hyponymous"]
    assert standing(labels, tokens, loose=False) == [[" hypo"], [" part"]]
    assert pieces(labels, tokens, loose=False) == {" hyponym": " hypo"}


def test_the_word_itself_goes_before_its_pieces() -> None:
    """A piece never joins the word: they are different tokens."""
    assert standing((" hyponym",), [" hypo", " hyponym"], loose=False) == [[" hyponym"]]
    assert pieces(LABELS, [" Yes", "ĠNo"], loose=False) == {}


def test_a_piece_shared_by_labels_stands_for_none() -> None:
    """What begins two labels, or is one of them, tells nothing of the longer one."""
    assert standing((" comparison", " compare"), [" compar"], loose=False) == [[], []]
    assert standing((" No", " Not sure"), [" No"], loose=False) == [[" No"], []]
    assert standing((" No", " Not sure"), [" No", " Not"], loose=False) == [[" No"], [" Not"]]


@pytest.mark.parametrize("token", ["", " ", "Ġ", " h", "nym", " Hypo", "▁h"])
def test_too_little_or_the_end_of_a_word_stands_for_nothing(token: str) -> None:
    """Fewer than two letters, another case, or the last piece never stand for a word."""
    assert standing((" hyponym", " part"), [token], loose=False) == [[], []]


def test_ids_are_found_by_their_number() -> None:
    """Of a list by ids each label has one token; a list by text is refused, not misread."""
    found = of({"token_id:7": -0.5, "token_id:70": -1.0})
    assert by_id(found, (70, 7, 8)) == [["token_id:70"], ["token_id:7"], []]
    with pytest.raises(UnusableAnswer, match="by text"):
        by_id(of({" Yes": -0.5}), (7,))


def test_a_label_not_listed_has_the_lesser_of_two_bounds() -> None:
    """A censored label gets log(min(p_k, 1 - sum)) and is marked; the mass is of what was seen."""
    found = of({" Yes": math.log(0.5), "a": math.log(0.3)})
    score = weigh(found, [[" Yes"], []], 2)
    assert score.logprobs == pytest.approx((math.log(0.5), math.log(0.2)), abs=1e-5)
    assert score.censored == (False, True)
    assert score.mass == pytest.approx(0.5)
    flat = of({" Yes": math.log(0.2), "a": math.log(0.1)})
    assert weigh(flat, [[" Yes"], []], 2).logprobs[1] == pytest.approx(math.log(0.1))


@pytest.mark.parametrize("added", [math.log(1e-4), -9999.0])
def test_the_token_that_is_added_does_not_lower_the_bound(added: float) -> None:
    """With k + 1 entries the bound is the k-th, even if the added one stands at minus infinity."""
    found = of({"a": math.log(0.4), "b": math.log(0.1), "written": added})
    assert weigh(found, [[]], 2).logprobs == pytest.approx((math.log(0.1),))


def test_rounding_above_one_leaves_a_finite_bound() -> None:
    """If the listed probabilities sum to more than one, the bound is low but no NaN."""
    found = of({" Yes": 9e-4, "a": -8.0})
    assert weigh(found, [[" Yes"], []], 2).logprobs == pytest.approx((9e-4, math.log(1e-6)))


def test_all_labels_censored_prefer_none() -> None:
    """If no label is listed all have the same bound, and the mass is nil."""
    score = weigh(of({" the": -0.1, " a": -3.0}), standing(LABELS, [" the"], loose=False), 2)
    assert score.logprobs[0] == score.logprobs[1] < 0
    assert (score.mass, score.censored) == (0.0, (True, True))


def test_a_list_of_nothing_but_minus_infinity_is_read() -> None:
    """Tokens at minus infinity, and their sums, keep the score finite."""
    found = of({" Yes": -9999.0, "Yes": -9999.0})
    score = weigh(found, [[" Yes", "Yes"], []], 2)
    assert score.logprobs == pytest.approx((-9999.0, 0.0), abs=1)
    assert score.mass == 0.0


@given(distributions(), st.data())
def test_a_bound_is_never_below_the_truth(truth: list[float], data: st.DataObject) -> None:
    """Listed labels are exact, censored ones bounded from above and below all listed, for any k."""
    k = data.draw(st.integers(1, len(truth)))
    names = [f" w{index}" for index in range(len(truth))]
    ranked = sorted(zip(names, truth, strict=True), key=lambda pair: -pair[1])
    written = data.draw(st.sampled_from(ranked))
    found = of(dict([*ranked[:k], written]))
    score = weigh(found, standing(names, found, loose=False), k)
    assert not any(score.censored[names.index(name)] for name, _ in ranked[:k])
    for value, true, censored in zip(score.logprobs, truth, score.censored, strict=True):
        assert value >= true if censored else value == true
        assert not censored or value <= ranked[k - 1][1]
