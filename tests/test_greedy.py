"""The rules of `bdpl_async.methods.greedy` beyond those that every method keeps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bdpl_async.budget import Budget
from bdpl_async.methods.greedy import GreedySearch
from bdpl_async.records import Prompt
from bdpl_async.task import Task
from bdpl_async.tuning import tune
from bdpl_providers.simulated import Simulated
from tests.workbench import rows, write_task

WORDS = tuple(f"w{n}" for n in range(40))
EMPTY = Prompt()


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def worth(prompt: Prompt) -> float:
    """A loss that falls with w0, w1 and w2, in this order, and rises with all others."""
    return sum({"w0": -1.0, "w1": -0.9, "w2": -0.8}.get(token, 0.2) for token in prompt.tokens)


def step(search: GreedySearch, number: int, count: int = 10, noise: float = 0.0) -> list[Prompt]:
    """Ask and tell once; every minibatch is of another difficulty."""
    prompts = search.ask(rng(number), count)
    told = rng(1000 + number)
    losses = np.array([worth(prompt) for prompt in prompts]) + 10 * told.normal()
    search.tell(losses + noise * told.normal(size=len(prompts)))
    return prompts


def test_influence_is_measured_on_prompts_of_one_token() -> None:
    """First each candidate is a prompt of its own, once, beside the empty one; in random order."""
    search = GreedySearch(4, WORDS, 60)
    asked = [step(search, number, 11) for number in range(4)]
    assert [prompts[0] for prompts in asked] == [EMPTY] * 4
    tried = [prompt.tokens for prompts in asked for prompt in prompts[1:]]
    assert sorted(tried) == sorted((word,) for word in WORDS)
    assert tried != [(word,) for word in WORDS]


def test_the_useless_half_is_tried_no_more() -> None:
    """While the better half of the candidates gains anything, no other is asked for."""
    search = GreedySearch(4, WORDS, 60)
    first = [step(search, number, 11)[1:] for number in range(4)]
    influence = {p.tokens[0]: worth(p) for prompts in first for p in prompts}
    later = [p for number in range(4, 30) for p in step(search, number, 11)]
    used = {token for prompt in later for token in prompt.tokens}
    assert {"w0", "w1", "w2"} <= used
    assert len(used) <= 20
    assert max(influence[token] for token in used) <= sorted(influence.values())[19]
    last = {t for number in range(30, 200) for p in step(search, number, 11) for t in p.tokens}
    assert last == set(WORDS)


@pytest.mark.parametrize(("updates", "steps"), [(1, 1), (6, 2), (12, 4), (600, 10)])
def test_a_budget_too_small_for_all_looks_at_a_random_part(updates: int, steps: int) -> None:
    """A third of the updates at most go to influence, on candidates that the seed draws."""
    parts = []
    for seed in (0, 1):
        search = GreedySearch(2, WORDS, updates)
        asked = [search.ask(rng(seed), 5)]
        while not len(search.snapshot()["pool"]):
            search.tell(np.array([worth(prompt) for prompt in asked[-1]]))
            asked.append(search.ask(rng(seed), 5))
        seen = [p.tokens[0] for prompts in asked[:-1] for p in prompts[1:]]
        assert len(asked[:-1]) == steps
        assert len(set(seen)) == len(seen) == 4 * steps
        parts.append(seen)
    assert parts[0] != parts[1]


def test_each_proposal_changes_one_token_of_the_incumbent() -> None:
    """The incumbent leads every ask; the others differ from it at one position, and all differ."""
    search, lengths = GreedySearch(4, WORDS, 60), set()
    for number in range(80):
        incumbent, *others = step(search, number)
        lengths.add(len(incumbent.tokens))
        assert len({incumbent, *others}) == 1 + len(others)
        for other in others:
            grown = len(other.tokens) - len(incumbent.tokens)
            pairs = zip(incumbent.tokens, other.tokens, strict=False)
            assert grown in (0, 1)
            assert grown + sum(a != b for a, b in pairs) == 1
    assert lengths == {0, 1, 2, 3, 4}


def test_the_best_token_fills_every_place() -> None:
    """Where tokens add up, minibatches of any difficulty lead to the best prompt."""
    search = GreedySearch(4, WORDS, 60)
    for number in range(60):
        step(search, number)
    assert search.best() == Prompt(("w0",) * 4)


def test_a_prompt_that_nothing_improves_stays_short() -> None:
    """Where every token harms, the incumbent stays empty."""
    search = GreedySearch(4, WORDS[3:], 60)
    for number in range(60):
        step(search, number, noise=0.05)
    assert search.best() == EMPTY


def test_noise_alone_places_few_tokens_and_help_is_found_in_it() -> None:
    """With noise as large as the help, the tokens placed help; measured: 111 of 113."""
    placed: list[str] = []
    for seed in range(30):
        search = GreedySearch(4, WORDS, 60)
        for number in range(60):
            step(search, 100 * seed + number, noise=1.0)
        placed += search.best().tokens
    assert len(placed) >= 100
    assert sum(token in ("w0", "w1", "w2") for token in placed) >= 0.9 * len(placed)


def told(search: GreedySearch, losses: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    search.tell(losses)
    return search.snapshot()


def test_a_step_without_the_incumbents_loss_teaches_nothing() -> None:
    """There is nothing to compare with: no worth, no noise and no token changes."""
    search = GreedySearch(4, WORDS, 60)
    for number in range(12):
        step(search, number, noise=0.1)
    before = search.snapshot()
    losses = np.arange(len(search.ask(rng(), 10)), dtype=np.float64)
    losses[0] = np.nan
    after = told(search, losses)
    for name in ("row", "total", "tries", "noise", "pool"):
        np.testing.assert_array_equal(before[name], after[name])


def test_an_unanswered_proposal_leaves_the_others_alone() -> None:
    """The pairs that exist are counted, the missing one is not."""
    search = GreedySearch(4, WORDS, 60)
    prompts = search.ask(rng(), 6)
    after = told(search, np.array([1.0, np.nan, 3.0, 1.0, 0.0, np.inf]))
    tokens = [WORDS.index(prompt.tokens[0]) for prompt in prompts[1:]]
    np.testing.assert_array_equal(after["tries"][tokens], [0, 1, 1, 1, 0])
    np.testing.assert_array_equal(after["total"][tokens], [0, 2, 0, -1, 0])


@settings(max_examples=150, deadline=None)
@given(
    length=st.integers(1, 4),
    size=st.integers(2, 6),
    updates=st.integers(1, 40),
    counts=st.lists(st.integers(2, 9), min_size=1, max_size=60),
    seed=st.integers(0, 2**32 - 1),
)
def test_it_goes_on_whatever_it_hears(
    length: int, size: int, updates: int, counts: list[int], seed: int
) -> None:
    """Any losses and gaps: two prompts at least are asked, no number breaks, finalists differ."""
    search, chance = GreedySearch(length, WORDS[:size], updates), rng(seed)
    for count in counts:
        prompts = search.ask(chance, count)
        assert 2 <= len(prompts) <= count
        losses = chance.normal(size=len(prompts))
        losses[chance.random(len(prompts)) < 0.2] = np.nan
        after = told(search, losses)
        assert all(np.isfinite(array).all() for array in after.values())
    finalists = search.finalists(chance, 8)
    assert finalists[0] == search.best()
    assert 2 <= len(finalists) == len(set(finalists))
    assert all(len(prompt.tokens) <= length for prompt in finalists)


def test_former_incumbents_are_finalists() -> None:
    """After the incumbent come those that it replaced, newest first; they are shorter here."""
    search = GreedySearch(4, WORDS, 60)
    number = 0
    while len(search.best().tokens) < 3:
        step(search, number)
        number += 1
    lengths = [len(prompt.tokens) for prompt in search.finalists(rng(), 8)]
    assert lengths[:4] == [3, 2, 1, 0]


async def test_a_run_uses_its_budget_and_repeats(tmp_path: Path) -> None:
    """Under a budget of prompts four fifths are used at least; the same seed, the same result."""
    path = write_task(tmp_path, ("steps = 2", 'method = "greedy"'))
    found = []
    for _ in range(2):
        task = Task.from_toml(path)
        result = await tune(task, Simulated("x"), budget=Budget(prompts=400))
        assert 320 <= result.usage.prompts <= 400
        found.append((result.prompt, result.losses, result.dev))
    assert found[0] == found[1]
    assert found[0][0]


@pytest.mark.parametrize("limit", [200, 400, 1000])
async def test_a_search_without_success_uses_its_budget_too(tmp_path: Path, limit: int) -> None:
    """Where the empty prompt wins, its answers are known already, and yet most is used."""
    changes = ('dev = "dev.tsv"', 'dev = "dev.tsv"\ntest = "test.tsv"')
    path = write_task(tmp_path, ("steps = 2", 'method = "greedy"'), changes)
    for name, count, offset in (("train", 100, 0), ("dev", 32, 200), ("test", 400, 300)):
        (tmp_path / f"{name}.tsv").write_text(rows(count, offset))
    scorer = Simulated("x", utility=lambda word: 0.0)
    result = await tune(Task.from_toml(path), scorer, budget=Budget(prompts=limit))
    assert result.prompt == ""
    assert 0.8 * limit <= result.usage.prompts <= limit
    assert result.stop_reason == "budget"
