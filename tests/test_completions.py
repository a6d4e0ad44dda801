"""The rules of `bdpl_providers.completions`."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bdpl_async.errors import UnusableAnswer
from bdpl_async.losses import cross_entropy
from bdpl_async.records import Score
from bdpl_providers.completions import TokenIds, TopK, missing_ids
from bdpl_providers.wire import Document, Readout
from tests.documents import broken, completion, distributions, entries, proper

IDS = (352, 348)
LABELS = (" Yes", " No")
EXACT = TokenIds("tiny", IDS)
WELL = completion(*({"token_id:352": -1.0 - i, "token_id:348": -0.5} for i in range(3)))
LISTED = completion(*({" Yes": -1.0 - i, " No": -0.5, " the": -3.0} for i in range(3)))


def choices_of(document: dict[str, object]) -> list[dict[str, object]]:
    choices = document["choices"]
    assert isinstance(choices, list)
    return choices


def firsts(outcomes: list[Score | UnusableAnswer]) -> list[float | None]:
    """The first label's number of each score, None for an error."""
    return [outcome.logprobs[0] if isinstance(outcome, Score) else None for outcome in outcomes]


def the_score(outcomes: list[Score | UnusableAnswer]) -> Score:
    (outcome,) = outcomes
    assert isinstance(outcome, Score)
    return outcome


def the_error(outcomes: list[Score | UnusableAnswer]) -> UnusableAnswer:
    (outcome,) = outcomes
    assert isinstance(outcome, UnusableAnswer)
    return outcome


@pytest.mark.parametrize("readout", [EXACT, TopK("tiny", LABELS, 5), TopK("tiny", LABELS, 5, IDS)])
def test_one_token_is_asked_for_and_never_none(readout: Readout) -> None:
    """A body asks for one token at temperature 0: no token at all means anything to a server."""
    body = readout.body(["a", "b"])
    assert (body["max_tokens"], body["temperature"], readout.completion) == (1, 0, 1)
    assert (body["model"], body["prompt"], readout.path) == ("tiny", ["a", "b"], "/completions")
    assert readout.lists


def test_exact_ids_are_asked_for_and_named_by_id() -> None:
    """The ids travel, with the flag without which tokens of equal text would collide."""
    body = EXACT.body(["a"])
    assert (EXACT.name, body["prompt"], body["logprobs"]) == ("token-ids", ["a"], 1)
    assert (body["logprob_token_ids"], body["return_tokens_as_token_ids"]) == ([352, 348], True)


def test_a_single_prompt_is_a_string_for_servers_without_lists() -> None:
    """Top-k asks for k tokens, by id only where ids are known, one text without a list."""
    by_text, by_number = TopK("tiny", LABELS, 5), TopK("tiny", LABELS, 5, IDS)
    assert (by_text.name, by_text.body(["a"])["prompt"]) == ("logprobs", "a")
    assert by_text.body(["a"])["logprobs"] == 5
    assert "return_tokens_as_token_ids" not in by_text.body(["a"])
    assert by_number.body(["a"])["return_tokens_as_token_ids"] is True


@given(distributions(), st.data())
def test_exact_scores_are_the_servers_own_numbers(truth: list[float], data: st.DataObject) -> None:
    """Each label has exactly its log-probability, whatever else is listed; mass is their sum."""
    ids = data.draw(
        st.lists(st.sampled_from(range(len(truth))), min_size=2, unique=True).map(tuple)
    )
    written = truth.index(max(truth))
    top = {f"token_id:{token}": truth[token] for token in {*ids, written}}
    score = the_score(TokenIds("m", ids).scores(completion(top), 1))
    assert score.logprobs == tuple(truth[token] for token in ids)
    assert score.mass == pytest.approx(sum(math.exp(truth[token]) for token in ids))
    assert score.censored == ()


