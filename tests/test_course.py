"""A run that is cut off at any moment and resumed is one never stopped: `bdpl_async.course`."""

from __future__ import annotations

import os
import random
import zlib
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import orjson
import pytest

from bdpl_async.caching.cache import MemoryCache
from bdpl_async.errors import ConfigError
from bdpl_async.records import Text
from bdpl_async.result import Result
from bdpl_async.saving import store
from bdpl_async.saving.checkpoint import read_checkpoint
from bdpl_async.task import Task
from tests.resuming import PACE, Ended, Remote, Trial, check_paid, check_resumed
from tests.workbench import TESTED, rows, write_task

Value = str | int | float | bool | None
Build = Callable[..., Task]
METHODS = ("bdpl", "bdpl-paper", "random", "greedy", "manual", "empty", "calibration")
BUDGETS: dict[str, dict[str, Value]] = {
    "steps": {"optimizer.steps": 3},
    "prompts": {"budget.prompts": 150},
    "requests": {"budget.requests": 140},
    "tokens": {"budget.tokens": 3000},
}


@pytest.fixture(autouse=True)
def _no_power_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill takes nothing from what the system was given, so nobody needs to wait for a disk."""
    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, name, lambda descriptor: None)


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """A small task on a model that is far away."""

    def build(**settings: Value) -> Task:
        (tmp_path / "test.tsv").write_text(rows(9, 200))
        (tmp_path / "words.txt").write_text("\n".join(f"w{n}" for n in range(16)))
        write_task(tmp_path, TESTED)
        given: dict[str, Value] = {
            "prompt.vocabulary": "words.txt",
            "prompt.manual": "a film review:",
            "model.concurrency": 4,
            "model.name": "test/remote",
            "optimizer.steps": None,
        }
        named = {name.replace("__", "."): value for name, value in settings.items()}
        return Task.from_toml(tmp_path / "task.toml", overrides={**given, **named})

    return build


async def check_all(trial: Trial, most: int = 5) -> Ended:
    """Resume from several copies; the run that was never stopped."""
    whole = await trial.whole()
    assert isinstance(whole.result, Result), whole.result
    check_within(trial.task, whole)
    flying = [moment for moment in whole.moments if moment.kind == "in flight"]
    others = random.Random(0).sample(whole.moments, min(most, len(whole.moments)))
    for moment in {moment.name: moment for moment in (flying[-1], *others)}.values():
        after = await trial.resumed(moment)
        check_resumed(whole, moment, after)
        check_within(trial.task, after, moment.sent)
    return whole


def check_within(task: Task, ended: Ended, before: int = 0) -> None:
    """No budget is exceeded, by the run's own count and by the scorer's."""
    assert isinstance(ended.result, Result)
    usage, budget = ended.result.usage, task.config.budget
    assert usage.requests == before + ended.scorer.sent <= (budget.requests or 10**9)
    assert usage.prompts <= (budget.prompts or 10**9)
    assert usage.prompt_tokens <= (budget.tokens or 10**9)


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("method", METHODS)
async def test_every_method_and_budget(
    build: Build, tmp_path: Path, method: str, budget: str
) -> None:
    """Losses, prompt and scores are the same bit for bit; only what was in flight is paid twice."""
    ends = {"optimizer.steps": 8} if (method, budget) == ("greedy", "tokens") else {}  # it is slow
    task = build(optimizer__method=method, **BUDGETS[budget] | ends)
    batch = 1 if budget == "requests" else 3
    await check_all(Trial(tmp_path, task, lambda: Remote(batch=batch)))


OFTEN: dict[str, dict[str, Value]] = {
    "contextual": {"optimizer__calibration": "contextual", "optimizer__steps": 2},
    "by the batch": {"optimizer__calibration": "batch", "budget__prompts": 220},
    "hinge": {"optimizer__loss": "hinge", "budget__prompts": 150},
    "start": {"prompt__start": "w3 w5", "optimizer__steps": 2},
    "patience": {"optimizer__patience": 2, "optimizer__lr": 0.001},
    "a split by seed": {"task__dev": None, "run__seed": 3, "optimizer__steps": 2},
    "a lag of four": {"optimizer__lag": 4, "optimizer__steps": 20},
    "a lag to the end of a budget": {"optimizer__lag": 3, "budget__prompts": 400},
    "no lag": {"optimizer__lag": 0, "optimizer__steps": 3},
    "k shots": {"task__k_shot": 3, "run__seed": 4, "optimizer__steps": 2},
}


@pytest.mark.parametrize("name", OFTEN)
async def test_every_setting(build: Build, tmp_path: Path, name: str) -> None:
    """Likewise with whatever else decides what is asked."""
    whole = await check_all(Trial(tmp_path, build(**OFTEN[name]), lambda: Remote(batch=2)))
    assert isinstance(whole.result, Result)
    assert (whole.result.stop_reason == "converged") == (name == "patience")


BAD: dict[str, Callable[[], Remote]] = {
    "requests fail": lambda: Remote(bad=7),
    "lists fail": lambda: Remote(batch=4, bad=7),
    "answers fail": lambda: Remote(mute=7),
    "answers in lists fail": lambda: Remote(batch=4, mute=7),
    "all of it": lambda: Remote(batch=3, mute=9, bad=9),
}


@pytest.mark.parametrize("name", BAD)
async def test_what_fails_fails_again_and_is_paid_once(
    build: Build, tmp_path: Path, name: str
) -> None:
    """Lists that were parted and answers that were asked for again count on where they were."""
    task = build(optimizer__steps=3, budget__requests=2000)
    whole = await check_all(Trial(tmp_path, task, BAD[name], share=0.1), most=14)
    assert isinstance(whole.result, Result)
    assert whole.result.usage.failures > 0


@pytest.mark.parametrize("lost", [False, True], ids=["kept", "lost"])
async def test_with_a_cache_that_knows_a_part(build: Build, tmp_path: Path, lost: bool) -> None:
    """What the cache answered counts once, also if the cache is gone when the run goes on."""
    known: MemoryCache[bytes] = MemoryCache()
    (tmp_path / "first").mkdir()
    await Trial(tmp_path / "first", build(optimizer__steps=2), cache=lambda: known).whole()
    task = build(budget__prompts=150)
    trial = Trial(tmp_path, task, lambda: Remote(batch=3), lambda: deepcopy(known))
    whole = await trial.whole()
    assert isinstance(whole.result, Result)
    assert 0 < whole.scorer.sent < 50
    assert whole.result.usage.cache_hits > 20
    if lost:
        trial.cache = lambda: None
    for moment in random.Random(0).sample(whole.moments, 6):
        check_resumed(whole, moment, await trial.resumed(moment))


async def test_killed_again_and_again(build: Build, tmp_path: Path) -> None:
    """A run that goes on is cut off as well, and the next one, and ends as if nothing had been."""
    task = build(optimizer__steps=4, budget__prompts=1000)
    trial = Trial(tmp_path, task, lambda: Remote(batch=3))
    whole = await trial.whole()
    moment, sent, answered = whole.moments[3], 0, Counter[Text]()
    for kills in range(4):
        after = await trial.resumed(moment)
        check_resumed(whole, moment, after)
        check_within(task, after, moment.sent)
        assert not after.scorer.texts.keys() & answered.keys()
        answered += moment.answered
        later = [m for m in after.moments if m.kind == "in flight"]
        moment = later[min(1, len(later) - 1)]
        assert moment.sent > sent, kills
        sent = moment.sent


@pytest.mark.parametrize("large", [1000, 3000, 9000])
async def test_while_the_journal_is_renewed(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: int
) -> None:
    """A journal that another one follows loses nothing, whichever of them the disk has."""
    monkeypatch.setattr(store, "LARGE", large)
    task = build(optimizer__steps=6)
    trial = Trial(tmp_path, task, lambda: Remote(batch=2), share=0.15)
    await check_all(trial, most=10)
    (last,) = (tmp_path / "whole").glob("checkpoint-*.log")
    assert last.name != "checkpoint-0.log"


@pytest.mark.parametrize("batch", [1, 4])
async def test_seconds(build: Build, tmp_path: Path, batch: int) -> None:
    """Time goes on where it stood: what was learned stays, and the end is not put off."""
    trial = Trial(tmp_path, build(budget__seconds=1.5), lambda: Remote(batch=batch))
    whole = await trial.whole()
    assert isinstance(whole.result, Result)
    assert whole.result.stop_reason == "budget"
    for moment in random.Random(1).sample(whole.moments, 8):
        after = await trial.resumed(moment)
        check_paid(moment, after)
        assert isinstance(after.result, Result)
        assert after.result.losses[: moment.steps] == whole.result.losses[: moment.steps]
        assert after.result.dev is not None
        lost = 4 * PACE  # of what was in flight
        assert after.scorer.now - 7.0 <= 1.5 + lost
        assert after.result.usage.seconds <= 1.5


WRONG: tuple[object, ...] = (None, [], {"plan": 1}, "x")


async def test_a_state_of_another_run_is_refused(build: Build, tmp_path: Path) -> None:
    """What stands in the checkpoint and cannot be a state: exit code 2, nothing sent."""
    trial = Trial(tmp_path, build(optimizer__steps=2))
    whole = await trial.whole()
    moment = next(m for m in whole.moments if m.kind == "checkpoint")
    state = read_checkpoint(moment.path / "checkpoint.json")
    assert state is not None
    for key in ("course", "gate"):
        for wrong in WRONG:
            spelled = orjson.dumps({**state, key: wrong})
            head = b'{"schema": 1, "checksum": %d, "state": ' % zlib.crc32(spelled)
            (moment.path / "checkpoint.json").write_bytes(head + spelled + b"}")
            after = await trial.resumed(moment)
            assert isinstance(after.result, ConfigError), (key, wrong)
            assert after.scorer.sent == 0
