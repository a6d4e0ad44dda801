"""Runs of one server one after another, servers at the same time, whoever is fast."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bdpl_async.config import Config
from bdpl_async.errors import BdplError, ProviderRefused
from bdpl_async.kept import Kept
from bdpl_async.records import Reply, Request
from bdpl_async.scorer import Scorer
from bdpl_async.studies.arms import Arm, Wanted, plan_arms, rehearse
from bdpl_async.studies.cells import Cell, Watched
from bdpl_async.studies.scoreboard import scoreboard
from bdpl_async.studies.sidebyside import HERE, Audience, SideBySide, server_of
from bdpl_cli.connecting import connected
from bdpl_providers.simulated import Simulated
from tests.faultserver import FaultServer, Manners
from tests.workbench import rows, write_task

SERVERS = """
[[models]]
name = "compatible/one"
base_url = "http://127.0.0.1:1/v1"

[[models]]
name = "compatible/two"
base_url = "http://127.0.0.1:2/v1"
"""
ONE, TWO = "compatible/one", "compatible/two"
Answer = Callable[[str, int], object]


class Servers:
    """Connects to a simulated model in the place of each server; `before` is awaited, if it can be,
    with the model's name and the number of its request."""

    def __init__(self, before: Answer = lambda name, number: None) -> None:
        self.before = before
        self.requests: dict[str, int] = {}
        self.open: set[str] = set()
        self.most = 0

    @asynccontextmanager
    async def __call__(self, config: Config) -> AsyncIterator[Scorer]:
        name = config.model.name
        scorer = Simulated(name.partition("/")[2])
        answer = scorer.score

        async def counted(request: Request) -> Reply:
            number = self.requests[name] = self.requests.get(name, 0) + 1
            waiting = self.before(name, number)
            if asyncio.iscoroutine(waiting):
                await waiting
            return await answer(request)

        scorer.score = counted  # type: ignore[method-assign]
        assert name not in self.open, "two runs on one server at the same time"
        self.open.add(name)
        self.most = max(self.most, len(self.open))
        try:
            yield scorer
        finally:
            self.open.discard(name)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A task with a model on each of two servers, and a test split."""
    (tmp_path / "test.tsv").write_text(rows(20, 300))
    return write_task(
        tmp_path, ('dev = "dev.tsv"', 'dev = "dev.tsv"\ntest = "test.tsv"'), more=SERVERS
    )


def planned(path: Path, wanted: Wanted, out: str = "out", **keys: object) -> tuple[Arm, ...]:
    overrides: dict[str, Any] = {"run.cache": "none"}
    overrides |= {key.replace("__", "."): value for key, value in keys.items()}
    return plan_arms(path, overrides, wanted, path.parent / out)


async def finished(arms: tuple[Arm, ...], connect: Servers) -> list[tuple[Arm, Kept]]:
    return [found async for found in SideBySide(arms, connect).runs()]


def timeless(arms: tuple[Arm, ...], found: list[tuple[Arm, Kept]]) -> dict[str, Any]:
    """comparison.json without what a clock has measured."""
    runs: dict[str, list[Kept]] = {arm.name: [] for arm in arms}
    for arm, kept in found:
        runs[arm.name].append(kept)
    document = scoreboard(arms, runs).to_json()
    for entry in (*document["arms"], *document["summary"]):
        entry.get("usage", {}).pop("seconds", None)
        for key in ("latency", "tokens_per_second"):
            entry.pop(key)
    return document


@pytest.mark.parametrize(
    ("name", "url", "where"),
    [
        ("roberta/builtin", None, HERE),
        ("simulated/x", None, HERE),
        ("openai/a", None, "openai"),
        ("compatible/a", "http://Host:1/v1/", "http://host:1/v1"),
        ("vllm/b", "http://host:1/v1", "http://host:1/v1"),
    ],
)
def test_a_server_is_an_address(name: str, url: str | None, where: str) -> None:
    """Models behind one address share a server, whoever speaks to it; what runs here is one too."""
    task = {"name": "t", "train": "t.tsv", "label": "label", "template": "{prompt}{text}{mask}"}
    labels = {"0": "a", "1": "b"}
    tables = {"task": {**task, "labels": labels}, "model": {"name": name, "base_url": url}}
    config = Config.check(tables, source="test")
    assert server_of(config) == where


async def test_two_servers_work_at_the_same_time(path: Path) -> None:
    """Each server's first answer waits for the other's first request; so does no later one."""
    asked = {ONE: asyncio.Event(), TWO: asyncio.Event()}

    async def meet(name: str, number: int) -> None:
        asked[name].set()
        await asyncio.wait_for(asked[TWO if name == ONE else ONE].wait(), 10)

    connect = Servers(meet)
    arms = planned(path, Wanted(methods=("bdpl", "empty"), seeds=(0, 1)))
    found = await finished(arms, connect)
    assert len(found) == 8
    assert connect.most == 2


async def test_one_server_works_on_one_run_at_a_time(path: Path) -> None:
    """All methods of a seed before the next; what is done is read back the second time."""
    connect = Servers()
    arms = planned(path, Wanted(("simulated/a",), ("bdpl", "empty"), (0, 1)))
    found = await finished(arms, connect)
    assert [(arm.method, kept.result.seed) for arm, kept in found] == [
        ("bdpl", 0),
        ("empty", 0),
        ("bdpl", 1),
        ("empty", 1),
    ]
    assert connect.most == 1
    sent = dict(connect.requests)
    again = await finished(arms, connect)
    assert connect.requests == sent
    assert [kept.result for _, kept in again] == [kept.result for _, kept in found]


@pytest.mark.parametrize("slow", [ONE, TWO])
async def test_nothing_depends_on_who_is_fast(path: Path, slow: str) -> None:
    """Whichever server is slow, the outcome is that of one arm after another, to the last digit."""

    async def wait(name: str, number: int) -> None:
        await asyncio.sleep(0.003 if name == slow else 0)

    wanted = Wanted(methods=("bdpl", "random", "empty"), seeds=(0, 1))
    arms = planned(path, wanted)
    together = timeless(arms, await finished(arms, Servers(wait)))
    apart = planned(path, wanted, out="apart")
    one_by_one = [pair for arm in apart for pair in await finished((arm,), Servers())]
    assert together == timeless(apart, one_by_one)


async def test_a_limit_holds_for_each_arm(path: Path) -> None:
    """Every run may use the whole budget, and none uses more, servers side by side too."""
    arms = planned(path, Wanted(methods=("bdpl", "random")), budget__prompts=120)
    used = [kept.result.usage.prompts for _, kept in await finished(arms, Servers())]
    assert len(used) == 4
    assert all(60 < count <= 120 for count in used)


class Halting(Audience):
    """Calls `halt` once as many runs are under way as there are servers."""

    def __init__(self, servers: int) -> None:
        self.servers = servers
        self.halt: Callable[[], None] = lambda: None
        self.opened_runs: list[str] = []

    def opened(self, arm: Arm, cell: Cell, run: Watched) -> None:
        self.opened_runs.append(arm.name)
        if len(self.opened_runs) == self.servers:
            self.halt()


async def test_a_halt_stops_every_run(path: Path) -> None:
    """Runs under way on all servers are interrupted and saved, none begins; a rerun does them."""
    arms = planned(path, Wanted(methods=("bdpl", "empty")))
    audience = Halting(2)
    side_by_side = SideBySide(arms, Servers(), audience)
    audience.halt = side_by_side.halt
    found = [kept async for _, kept in side_by_side.runs()]
    assert [kept.result.stop_reason for kept in found] == ["interrupted", "interrupted"]
    assert audience.opened_runs == [f"{ONE} bdpl", f"{TWO} bdpl"]
    rest = await finished(arms, Servers())
    assert [kept.result.stop_reason for _, kept in rest] == ["steps"] * 4


async def test_a_halt_ends_a_server_that_is_still_connecting(path: Path) -> None:
    """Who has nothing to save yet is cancelled, and nobody waits for its connection."""
    connecting, never, ended = asyncio.Event(), asyncio.Event(), list[str]()

    class Slow(Servers):
        @asynccontextmanager
        async def __call__(self, config: Config) -> AsyncIterator[Scorer]:
            if config.model.name == ONE:
                await connecting.wait()
            else:
                try:
                    connecting.set()
                    await never.wait()
                finally:
                    ended.append(TWO)
            async with super().__call__(config) as scorer:
                yield scorer

    audience = Halting(1)
    side_by_side = SideBySide(planned(path, Wanted(methods=("bdpl",))), Slow(), audience)
    audience.halt = side_by_side.halt
    found = [arm.name async for arm, _ in side_by_side.runs()]
    assert found == [f"{ONE} bdpl"]
    assert ended == [TWO]


async def test_a_halt_before_anything_runs(path: Path) -> None:
    """Nothing begins."""
    connect = Servers()
    side_by_side = SideBySide(planned(path, Wanted(methods=("empty",))), connect)
    side_by_side.halt()
    assert [found async for found in side_by_side.runs()] == []
    assert connect.requests == {}


async def test_a_refusal_keeps_what_the_others_have_begun(path: Path) -> None:
    """One server refuses for good: the other's run comes to its end, and no other begins."""
    failures: list[tuple[str, str, int]] = []
    under_way, refused = asyncio.Event(), asyncio.Event()

    class Told(Audience):
        def failed(self, arm: Arm, error: BdplError, others: int) -> None:
            failures.append((arm.name, type(error).__name__, others))
            refused.set()

    async def refuse(name: str, number: int) -> None:
        if name == ONE:
            await asyncio.wait_for(under_way.wait(), 10)
            raise ProviderRefused("quota used up")
        under_way.set()
        await asyncio.wait_for(refused.wait(), 10)

    arms = planned(path, Wanted(methods=("bdpl", "empty")))
    done: list[Kept] = []

    async def compare() -> None:
        async for _, kept in SideBySide(arms, Servers(refuse), Told()).runs():
            done.append(kept)

    with pytest.raises(ProviderRefused, match="quota used up"):
        await compare()
    assert failures == [(f"{ONE} bdpl", "ProviderRefused", 1)]
    assert [(kept.config.model.name, kept.result.stop_reason) for kept in done] == [(TWO, "steps")]
    connect = Servers()
    rest = await finished(arms, connect)
    assert [kept.result.stop_reason for _, kept in rest] == ["steps"] * 4
    assert connect.requests[TWO] < connect.requests[ONE]  # one of its runs was there


