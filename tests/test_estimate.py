"""The rules of `bdpl_async.estimate`: nothing is sent, and a run takes that much or little less."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest

from bdpl_async.errors import BudgetTooSmall
from bdpl_async.estimate import Estimate, estimate
from bdpl_async.events import Finished
from bdpl_async.learning import DEFAULT_STEPS
from bdpl_async.methods import searches
from bdpl_async.records import Price, Reply, Request, Text, Usage
from bdpl_async.result import Totals
from bdpl_async.run import Run
from bdpl_async.scorer import Capabilities, Line, Scorer
from bdpl_async.session import Session
from bdpl_async.task import Task
from bdpl_providers.roberta import Roberta
from bdpl_providers.simulated import Simulated
from tests.workbench import WORDS, Length, write_task

CLOSE = 1.06  # what is learned may be that much shorter in tokens than what was drawn
Settings = dict[str, str | int | float | None]


class Silent(Simulated):
    """A scorer that nobody may ask."""

    async def score(self, request: Request) -> NoReturn:
        pytest.fail("something was sent")

    async def probe(self, request: Request, line: Line) -> NoReturn:
        pytest.fail("something was probed")


class Remote(Simulated):
    """The simulated beliefs of a server, where a process that dies leaves something to pay."""

    def __init__(self, batch: int) -> None:
        super().__init__()
        self.capabilities = replace(self.capabilities, batch=batch, local=False)


class Uncounted:
    """A server that reports tokens which nobody can count beforehand."""

    def __init__(self, batch: int) -> None:
        self._inner = Remote(batch)
        self.name = self._inner.name
        self.capabilities = replace(self._inner.capabilities, exact=False)

    async def score(self, request: Request) -> Reply:
        return await self._inner.score(request)


class Tokenized(Simulated):
    """The simulated beliefs, counted in the tokens of the model that ships."""

    def __init__(self, model: Roberta) -> None:
        super().__init__()
        self.capabilities = model.capabilities
        self._model = model

    async def score(self, request: Request) -> Reply:
        reply = await super().score(request)
        tokens = sum(await self.count(request.texts, request.labels))
        return replace(reply, usage=Usage(prompt_tokens=tokens))

    async def count(self, texts: Sequence[Text], labels: tuple[str, ...] = ()) -> list[int]:
        return await self._model.count(texts, labels)


@pytest.fixture(scope="module")
def shipped() -> Iterator[Roberta]:
    """The model that ships, loaded once; its thread serves one loop after the other."""
    pytest.importorskip("torch", reason="the local model needs the extra: pip install '.[local]'")
    model = Roberta("builtin")
    asyncio.run(model.__aenter__())
    yield model
    asyncio.run(model.__aexit__(None, None, None))


def reviews(settings: Settings, seed: int = 0) -> Task:
    return Task.from_toml("reviews", seed=seed, overrides=settings)


async def estimated(task: Task, scorer: Scorer) -> Estimate:
    vocabulary = task.vocabulary() if searches(task.config) else ()
    session = Session.prepare(task, scorer, task.config)
    return await estimate(session, vocabulary, DEFAULT_STEPS)


async def used(task: Task, scorer: Scorer) -> Totals:
    """What a run with a cold cache then takes."""
    run = await Run.open(task, scorer)
    *_, last = [event async for event in run.events()]
    assert isinstance(last, Finished)
    return last.result.usage


def tokens_of(usage: Totals) -> int:
    return usage.prompt_tokens + usage.completion_tokens


def check(found: Estimate, usage: Totals, task: Task, chance: float = 1.0) -> None:
    """An upper bound, never above the grant, and close in tokens.

    What is learned may be longer than nearly all that could have been drawn: that much is `chance`.
    """
    spent = (usage.requests, usage.prompts, tokens_of(usage) / chance)
    bounds = (found.requests, found.prompts, found.tokens)
    budget = task.config.budget
    granted = (budget.requests, budget.prompts, budget.tokens)
    for most, actual, limit in zip(bounds, spent, granted, strict=True):
        assert actual <= most
        assert limit is None or most <= limit
    assert found.tokens <= CLOSE * tokens_of(usage)


LIMITS: list[Settings] = [
    {"optimizer.steps": 3},
    {"optimizer.steps": 25},
    {"budget.prompts": 1000},
    {"budget.prompts": 2500, "optimizer.steps": 8},
    {"budget.requests": 45},
    {"budget.tokens": 40_000},
    {"budget.tokens": 120_000},
    {"optimizer.method": "random", "budget.prompts": 1500},
    {"optimizer.method": "empty", "budget.tokens": 30_000},
    {"optimizer.method": "manual", "prompt.manual": "a film review:"},
    {"prompt.length": 40, "optimizer.steps": 5},
    {"model.batch_prompts": 7, "budget.prompts": 1200},
]
each_limit = pytest.mark.parametrize(
    "limits", LIMITS, ids=lambda limits: " ".join(f"{k}={v}" for k, v in limits.items())
)


@each_limit
@pytest.mark.parametrize("seed", [0, 1, 2])
async def test_a_run_takes_no_more_and_little_less(limits: Settings, seed: int) -> None:
    """On the simulated model, whose tokens are words: at most the estimate, within 5 %."""
    task = reviews(limits, seed)
    check(await estimated(task, Simulated()), await used(task, Simulated()), task)


@pytest.mark.parametrize("batch", [1, 16])
@each_limit
async def test_what_is_kept_for_a_kill_is_not_taken(limits: Settings, batch: int) -> None:
    """Of a model that is not local: a rehearsal keeps as much back as the run does."""
    task = reviews(limits if batch > 1 else limits | {"budget.requests": None})
    found, usage = await estimated(task, Remote(batch)), await used(task, Remote(batch))
    check(found, usage, task)
    assert found.prompts <= CLOSE * usage.prompts
    assert found.requests <= CLOSE * usage.requests + 5


@pytest.mark.parametrize("batch", [1, 16])
@pytest.mark.parametrize("tokens", [8_000, 9_500, 14_000, 40_000])
async def test_loose_bounds_are_bounds(tokens: int, batch: int) -> None:
    """Where bytes stand in for tokens, a run that these end takes no more than it says."""
    task = reviews({"budget.tokens": tokens})
    found, usage = await estimated(task, Uncounted(batch)), await used(task, Uncounted(batch))
    assert tokens_of(usage) <= found.tokens <= tokens


@each_limit
async def test_subword_tokens_are_estimated_as_well(limits: Settings, shipped: Roberta) -> None:
    """In the tokens of a byte-level BPE, of which a prompt has now more and now fewer."""
    task, scorer = reviews(limits), Tokenized(shipped)
    check(await estimated(task, scorer), await used(task, scorer), task, chance=1.01)


async def test_the_model_that_ships_takes_what_was_estimated(shipped: Roberta) -> None:
    """A real run on roberta/builtin, with all that it learns."""
    small: Settings = {"optimizer.samples": 5, "optimizer.finalists": 2, "task.test": None}
    task = reviews({**small, "budget.prompts": 140})
    check(await estimated(task, shipped), await used(task, shipped), task)


def unlike(folder: Path, settings: Settings, seed: int) -> Task:
    """A task whose texts have from 2 to 60 words."""
    path = write_task(folder)
    words = WORDS.split()
    lines = [
        f"{' '.join(words[(n * k) % 14] for k in range(2 + 7 * n % 59))} {n}\t{n % 2}"
        for n in range(80)
    ]
    path.with_name("train.tsv").write_text("\n".join(["text\tlabel", *lines, ""]))
    return Task.from_toml(path, seed=seed, overrides={"prompt.length": 10, **settings})


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("steps", [1, 3, 10])
async def test_the_very_rows_of_the_updates_are_counted(
    tmp_path: Path, steps: int, seed: int
) -> None:
    """A few updates on texts of unlike length: their mean is not that of all rows."""
    task = unlike(tmp_path, {"optimizer.steps": steps}, seed)
    check(await estimated(task, Simulated()), await used(task, Simulated()), task)


async def test_nothing_is_sent() -> None:
    """A scorer that may not be asked gives an estimate all the same."""
    found = await estimated(reviews({"budget.prompts": 1000}), Silent())
    assert found.prompts == 1000
    assert found.exact


async def test_the_updates_are_those_of_steps_or_budget() -> None:
    """The smaller of both; without either the default."""
    free = await estimated(reviews({}), Silent())
    assert (free.updates, free.budget_updates) == (DEFAULT_STEPS, None)
    both = await estimated(reviews({"optimizer.steps": 7, "budget.prompts": 4000}), Silent())
    assert both.updates == 7
    assert both.budget_updates is not None
    assert both.budget_updates > 7
    bought = await estimated(reviews({"optimizer.steps": 900, "budget.prompts": 4000}), Silent())
    assert bought.updates == bought.budget_updates == pytest.approx(both.budget_updates, abs=1)
    none = await estimated(reviews({"optimizer.method": "empty"}), Silent())
    assert (none.updates, none.budget_updates) == (0, None)


async def test_a_large_budget_is_used_to_its_end() -> None:
    """Beyond what is worth drawing one by one, updates are taken to be alike."""
    found = await estimated(reviews({"budget.prompts": 1_000_000}), Silent())
    assert 995_000 <= found.prompts <= 1_000_000
    assert found.updates == pytest.approx(1_000_000 / 80, rel=0.01)
    assert found.requests <= 1.02 * 2 * found.updates


async def test_too_small_a_budget_is_refused() -> None:
    """As a run would refuse it, saying what it takes."""
    with pytest.raises(BudgetTooSmall, match="at least 144 prompts"):
        await estimated(reviews({"budget.prompts": 143}), Silent())
    assert (await estimated(reviews({"budget.prompts": 144}), Silent())).updates == 1


async def test_dollars_are_those_of_the_tokens() -> None:
    """A price makes the estimate one in USD, and a grant in USD is not exceeded."""
    prices: Settings = {"model.price_in": 2.0, "model.price_out": 2.0, "optimizer.steps": 5}
    found = await estimated(reviews(prices), Silent())
    assert found.usd == pytest.approx(Price(2.0, 2.0).usd(found.tokens, 0), rel=0.001)
    assert (await estimated(reviews({"optimizer.steps": 5}), Silent())).usd == 0.0  # it runs here
    del prices["optimizer.steps"]
    task = reviews({**prices, "budget.usd": 0.1})
    granted = await estimated(task, Simulated())
    spent = await used(task, Simulated())
    assert granted.usd is not None
    assert spent.usd <= granted.usd <= min(0.1, CLOSE * spent.usd)


async def test_without_a_tokenizer_bytes_bound_the_tokens() -> None:
    """It says so, and is no less than what a model could count."""
    task = reviews({"optimizer.steps": 3})
    found = await estimated(task, Length())
    words = await estimated(task, Silent())
    assert not found.exact
    assert found.tokens > 4 * words.tokens
    assert found.prompts == words.prompts
    assert found.requests == found.prompts  # one text a request


class Far(Length):
    """A scorer that sends so many requests before the first answer, and writes a token a text."""

    capabilities = Capabilities(probes=4, completion=1, exact=True)

    async def probe(self, request: Request, line: Line) -> NoReturn:
        pytest.fail("something was probed")

    async def count(self, texts: Sequence[Text], labels: tuple[str, ...]) -> list[int]:
        return [10 for _ in texts]


async def test_the_probe_and_the_answers_count(tmp_path: Path) -> None:
    """Requests of the probe are on top, and a completion token for each text."""
    path = write_task(tmp_path)
    near = await estimated(Task.from_toml(path), Length())
    found = await estimated(Task.from_toml(path), Far())
    assert found.requests == near.requests + 4
    assert near.prompts < found.prompts <= near.prompts + 8
    assert 11 * near.prompts <= found.tokens <= 1.05 * 11 * found.prompts


async def test_limits_of_time_make_nobody_wait(tmp_path: Path) -> None:
    """Requests a minute and seconds do not slow an estimate down."""
    slow: Settings = {"model.rpm": 1.0, "model.tpm": 1.0, "budget.seconds": 1e-9}
    path = write_task(tmp_path)
    hurried = Task.from_toml(path, overrides={**slow, "optimizer.steps": 3})
    free = Task.from_toml(path, overrides={"optimizer.steps": 3})
    assert await estimated(hurried, Silent()) == await estimated(free, Silent())