@pytest.mark.parametrize(
    ("readout", "document"),
    [(EXACT, WELL), (TopK("m", LABELS, 3), LISTED), (TopK("m", LABELS, 3, IDS), WELL)],
)
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (2, 1, 0)])
def test_choices_belong_to_texts_by_their_index(
    readout: Readout, document: dict[str, object], order: tuple[int, ...]
) -> None:
    """However the choices are shuffled, each text gets its own."""
    shuffled = {"choices": [choices_of(document)[place] for place in order]}
    assert firsts(readout.scores(shuffled, 3)) == [-1.0, -2.0, -3.0]


@pytest.mark.parametrize(
    "index", [0, 2, 3, -1, 10**400, True, None, "1", 1.0, 1.5, math.nan, [1], {}]
)
def test_a_wrong_index_costs_its_own_text_only(index: object) -> None:
    """A choice without a usable index, or with another's, leaves the other texts as they are."""
    choices = [dict(choice) for choice in choices_of(WELL)]
    choices[1]["index"] = index
    outcomes = EXACT.scores({"choices": choices}, 3)
    stolen = {index} if type(index) is int and index in (0, 2) else set()
    expected = [None if i == 1 or i in stolen else -1.0 - i for i in range(3)]
    assert firsts(outcomes) == expected
    assert isinstance(outcomes[1], UnusableAnswer)
    assert "tiny: no choice has the index 1" in str(outcomes[1])


def test_an_index_that_stands_twice_is_trusted_neither_time() -> None:
    """Two choices for one text, or three, are an error of that text alone."""
    first, second, _ = choices_of(WELL)
    for times in (2, 3):
        outcomes = EXACT.scores({"choices": [first, *[second] * times]}, 2)
        assert firsts(outcomes) == [-1.0, None]
        assert "several choices have the index 1" in str(outcomes[1])


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({}, "no list of choices"),
        ({"choices": None}, "no list of choices"),
        ({"choices": {"0": 1}}, "no list of choices"),
        ({"choices": []}, "the list of choices is empty"),
        ({"choices": [None, 3, "x", []]}, "no choice has the index 0"),
        ({"choices": [{"index": 0}]}, "logprobs is null or missing"),
        ({"choices": [{"index": 0, "logprobs": None}]}, "logprobs is null or missing"),
        ({"choices": [{"index": 0, "logprobs": {"top_logprobs": None}}]}, "without a list"),
        ({"choices": [{"index": 0, "logprobs": {"top_logprobs": []}}]}, "without a list"),
        ({"choices": [{"index": 0, "logprobs": {"top_logprobs": [None]}}]}, "without a list"),
    ],
)
def test_an_answer_without_numbers_says_what_is_missing(document: Document, named: str) -> None:
    """Each text has an error that names the model and the flaw; asking again may help."""
    error = the_error(EXACT.scores(document, 1))
    assert named in str(error)
    assert str(error).startswith("tiny: ")
    assert error.retryable


@pytest.mark.parametrize(
    ("value", "named"), [(None, "null"), (math.nan, "NaN"), ("NaN", "text"), (True, "boolean")]
)
def test_a_value_that_is_no_number_is_named(value: object, named: str) -> None:
    """One bad value makes its text unusable, by token and kind, and no other."""
    top = {"token_id:352": -1.0, "token_id:348": value}
    outcomes = EXACT.scores(completion({"token_id:352": -1.0, "token_id:348": -2}, top), 2)
    assert firsts(outcomes) == [-1.0, None]
    assert "token_id:348" in str(outcomes[1])
    assert named in str(outcomes[1])


def test_an_id_that_is_missing_is_named() -> None:
    """Another token in its place, even one whose id begins alike, does not stand for it."""
    error = the_error(EXACT.scores(completion({"token_id:352": -1.0, "token_id:3481": -1.0}), 1))
    assert "'token_id:348' is missing" in str(error)


@pytest.mark.parametrize("value", [-9999.0, -9999, -12345.5, -math.inf])
def test_minus_infinity_gives_a_floored_loss(value: float) -> None:
    """A label at minus infinity, or all of them, gives a finite loss and no NaN."""
    top = {"token_id:352": value, "token_id:348": -0.5}
    score = the_score(EXACT.scores(completion(top), 1))
    assert score.logprobs == (-9999.0, -0.5)
    assert cross_entropy([score.logprobs], [0])[0] == 100.0
    both = the_score(EXACT.scores(completion(dict.fromkeys(top, value)), 1))
    assert cross_entropy([both.logprobs], [0])[0] == pytest.approx(math.log(2))
    assert both.mass == 0.0


