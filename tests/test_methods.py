"""The rules of `bdpl_async.methods`: one Protocol, kept by all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bdpl_async.config import Config
from bdpl_async.errors import ConfigError
from bdpl_async.methods import Method, make_method
from bdpl_async.records import Prompt

WORDS = ("alpha", "beta", "gamma delta", "epsilon")
FULL = ("bdpl", "bdpl-paper", "random")  # their prompts fill every position
SEARCHING = (*FULL, "greedy")


def method(name: str, *, manual: str | None = "read  this:", length: int = 3) -> Method:
    """The method `name` over `WORDS`."""
    prompt: dict[str, object] = {"length": length}
    if manual is not None:
        prompt["manual"] = manual
    task = {
        "name": "t",
        "train": "t.tsv",
        "template": "{prompt} {x} {mask}",
        "labels": {"0": "a", "1": "b"},
    }
    optimizer = {"method": name, "lr": 0.05}
    tables: dict[str, object] = {"task": task, "prompt": prompt, "optimizer": optimizer}
    return make_method(Config.check(tables, source=str(Path(__file__))), WORDS, 200)


def step(searching: Method, seed: int, count: int = 6) -> list[Prompt]:
    """Ask and tell once, with losses that a prompt's tokens decide."""
    prompts = searching.ask(np.random.default_rng(seed), count)
    losses = [sum(WORDS.index(token) - 4 for token in prompt.tokens) for prompt in prompts]
    searching.tell(np.array(losses, np.float64))
    return prompts


@pytest.mark.parametrize("name", FULL)
def test_prompts_are_made_of_the_vocabulary(name: str) -> None:
    """Every prompt asked has the length that was set, of candidates and nothing else."""
    prompts = method(name).ask(np.random.default_rng(0), 50)
    assert len(prompts) == 50
    assert {len(prompt.tokens) for prompt in prompts} == {3}
    assert {token for prompt in prompts for token in prompt.tokens} == set(WORDS)


@pytest.mark.parametrize("name", SEARCHING)
def test_ask_is_decided_by_the_generator(name: str) -> None:
    """The same random numbers propose the same prompts, others propose others."""
    asked = [method(name).ask(np.random.default_rng(seed), 20) for seed in (0, 0, 1)]
    assert asked[0] == asked[1] != asked[2]


@pytest.mark.parametrize("name", SEARCHING)
def test_a_search_finds_the_obvious(name: str) -> None:
    """With losses that the tokens decide, the best guess is the best prompt in the end."""
    searching = method(name)
    for seed in range(150):
        step(searching, seed)
    assert searching.best() == Prompt(("alpha",) * 3)


@pytest.mark.parametrize("name", SEARCHING)
def test_finalists_are_distinct_and_led_by_the_best_guess(name: str) -> None:
    """Up to so many prompts, none twice, the best guess first."""
    searching = method(name)
    for seed in range(5):
        step(searching, seed)
    for count in (1, 2, 8):
        finalists = searching.finalists(np.random.default_rng(7), count)
        assert len(finalists) == len(set(finalists)) == count
        assert finalists[0] == searching.best()


@pytest.mark.parametrize("name", SEARCHING)
def test_a_snapshot_is_a_copy_that_restores(name: str) -> None:
    """What comes after a snapshot leaves it alone, and a restored method goes on alike."""
    first, second = method(name), method(name)
    for seed in range(5):
        step(first, seed)
    snapshot = first.snapshot()
    second.restore(snapshot)
    for seed in range(5, 15):
        assert step(first, seed) == step(second, seed)
    assert first.best() == second.best()
    third = method(name)
    third.restore(snapshot)
    for seed in range(5, 15):
        step(third, seed)
    assert third.best() == first.best()


@pytest.mark.parametrize("name", SEARCHING)
def test_a_best_prompt_is_a_value(name: str) -> None:
    """The best guess of one step does not change with the next: no alias of live state."""
    searching = method(name)
    step(searching, 0, count=2)
    best = searching.best()
    kept = tuple(best.tokens)
    for seed in range(1, 60):
        step(searching, seed)
    assert best.tokens == kept
    assert searching.best() != best  # or nothing moved, and nothing was proven


def test_random_search_judges_by_the_minibatch() -> None:
    """A prompt on an easy minibatch does not beat a better one on a hard one."""
    searching = method("random")
    hard = searching.ask(np.random.default_rng(0), 2)
    searching.tell(np.array([9.0, 11.0]))  # one better than its step's mean
    searching.ask(np.random.default_rng(1), 2)
    searching.tell(np.array([0.1, 0.2]))
    assert searching.best() == hard[0]


def test_random_search_does_not_move() -> None:
    """It reports no divergence and the entropy of a uniform choice."""
    searching = method("random")
    searching.ask(np.random.default_rng(0), 2)
    assert searching.tell(np.array([0.0, 1.0])) == 0.0
    assert searching.entropy() == pytest.approx(np.log(4))


@pytest.mark.parametrize("name", ["bdpl", "bdpl-paper"])
def test_a_policy_search_says_how_far_it_moved(name: str) -> None:
    """`tell` gives the KL of the step, and the entropy falls from uniform."""
    searching = method(name)
    assert searching.entropy() == pytest.approx(np.log(4))
    prompts = searching.ask(np.random.default_rng(0), 6)
    assert searching.tell(np.arange(len(prompts), dtype=np.float64)) > 0.0
    assert searching.entropy() < np.log(4)


@pytest.mark.parametrize(
    ("name", "text"),
    [("empty", ""), ("manual", "read  this:"), ("calibration", "read  this:")],
)
def test_fixed_prompts_do_not_search(name: str, text: str) -> None:
    """They ask for nothing and stand by one prompt, to the letter."""
    fixed = method(name)
    assert fixed.ask(np.random.default_rng(0), 5) == []
    assert fixed.finalists(np.random.default_rng(0), 5) == [fixed.best()]
    assert fixed.best().text == text
    assert (fixed.entropy(), fixed.tell(np.zeros(0)), fixed.snapshot()) == (0.0, 0.0, {})


def test_the_method_manual_needs_its_prompt() -> None:
    """Without one the error names the key."""
    with pytest.raises(ConfigError, match=r"prompt\.manual"):
        method("manual", manual=None)
