"""Answers that processes share, on a real redis-server: each paid for once.

pytest -m cluster tests/cluster/test_redis_cache.py
"""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bdpl_async.caching.cache import Entry
from bdpl_async.records import Score
from bdpl_async.sharing.address import Address
from bdpl_async.sharing.link import Link
from bdpl_async.sharing.rediscache import LEASE, RedisCache
from tests.authority import Authority
from tests.cluster.redisserver import RedisServer, redis_server
from tests.faultserver import FaultServer, Manners
from tests.killing import TOOL, ended, started
from tests.workbench import write_task

pytestmark = pytest.mark.cluster
ENTRY = Entry(Score((-1.0, -2.0), 0.5, (True, False)), 7, 1)
KEYS = [bytes([n]) * 16 for n in range(200)]


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    (tmp_path / "redis").mkdir()
    with redis_server(tmp_path / "redis") as server:
        yield server


async def cache(url: str) -> RedisCache:
    found = RedisCache(Link("run.cache", Address.of("run.cache", url)))
    await found.open()
    return found


async def test_an_answer_comes_back_bit_for_bit(redis: RedisServer) -> None:
    """And what nobody has paid for is asked by exactly one."""
    one, two = await cache(redis.url), await cache(redis.url)
    assert await one.take(KEYS[:100]) == ({}, set())
    assert await two.take(KEYS[50:150]) == ({}, set(KEYS[50:100]))
    for key in KEYS[:100]:
        one.put(key, ENTRY)
    found, others = await two.take(KEYS[50:100])
    assert (found, others) == (dict.fromkeys(KEYS[50:100], ENTRY), set())
    one.remember(KEYS[0], b"a record")
    await one.close()
    assert await two.fetch(KEYS[0]) == b"a record"
    await two.close()


async def test_the_claims_of_a_dead_process_lapse(redis: RedisServer) -> None:
    """Within its lease, not at once: it may only be slow."""
    dies, waits = await cache(redis.url), await cache(redis.url)
    await dies.take(KEYS)
    assert dies._writer is not None
    dies._writer.cancel()
    began = time.monotonic()
    assert await waits.take(KEYS) == ({}, set())
    assert LEASE - 2 < time.monotonic() - began < LEASE + 2
    await dies.close()
    await waits.close()


async def test_answers_expire_as_the_address_says(redis: RedisServer) -> None:
    """Whoever wrote them."""
    brief, lasting = await cache(f"{redis.url}?expire=1s"), await cache(f"{redis.url}?expire=never")
    brief.put(KEYS[0], ENTRY)
    lasting.put(KEYS[1], ENTRY)
    await asyncio.sleep(0.3)
    assert (await lasting.take(KEYS[:2], claim=False))[0] == dict.fromkeys(KEYS[:2], ENTRY)
    await asyncio.sleep(1.2)
    assert (await lasting.take(KEYS[:2], claim=False))[0] == {KEYS[1]: ENTRY}
    await brief.close()
    await lasting.close()


async def test_a_full_redis_costs_no_answer_of_the_run(tmp_path: Path) -> None:
    """Where it drops nothing it takes nothing: that is said, and answers stay in memory."""
    with redis_server(tmp_path, "--maxmemory", "1mb") as server:
        ours = await cache(server.url)
        ours.put(KEYS[0], ENTRY)
        await asyncio.sleep(0.5)
        assert "maxmemory" in str(ours.trouble)
        assert ours.get([KEYS[0]]) == {KEYS[0]: ENTRY}
        server.cli("config", "set", "maxmemory", "0")
        await ours.close()
        assert "not saved" not in str(ours.trouble)


def run(folder: Path, server: FaultServer, url: str, out: str) -> subprocess.Popen[str]:
    task = write_task(folder)
    return started(
        folder,
        [*TOOL, "run", task, "--model", "vllm/fake", "--base-url", server.url, "--out",
         folder / out, "--ui", "none", "--cache", url, "--batch-prompts", "1", "--steps", "12"],
    )  # fmt: skip


def result(folder: Path, out: str) -> dict[str, object]:
    document = json.loads((folder / out / "result.json").read_text())
    return {name: document[name] for name in ("prompt", "losses", "dev", "test", "steps_done")}


def test_equal_runs_pay_once(tmp_path: Path, redis: RedisServer) -> None:
    """Four at the same time send what one sends, and find what it finds."""
    with FaultServer.in_thread(Manners(latency=0.01)) as server:
        assert ended(run(tmp_path, server, "none", "alone")).returncode == 0
        alone = server.books.prompts
    with FaultServer.in_thread(Manners(latency=0.01)) as server:
        outs = [f"out{n}" for n in range(4)]
        done = [ended(one) for one in [run(tmp_path, server, redis.url, out) for out in outs]]
        assert [one.returncode for one in done] == [0] * 4, [one.stderr for one in done]
        scored = sum(server.books.answered.values())
        assert len(server.books.answered) <= alone
        assert scored <= alone + 4 * 4  # the samples of four probes
    for out in outs:
        assert result(tmp_path, out) == result(tmp_path, "alone")


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP])
def test_a_run_goes_on_without_its_redis(
    tmp_path: Path, redis: RedisServer, end: signal.Signals
) -> None:
    """It fails open, says so once, and finds what it would have found."""
    with FaultServer.in_thread(Manners(latency=0.02)) as server:
        assert ended(run(tmp_path, server, "none", "alone")).returncode == 0
        before = server.books.requests
        going = run(tmp_path, server, redis.url, "out")
        while server.books.requests < before + 100:
            time.sleep(0.005)
        if end == signal.SIGSTOP:
            redis.signal(end)
        else:
            redis.stop(end)
        done = ended(going)
    assert done.returncode == 0, done.stderr
    assert result(tmp_path, "out") == result(tmp_path, "alone")
    events = (tmp_path / "out" / "events.jsonl").read_text()
    assert "answers are kept in memory" in events


def test_tls_is_spoken_and_verified(tmp_path: Path) -> None:
    """A certificate that nobody vouches for is refused, and nothing of the password is sent."""
    authority = Authority(tmp_path)
    authority.server("IP:127.0.0.1")
    words = ("--tls-port", "0", "--tls-auth-clients", "no")
    with redis_server(tmp_path, *words) as server:
        for name, file in (
            ("tls-cert-file", "127.0.0.12.pem"),
            ("tls-key-file", "127.0.0.12.key"),
        ):
            assert server.cli("config", "set", name, str(tmp_path / file)) == "OK"
        with open(tmp_path / "port", "w") as found:
            found.write(str(server.port + 1))
        assert server.cli("config", "set", "tls-port", str(server.port + 1)) == "OK"

        async def told(query: str) -> str | None:
            ours = await cache(f"rediss://127.0.0.1:{server.port + 1}/0{query}")
            await ours.take(KEYS[:1])
            await ours.close()
            return ours.trouble

        assert asyncio.run(told(f"?ca={authority.file}")) is None
        assert "certificate" in str(asyncio.run(told("")))