async def test_of_two_errors_the_first_server_s_is_raised(path: Path) -> None:
    """Which error is seen does not depend on which came first."""

    async def refuse(name: str, number: int) -> None:
        await asyncio.sleep(0.02 if name == ONE else 0)
        raise ProviderRefused(f"{name} refuses")

    with pytest.raises(ProviderRefused, match=f"{ONE} refuses"):
        await finished(planned(path, Wanted(methods=("bdpl",))), Servers(refuse))


async def test_a_full_disk_ends_all(path: Path) -> None:
    """What is no error of the tree is raised at once, and no run is left under way."""

    class Full(Audience):
        def opened(self, arm: Arm, cell: Cell, run: Watched) -> None:
            if arm.model == ONE:
                raise OSError(28, "No space left on device")

    connect = Servers()
    with pytest.raises(OSError, match="No space"):
        _ = [f async for f in SideBySide(planned(path, Wanted()), connect, Full()).runs()]
    assert connect.open == set()


async def test_who_stops_listening_leaves_no_task(path: Path) -> None:
    """A consumer that gives up ends the runs; tasks that go on would be an error of the loop."""
    arms = planned(path, Wanted(methods=("empty", "bdpl"), seeds=(0, 1)))
    connect = Servers()
    runs = SideBySide(arms, connect).runs()
    await anext(runs)
    await runs.aclose()
    assert connect.open == set()
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.fixture
async def servers(path: Path) -> AsyncIterator[tuple[FaultServer, FaultServer]]:
    """Two loopback servers of different speed, in the places of the task's."""
    async with FaultServer(Manners(latency=0.01)) as a, FaultServer(Manners(latency=0.02)) as b:
        text = path.read_text().replace(ONE, "compatible/fake")  # noqa: ASYNC240
        text = text.replace(TWO, "vllm/fake")
        text = text.replace("http://127.0.0.1:1/v1", a.url).replace("http://127.0.0.1:2/v1", b.url)
        path.write_text(text)  # noqa: ASYNC240
        yield a, b


