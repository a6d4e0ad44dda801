"""A budget of many processes on a real redis-server: never a request over, whatever dies.

pytest -m cluster tests/cluster/test_redis_group.py
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bdpl_async.budget import Amount
from bdpl_async.errors import BudgetExhausted, ConfigError, ProviderRefused
from bdpl_async.sharing.address import Address
from bdpl_async.sharing.grants import Grant, ask
from bdpl_async.sharing.link import Link
from bdpl_async.sharing.member import LEASE, Member
from tests.cluster.redisserver import RedisServer, redis_server
from tests.faultserver import FaultServer, Manners
from tests.killing import TOOL, ended, started
from tests.workbench import write_task

pytestmark = pytest.mark.cluster
GRANT = 3_000
PROCESSES = 8
ONE = Amount(1, 1, 10, 0.001)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    (tmp_path / "redis").mkdir()
    with redis_server(tmp_path / "redis") as server:
        yield server


def link(server: RedisServer) -> Link:
    return Link("group.redis", Address.of("group.redis", server.url))


async def grant(server: RedisServer, **limits: float | None) -> Grant:
    """Make a group's grant, or see it."""
    to = link(server)
    try:
        found = await ask(to, "team", "set" if limits else "see", limits)
    finally:
        await to.close()
    assert found is not None
    return found


async def member(server: RedisServer, mark: str) -> Member:
    found = Member(link(server), "team", mark)
    await found.begin()
    return found


class Runs:
    """Runs of one group before one server, at full speed."""

    def __init__(self, folder: Path, redis: RedisServer, server: FaultServer) -> None:
        self.folder, self.server = folder, server
        task = write_task(folder)
        asyncio.run(grant(redis, requests=GRANT))
        self.processes = [
            started(
                folder,
                [*TOOL, "run", task, "--model", "vllm/fake", "--base-url", server.url,
                 "--seed", str(seed), "--out", folder / f"out{seed}", "--ui", "none",
                 "--cache", "none", "--budget-group", "team", "--budget-redis", redis.url,
                 "--concurrency", "32", "--batch-prompts", "1", "--steps", "500"],
            )
            for seed in range(PROCESSES)
        ]  # fmt: skip

    def wait(self, requests: int) -> None:
        deadline = time.monotonic() + 60
        while self.server.books.requests < requests:
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def end(self) -> dict[int, subprocess.CompletedProcess[str]]:
        return {seed: ended(process) for seed, process in enumerate(self.processes)}

    def scored(self, seed: int) -> bool:
        result = json.loads((self.folder / f"out{seed}" / "result.json").read_text())
        return result["stop_reason"] == "budget" and result["dev"] is not None


