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


class Dying(Length):
    """A scorer that never answers its so-manieth request: then somebody gives up the run."""

    def __init__(self, alive: int) -> None:
        super().__init__()
        self.alive = alive
        self.silent = asyncio.Event()

    async def score(self, request: Request) -> Reply:
        if self.requests == self.alive:
            self.silent.set()
            await asyncio.Event().wait()
        return await super().score(request)


async def stopped(task: bdpl.Task, out: Path, alive: int = 20, seed: int = 0) -> None:
    """A run that was cancelled, as by a notebook's button, after so many answers."""
    scorer = Dying(alive)
    run = asyncio.create_task(bdpl.tune(task, scorer, out=out, seed=seed))
    await scorer.silent.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run


def lasting(result: bdpl.Result) -> dict[str, object]:
    """All but what was in flight, and the time."""
    document = result.to_json()
    for name in ("usage", "latency", "spending"):
        del document[name]
    return document


async def test_resume(task: bdpl.Task, tmp_path: Path) -> None:
    """A run that was cancelled goes on by its folder alone, and ends as if it never had been."""
    whole = await bdpl.tune(task, Length(), seed=3)
    requests = whole.usage.requests
    for alive in range(0, requests, 5):
        out, second = tmp_path / str(alive), Length()
        await stopped(task, out, alive, seed=3)
        heard: list[Event] = []
        result = await bdpl.resume(out, second, on_event=heard.append)
        assert lasting(result) == lasting(whole)
        assert second.requests == requests - alive
        assert result.usage.requests > requests  # those in flight may be paid
        assert isinstance(heard[-1], Finished)
        assert "resumed" in [event.type for event in heard]


async def test_resume_what_is_finished(task: bdpl.Task, tmp_path: Path) -> None:
    """Nothing is asked, said or changed; the result is the one that stands there."""
    result = await bdpl.tune(task, Length(), out=tmp_path / "run")
    before = {file: file.read_bytes() for file in files(tmp_path / "run")}
    scorer, heard = Length(), list[Event]()
    again = await bdpl.resume(str(tmp_path / "run"), scorer, on_event=heard.append)
    assert again == result
    assert (scorer.requests, heard) == (0, [])
    assert {file: file.read_bytes() for file in files(tmp_path / "run")} == before


async def test_resume_nothing(tmp_path: Path) -> None:
    """A folder without a run, or none at all, is refused, and is not made."""
    (tmp_path / "empty").mkdir()
    for name in ("empty", "none"):
        scorer = Length()
        with pytest.raises(ConfigError):
            await bdpl.resume(tmp_path / name, scorer)
        assert scorer.requests == 0
    assert files(tmp_path) == [tmp_path / "empty"]


async def test_resume_what_changed(task: bdpl.Task, tmp_path: Path) -> None:
    """Other data, or another model, is another run: refused, named, and nothing sent."""
    out = tmp_path / "run"
    await stopped(task, out)

    class Other(Length):
        name = "mine/other"

    scorer = Other()
    with pytest.raises(ConfigError, match=r"a run of mine/length, not of mine/other"):
        await bdpl.resume(out, scorer)
    train = tmp_path / "train.tsv"
    train.write_text(train.read_text().replace("bad 0", "bad zero"))
    with pytest.raises(ConfigError, match="the data changed since the run began"):
        await bdpl.resume(out, Length())
    assert scorer.requests == 0
    train.write_text(train.read_text().replace("bad zero", "bad 0"))
    assert (await bdpl.resume(out, Length())).stop_reason == "steps"


async def test_resume_beside_another(task: bdpl.Task, tmp_path: Path) -> None:
    """Two at a time do not work in one folder; the first one is not disturbed."""
    out = tmp_path / "run"
    await stopped(task, out)
    both = await asyncio.gather(
        bdpl.resume(out, Length()), bdpl.resume(out, Length()), return_exceptions=True
    )
    assert sorted(type(one).__name__ for one in both) == ["Busy", "Result"]


async def test_a_listener_that_fails_loses_nothing(task: bdpl.Task, tmp_path: Path) -> None:
    """Its error is the caller's; the run goes on with another one."""
    whole = await bdpl.tune(task, Length())
    for kind in ("started", "evaluated", "step", "checkpoint", "finished"):
        out, scorer = tmp_path / kind, Length()

        def hear(event: Event, kind: str = kind) -> None:
            if event.type == kind:
                raise ZeroDivisionError(kind)

        with pytest.raises(ZeroDivisionError):
            await bdpl.tune(task, scorer, out=out, on_event=hear)
        again = Length()
        assert lasting(await bdpl.resume(out, again)) == lasting(whole)
        assert scorer.requests + again.requests == whole.usage.requests