async def over_http(arms: tuple[Arm, ...]) -> list[tuple[Arm, Kept]]:
    await rehearse(arms, connected)
    return [found async for found in SideBySide(arms, connected).runs()]


async def test_real_servers_overlap_and_count_as_alone(
    path: Path, servers: tuple[FaultServer, FaultServer]
) -> None:
    """Two loopback servers have requests under way at once; results are those of one at a time."""
    wanted = Wanted(methods=("bdpl", "empty"))
    arms = planned(path, wanted)
    together = await over_http(arms)
    spans = [[moment for moment, _ in server.books.arrivals] for server in servers]
    assert max(map(min, spans)) < min(map(max, spans))
    prompts = sum(server.books.prompts for server in servers)
    assert sum(kept.result.usage.prompts for _, kept in together) == prompts
    apart = planned(path, wanted, out="apart")
    alone = [pair for arm in apart for pair in await over_http((arm,))]
    assert timeless(arms, together) == timeless(apart, alone)


async def test_one_cache_file_serves_all(
    path: Path, servers: tuple[FaultServer, FaultServer]
) -> None:
    """Runs side by side write one file; a second comparison finds every answer in it."""
    wanted = Wanted(methods=("bdpl", "random"))
    keys = {"run__cache": str(path.parent / "cache.db")}
    first = await over_http(planned(path, wanted, **keys))
    prompts = [server.books.prompts for server in servers]
    second = await over_http(planned(path, wanted, out="again", **keys))
    probes = sum(kept.result.usage.prompts for _, kept in second)
    assert sum(server.books.prompts for server in servers) - sum(prompts) == probes
    assert probes < sum(prompts) / 10
    scores = [sorted((arm.name, kept.result.losses) for arm, kept in f) for f in (first, second)]
    assert scores[0] == scores[1]