@pytest.mark.parametrize("own", ["alone", "killed", "restarted", "frozen"])
def test_eight_processes_never_send_a_request_too_many(
    tmp_path: Path, redis: RedisServer, own: str
) -> None:
    """By the server's own count; and each that lives ends with a scored prompt."""
    dead: set[int] = set()
    with FaultServer.in_thread(Manners(latency=0.02)) as server:
        runs = Runs(tmp_path, redis, server)
        runs.wait(GRANT // 4)
        if own == "killed":
            dead = {1, 4}
            for seed in dead:
                runs.processes[seed].kill()
        if own == "restarted":
            redis.stop(signal.SIGKILL)
            stood = server.books.requests
            time.sleep(2.0)
            assert server.books.requests <= stood + PROCESSES * 32  # what was granted by then
            redis.start()
        if own == "frozen":  # answers come, but too late to count as any
            redis.signal(signal.SIGSTOP)
            time.sleep(4.0)
            redis.signal(signal.SIGCONT)
        done = runs.end()
        assert server.books.requests <= GRANT
        assert server.books.requests >= (0.8 if dead else 1.0) * GRANT - 64
    for seed in done.keys() - dead:
        assert done[seed].returncode == 0, done[seed].stderr
        assert runs.scored(seed)
    found = asyncio.run(grant(redis))
    assert GRANT >= (found.spent + found.held).requests >= server.books.requests


async def test_what_a_dead_process_held_counts_and_what_it_kept_does_not(
    redis: RedisServer,
) -> None:
    """Nobody knows whether its requests were sent; what it had put aside was not."""
    mark = (await grant(redis, requests=10)).mark
    dies, lives = await member(redis, mark), await member(redis, mark)
    assert await dies.keep(Amount(4)) is None
    await dies.reserve(1, ONE)
    for number in range(5):
        await lives.reserve(number, ONE)
    with pytest.raises(BudgetExhausted):
        await lives.reserve(9, ONE)
    assert dies._pump is not None
    dies._pump.cancel()  # as if it were killed: it says nothing more
    await asyncio.sleep(LEASE + 1)
    for number in range(10, 14):
        await lives.reserve(number, ONE)
    with pytest.raises(BudgetExhausted):
        await lives.reserve(99, ONE)
    await lives.close()
    await dies._link.close()
    assert (await grant(redis)).spent.requests == 10


async def test_bounds_under_way_refuse_nothing(redis: RedisServer) -> None:
    """What does not fit beside reserved tokens waits for what they turn out to be."""
    mark = (await grant(redis, tokens=100)).mark
    one, two = await member(redis, mark), await member(redis, mark)
    await one.reserve(1, Amount(1, 1, 90))
    waiting = asyncio.create_task(two.reserve(1, Amount(1, 1, 50)))
    await asyncio.sleep(0.5)
    assert not waiting.done()
    one.settled(1, Amount(1, 1, 20))
    await asyncio.wait_for(waiting, 5)
    with pytest.raises(BudgetExhausted):
        await two.reserve(2, Amount(1, 1, 90))
    await asyncio.gather(one.close(), two.close())


async def test_the_group_keeps_its_rate(redis: RedisServer) -> None:
    """Of requests a minute, however many processes there are."""
    mark = (await grant(redis, rpm=20)).mark
    members = [await member(redis, mark) for _ in range(4)]
    asked = [
        asyncio.create_task(one.reserve(number, ONE)) for number in range(10) for one in members
    ]
    await asyncio.sleep(4)
    assert sum(task.done() for task in asked) == 20
    for task in asked:
        task.cancel()
    await asyncio.gather(*asked, return_exceptions=True)
    await asyncio.gather(*(one.close() for one in members))


async def test_many_members_never_take_more_than_the_grant(redis: RedisServer) -> None:
    """Whatever they take, settle, keep and lose, in whatever order; restarts included."""
    noise = random.Random(7)
    mark = (await grant(redis, requests=400, tokens=4_000, usd=0.5)).mark
    sent = Amount()

    async def life(number: int) -> None:
        nonlocal sent
        ours = await member(redis, mark)
        for turn in range(120):
            bound = Amount(1, 1, noise.randint(5, 30), noise.random() * 0.004)
            try:
                await ours.reserve(turn, bound)
            except BudgetExhausted:
                continue
            await asyncio.sleep(noise.random() * 0.01)
            part = noise.random()
            actual = Amount(1, 1, int(bound.tokens * part), bound.usd * part)
            sent += actual
            ours.settled(turn, actual)
        await ours.close()

    async def trouble() -> None:
        await asyncio.sleep(0.5)
        await asyncio.to_thread(redis.stop, signal.SIGKILL)
        await asyncio.to_thread(redis.start)

    await asyncio.gather(trouble(), *map(life, range(8)))
    found = await grant(redis)
    assert (found.members, found.held) == (0, Amount())
    assert sent.requests == found.spent.requests <= 400
    assert sent.tokens == found.spent.tokens <= 4_000
    assert found.spent.usd == pytest.approx(sent.usd)
    assert found.spent.usd <= 0.5 + 1e-9


async def test_a_redis_that_forgot_the_group_ends_its_runs(tmp_path: Path) -> None:
    """Without an append-only file a restart forgets; that is said, and nothing more is sent."""
    with redis_server(tmp_path, "--appendonly", "no") as server:
        found = await grant(server, requests=10)
        assert not found.lasts
        ours = await member(server, found.mark)
        await ours.reserve(1, ONE)
        server.stop(signal.SIGKILL)
        server.start()
        with pytest.raises(ProviderRefused, match="any more"):
            await ours.reserve(2, ONE)
        await ours.close()


async def test_an_older_state_is_told_anew(tmp_path: Path) -> None:
    """After a restart from an older snapshot all who live say what they hold, before a grant."""
    with redis_server(tmp_path, "--appendonly", "no") as server:
        mark = (await grant(server, requests=10)).mark
        one, two = await member(server, mark), await member(server, mark)
        server.cli("save")
        for number in range(6):
            await one.reserve(number, ONE)
        server.stop(signal.SIGKILL)  # the six are forgotten
        server.start()
        began = time.monotonic()
        for number in range(4):
            await two.reserve(number, ONE)
        assert time.monotonic() - began >= LEASE / 2
        with pytest.raises(BudgetExhausted):
            await two.reserve(9, ONE)
        await asyncio.gather(one.close(), two.close())


async def test_a_redis_that_may_drop_the_grant_is_refused(redis: RedisServer) -> None:
    """When its memory is full it must drop answers, not money."""
    redis.cli("config", "set", "maxmemory-policy", "allkeys-lru")
    with pytest.raises(ConfigError, match="allkeys-lru"):
        await grant(redis, requests=10)
    redis.cli("config", "set", "maxmemory-policy", "volatile-lru")
    await grant(redis, requests=10)


def test_a_wrong_password_ends_with_2_before_anything_is_sent(
    tmp_path: Path, redis: RedisServer
) -> None:
    """The password is the environment's, and is shown nowhere."""
    redis.cli("config", "set", "requirepass", "word-of-the-day")
    words = [*TOOL, "run", "--model", "simulated/demo", "--steps", "3", "--ui", "none"]
    shared = ["--cache", redis.url, "--budget-group", "team", "--max-requests", "9"]
    for more in ({}, {"BDPL_REDIS_PASSWORD": "word-of-yesterday"}):
        done = ended(started(tmp_path, [*words, *shared, "--out", tmp_path / "no"], **more))
        assert done.returncode == 2
        assert "BDPL_REDIS_PASSWORD" in done.stderr
        assert "word-of" not in done.stderr
    right = {"BDPL_REDIS_PASSWORD": "word-of-the-day"}
    done = ended(started(tmp_path, [*words, *shared, "--out", tmp_path / "out"], **right))
    assert done.returncode == 0, done.stderr
    for file in (tmp_path / "out").rglob("*"):
        assert file.is_dir() or b"word-of-the-day" not in file.read_bytes()