@pytest.mark.parametrize(
    ("document", "missing"),
    [
        (WELL, ()),
        (completion({"token_id:352": -1.0, "token_id:348": None}), ()),
        (completion({"token_id:348": -0.1}), (352,)),
        (completion({" No": -0.1}), IDS),
        (completion({"token_id:352": -1.0, "token_id:348": -0.5}, {"token_id:7": -0.1}), IDS),
        ({"choices": [{"index": 0, "logprobs": None}]}, IDS),
        ({"choices": []}, IDS),
        ({"choices": [None]}, IDS),
        ({}, IDS),
    ],
)
def test_a_server_that_ignores_the_ids_is_found_out(
    document: Document, missing: tuple[int, ...]
) -> None:
    """`missing_ids` names the ids that a 200 did not answer for, in any choice."""
    assert missing_ids(document, IDS) == missing


def test_top_k_reads_by_text_or_by_id_in_either_form() -> None:
    """Top-k finds labels in all forms seen, and marks one that is not listed as a bound."""
    top = {" No": math.log(0.5), " the": math.log(0.3), " a": math.log(0.1)}
    chat_form = {"choices": [{"index": 0, "logprobs": entries(top)}]}
    by_number: Mapping[str, object] = {"token_id:348": math.log(0.5), "token_id:1": math.log(0.1)}
    for readout, document in (
        (TopK("m", LABELS, 3), completion(top)),
        (TopK("m", LABELS, 3), chat_form),
        (TopK("m", LABELS, 2, IDS), completion(by_number)),
    ):
        score = the_score(readout.scores(document, 1))
        assert score.logprobs == pytest.approx((math.log(0.1), math.log(0.5)), abs=1e-4)
        assert score.censored == (True, False)
        assert score.mass == pytest.approx(0.5)


def test_top_k_by_id_is_not_fooled_by_text() -> None:
    """If ids were asked for and the server names tokens by text, that is an error, not a miss."""
    error = the_error(TopK("m", LABELS, 3, IDS).scores(completion({" Yes": -0.5}), 1))
    assert "by text" in str(error)


def test_pieces_tell_which_words_are_not_read_whole() -> None:
    """A label read by its first piece is told with the piece; whole words and ids tell nothing."""
    labels = (" hyponym", " part")
    document = completion({" hypo": -0.5, " part": -1.0})
    assert TopK("m", labels, 2).pieces(document) == {" hyponym": " hypo"}
    assert TopK("m", labels, 2, (1, 2)).pieces(document) == {}
    unreadable: list[Document] = [{}, {"choices": []}, {"choices": [{"logprobs": None}]}]
    for answer in unreadable:
        assert TopK("m", labels, 2).pieces(answer) == {}


@given(broken(WELL) | broken(LISTED))
def test_nothing_in_an_answer_raises(document: dict[str, object]) -> None:
    """Whatever stands wherever, each text has one outcome: a sound score or an error."""
    for readout in (EXACT, TopK("m", LABELS, 3), TopK("m", LABELS, 3, IDS)):
        outcomes = readout.scores(document, 3)
        assert len(outcomes) == 3
        assert all(map(proper, outcomes))
    missing_ids(document, IDS)
    TopK("m", LABELS, 3).pieces(document)


@given(broken({"choices": choices_of(WELL)[:1]}))
def test_a_broken_choice_leaves_its_neighbours(document: dict[str, object]) -> None:
    """Damage within one choice never changes the score of another with a proper index."""
    damaged = document.get("choices")
    mine = damaged if isinstance(damaged, list) else []
    claims = any(isinstance(c, dict) and c.get("index") in (1, 2) for c in mine)
    outcomes = EXACT.scores({"choices": [*mine, *choices_of(WELL)[1:]]}, 3)
    assert claims or firsts(outcomes[1:]) == [-2.0, -3.0]
