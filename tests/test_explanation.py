"""The rules of `bdpl_async.studies.explanation`."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bdpl_async.answers import Answers
from bdpl_async.errors import ConfigError
from bdpl_async.kept import LearnedPolicy
from bdpl_async.studies.explanation import flips, places

NAN, NEVER = float("nan"), -np.inf
NAMES = ("red", "blue", "green", "white")


def policy(*rows: list[float]) -> LearnedPolicy:
    return LearnedPolicy(NAMES, np.array(rows))


def answers(labels: list[int], rows: list[list[float]]) -> Answers:
    return Answers(np.array(labels), np.array(rows))


def test_entropy_is_told_in_nats_and_as_a_share_of_no_idea_at_all() -> None:
    """A uniform row has log N and a share of 1, a decided one 0 and 0, zeros and all."""
    unsure, sure = places(policy([0.25] * 4, [0.0, 1.0, 0.0, 0.0]), ("red", "blue"))
    assert (unsure.entropy, unsure.share) == pytest.approx((math.log(4), 1.0))
    assert (sure.entropy, sure.share) == (0.0, 0.0)


def test_the_likeliest_candidates_come_first() -> None:
    """At most `top` of them, equals in the vocabulary's order, and the prompt's own odds beside."""
    (place,) = places(policy([0.2, 0.2, 0.5, 0.1]), ("white",), top=3)
    assert [one.token for one in place.top] == ["green", "red", "blue"]
    assert (place.position, place.token, place.probability) == (1, "white", 0.1)


def test_a_token_that_is_no_candidate_has_no_odds() -> None:
    """It is 0 for a foreign token, and unknown where the prompt's length is another."""
    (foreign,) = places(policy([0.25] * 4), ("black",))
    assert foreign.probability == 0.0
    (unknown,) = places(policy([0.25] * 4), ())
    assert (unknown.token, unknown.probability) == (None, None)


@pytest.mark.parametrize("row", [[0.5, 0.5, 0.5, 0.5], [NAN, 0.5, 0.5, 0], [-0.5, 1.5, 0, 0]])
def test_what_is_no_distribution_is_refused(row: list[float]) -> None:
    """A row that does not sum to one, has a NaN or a negative number is named."""
    with pytest.raises(ConfigError, match=r"policy\.json"):
        places(policy(row), ("red",))


def test_examples_are_parted_by_which_prompt_gets_them_right() -> None:
    """Gained, lost, both, neither: together all of them, and by true label."""
    labels = [0, 1, 0, 1, 1]
    learned = answers(labels, [[-1, -2], [-1, -2], [-1, -3], [-2, -1], [-9, -1]])
    empty = answers(labels, [[-1, -2], [-1, -2], [-2, -1], [-1, -2], [-1, -2]])
    lost = answers(labels, [[-2, -1], [-1, -2], [-2, -1], [-1, -2], [-1, -2]])
    found = flips({"learned": learned, "empty": empty})
    assert found is not None
    assert (found.n, found.both_right, found.both_wrong) == (5, 1, 1)
    assert [flip.row for flip in found.gained] == [5, 3, 4]  # the clearest first
    assert found.by_label == ((2, 1, 0), (3, 2, 0))
    worse = flips({"learned": lost, "empty": learned})
    assert worse is not None
    assert {flip.row for flip in worse.lost} == {1, 3, 4, 5}
    assert worse.gained == ()


def test_the_margin_is_the_lead_of_the_true_label() -> None:
    """In nats, of either prompt; what is impossible counts as exp(-100), no answer as None."""
    learned = answers([0, 0, 0], [[-1, -3], [-1, NEVER], [-1, -2]])
    empty = answers([0, 0, 0], [[-2, -1], [NEVER, -1], [NAN, NAN]])
    found = flips({"learned": learned, "empty": empty})
    assert found is not None
    told = {flip.row: (flip.margin, flip.empty_margin) for flip in found.gained}
    assert told[1] == pytest.approx((2.0, -1.0))
    assert told[2] == pytest.approx((100.0, -100.0))
    assert told[3][0] == pytest.approx(1.0)
    assert told[3][1] is None
    assert [flip.empty for flip in found.gained if flip.row == 3] == [-1]


def test_without_both_sides_nothing_flipped() -> None:
    """A missing role, other shapes or no examples give None, not a wrong count."""
    one = answers([0], [[-1, -2]])
    none = Answers(np.zeros(0, np.int64), np.zeros((0, 2)))
    assert flips({"learned": one}) is None
    assert flips({}) is None
    assert flips({"learned": one, "empty": answers([0, 1], [[-1, -2]] * 2)}) is None
    assert flips({"learned": none, "empty": none}) is None
