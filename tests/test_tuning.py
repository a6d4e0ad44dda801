"""`tune` as the contract shows it: a scorer of one's own, in a running loop."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import orjson
import pytest

import bdpl_async as bdpl
from bdpl_async.config import load_config
from bdpl_async.errors import ConfigError, ProviderRefused
from bdpl_async.events import Event, Finished
from bdpl_async.records import Reply, Request
from bdpl_async.scorer import Capabilities, Line
from tests.workbench import Length, write_task


@pytest.fixture
def task(tmp_path: Path) -> bdpl.Task:
    return bdpl.Task.from_toml(write_task(tmp_path))


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


class Probed(Length):
    """A scorer whose probe is a request, too."""

    async def probe(self, request: Request, line: Line) -> Capabilities:
        await line(partial(self.score, request), [text.before for text in request.texts])
        return Capabilities()


class Refusing:
    """A scorer whose key is wrong."""

    name = "mine/refusing"

    async def score(self, request: Request) -> Reply:
        raise ProviderRefused("mine/refusing: the key is not valid", hint="check MINE_API_KEY")


async def test_own_scorer(task: bdpl.Task) -> None:
    """A scorer with a name and one coroutine is enough, and its requests are all counted."""
    scorer = Length()
    result = await bdpl.tune(task, scorer, budget=bdpl.Budget(requests=200), seed=0)
    assert result.model == "mine/length"
    assert result.prompt == " ".join(result.tokens) != ""
    assert result.dev is not None
    assert 0 <= result.dev.score <= 1
    assert scorer.requests == result.usage.requests <= 200


async def test_seed(task: bdpl.Task) -> None:
    """Same seed, same result; the seed given stands in the result, 0 among them."""
    first, again, other = [
        await bdpl.tune(task, Length(), seed=seed, steps=3) for seed in (0, 0, 1)
    ]
    assert (first.seed, other.seed) == (0, 1)
    assert (first.tokens, first.losses) == (again.tokens, again.losses)
    assert first.losses != other.losses


async def test_overrides(task: bdpl.Task) -> None:
    """Keyword arguments are keys of [optimizer], and the task's own settings stay as they were."""
    result = await bdpl.tune(task, Length(), method="random", steps=4)
    assert (result.method, result.steps_done) == ("random", 4)
    assert task.config.optimizer.method == "bdpl"


BAD: list[tuple[dict[str, str | int | float], str]] = [
    ({"samples": 1}, r"tune\(\): optimizer\.samples"),
    ({"steps": True}, r"tune\(\): optimizer\.steps"),
    ({"lr": float("nan")}, r"tune\(\): optimizer\.lr"),
    ({"method": "bogus"}, r"tune\(\): optimizer\.method"),
    ({"sample": 3}, r"tune\(\): optimizer\.sample: unknown key; did you mean 'samples'\?"),
    ({"seed": -1}, r"tune\(\): run\.seed"),
]


@pytest.mark.parametrize(("settings", "message"), BAD)
async def test_bad_override(
    task: bdpl.Task, settings: dict[str, str | int | float], message: str
) -> None:
    """A setting that a file could not have is refused before anything is sent."""
    scorer = Length()
    with pytest.raises(ConfigError, match=message):
        await bdpl.tune(task, scorer, **settings)  # type: ignore[arg-type]
    assert scorer.requests == 0


@pytest.mark.parametrize("limit", [0, -1, float("nan")])
def test_bad_budget(limit: float) -> None:
    """A budget that is no positive number is refused where it is made."""
    with pytest.raises(ConfigError, match="budget usd must be above 0"):
        bdpl.Budget(usd=limit)


async def test_too_small(task: bdpl.Task) -> None:
    """A budget that buys no update and its evaluation is refused unsent, with what it takes."""
    scorer = Length()
    with pytest.raises(bdpl.BudgetTooSmall, match=r"at least 24 prompts"):
        await bdpl.tune(task, scorer, budget=bdpl.Budget(prompts=23))
    assert scorer.requests == 0
    result = await bdpl.tune(task, scorer, budget=bdpl.Budget(prompts=24))
    assert result.steps_done >= 1
    assert result.dev is not None


async def test_out(task: bdpl.Task, tmp_path: Path) -> None:
    """`out` leaves the same result on disk, and a configuration that names the scorer's model."""
    result = await bdpl.tune(task, Length(), out=tmp_path / "run", seed=0)
    document = orjson.loads((tmp_path / "run" / "result.json").read_bytes())
    assert document == orjson.loads(orjson.dumps(result.to_json()))
    assert load_config(tmp_path / "run" / "run.toml").model.name == "mine/length"


async def test_taken_out(task: bdpl.Task, tmp_path: Path) -> None:
    """A folder that holds a run is refused before anything is sent."""
    (tmp_path / "run.toml").write_text("")
    scorer = Probed()
    with pytest.raises(ConfigError, match="holds a run already"):
        await bdpl.tune(task, scorer, out=tmp_path)
    assert scorer.requests == 0


async def test_nothing_written(
    task: bdpl.Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without `out` nothing is written anywhere."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    before = files(tmp_path)
    await bdpl.tune(task, Length())
    assert files(tmp_path) == before


async def test_on_event(task: bdpl.Task) -> None:
    """Every event is handed on as it happens; the last one carries the result."""
    heard: list[Event] = []
    result = await bdpl.tune(task, Length(), on_event=heard.append)
    assert [event.type for event in heard[:2]] == ["started", "probed"]
    assert [event.type for event in heard].count("step") == result.steps_done == 2
    assert isinstance(heard[-1], Finished)
    assert heard[-1].result == result
    assert [event.t for event in heard] == sorted(event.t for event in heard)


async def test_refused(task: bdpl.Task, tmp_path: Path) -> None:
    """A provider's refusal is raised to the caller, after the result was written."""
    with pytest.raises(ProviderRefused, match="the key is not valid"):
        await bdpl.tune(task, Refusing(), out=tmp_path / "run")
    document = orjson.loads((tmp_path / "run" / "result.json").read_bytes())
    assert document["stop_reason"] == "provider"


async def test_beside_others(task: bdpl.Task) -> None:
    """Two runs in one loop do not disturb each other."""
    alone = await bdpl.tune(task, Length(), seed=1)
    both = await asyncio.gather(*(bdpl.tune(task, Length(), seed=seed) for seed in (0, 1)))
    assert both[1].losses == alone.losses
