"""The rules of `bdpl_async.selection`."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bdpl_async.selection import evaluations, halving, paired_means, survivors

FINALISTS = st.integers(1, 40)
EXAMPLES = st.integers(1, 500)


def select(losses: NDArray[np.float64]) -> tuple[int, list[int]]:
    """Play all rounds on a table (prompts, examples): the winner, and the cells each uncovers."""
    rounds = halving(*losses.shape)
    alive, uncovered, done = list(range(len(losses))), [], 0
    for number, stage in enumerate(rounds):
        assert len(alive) == stage.alive
        uncovered.append(len(alive) * (stage.upto - done))
        done = stage.upto
        keep = rounds[number + 1].alive if number + 1 < len(rounds) else 1
        alive = [alive[i] for i in survivors(losses[alive, :done], keep)]
    return alive[0], uncovered


@given(FINALISTS, EXAMPLES)
def test_rounds_shrink_the_field_and_end_on_all_examples(finalists: int, examples: int) -> None:
    """Fewer prompts see more examples each round; the winner has seen them all."""
    rounds = halving(finalists, examples)
    assert rounds[0].alive == finalists
    assert rounds[-1].upto == examples
    for earlier, later in pairwise(rounds):
        assert later.alive == max(1, (earlier.alive + 1) // 2)
        assert later.upto > earlier.upto
    assert rounds[0].upto >= min(16, examples)


@given(FINALISTS, EXAMPLES)
def test_the_price_is_what_is_asked(finalists: int, examples: int) -> None:
    """`evaluations` counts every cell that a selection uncovers, none twice, round by round."""
    table = np.zeros((finalists, examples))
    assert select(table)[1] == evaluations(halving(finalists, examples))


@given(FINALISTS, EXAMPLES)
def test_halving_never_costs_more_than_all_on_all(finalists: int, examples: int) -> None:
    """The winner's full score is in the price, and the rest is at most a full comparison."""
    price = sum(evaluations(halving(finalists, examples)))
    assert examples <= price <= finalists * examples


def test_halving_saves_where_there_is_something_to_save() -> None:
    """Sixteen finalists on 256 examples take less than a third of 4,096 evaluations."""
    assert sum(evaluations(halving(16, 256))) < 4096 / 3


@given(FINALISTS, EXAMPLES, st.integers(0, 2**32))
def test_without_noise_the_best_wins(finalists: int, examples: int, seed: int) -> None:
    """Where examples differ in difficulty alone, the prompt with the lowest loss is chosen."""
    rng = np.random.default_rng(seed)
    worth, difficulty = rng.permutation(finalists), rng.normal(size=examples)
    winner, _ = select(worth[:, None] + difficulty)
    assert winner == int(np.argmin(worth))


@given(FINALISTS, EXAMPLES)
def test_ties_go_to_the_earlier(finalists: int, examples: int) -> None:
    """Prompts of equal loss keep their order, so the best guess stands first and stays."""
    assert select(np.zeros((finalists, examples)))[0] == 0
    assert survivors(np.zeros((finalists, examples)), finalists) == list(range(finalists))


def test_prompts_are_compared_on_the_examples_that_all_answered() -> None:
    """A missing answer neither helps nor harms its prompt: its example counts for nobody."""
    nan = np.nan
    losses = np.array([[1.0, nan, 5.0], [2.0, 9.0, 0.0], [3.0, 0.0, 4.0]])
    # Columns 0 and 2 are complete: means 3, 1, 3.5. Each row's own mean would say 2, 0, 1.
    assert survivors(losses, 3) == [1, 0, 2]


@pytest.mark.parametrize("keep", [1, 2])
def test_without_a_common_answer_the_order_stands(keep: int) -> None:
    """Where no example was answered for all, nothing is known, and nothing is raised."""
    losses = np.array([[np.nan, 5.0], [1.0, np.nan]])
    assert survivors(losses, keep) == [0, 1][:keep]


def test_a_prompt_with_few_answers_is_left_out_and_takes_nothing_from_the_others() -> None:
    """A prompt answered less than half as often as the best gets no mean; the rest are compared."""
    nan = np.nan
    losses = np.array([[nan, nan, nan, 0.0], [1.0, 3.0, nan, 5.0], [2.0, 0.0, 1.0, 1.0]])
    assert paired_means(losses).tolist()[1:] == [3.0, 1.0]
    assert np.isnan(paired_means(losses)[0])
    assert survivors(losses, 3) == [2, 1, 0]


def test_without_a_shared_example_nothing_is_judged() -> None:
    """Prompts that were never answered on the same example are not compared."""
    losses = np.array([[1.0, np.nan], [np.nan, 2.0]])
    assert np.isnan(paired_means(losses)).all()
    assert survivors(losses, 2) == [0, 1]
