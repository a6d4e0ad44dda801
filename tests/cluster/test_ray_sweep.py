"""Runs on a real Ray cluster: the same results as here, whatever of the cluster dies.

pytest -m cluster tests/cluster/test_ray_sweep.py
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bdpl_async.sharing.address import Address
from bdpl_async.sharing.grants import ask
from bdpl_async.sharing.link import Link
from tests.cluster.redisserver import RedisServer, redis_server
from tests.faultserver import FaultServer, Manners
from tests.killing import TOOL, ended, environment, started
from tests.workbench import write_task

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.filterwarnings("default"),  # Ray's own, of files that it leaves open
]
FREE = ("usage", "latency", "spending")
"""What may differ: time, and what was in flight when a worker died."""
MEMORY = 80_000_000  # bytes of Ray's object store, a node


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Three machines on this one; workers find our code as this process does."""
    pytest.importorskip("ray", reason="the extra ray is not installed")
    from ray.cluster_utils import Cluster

    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_health_check_period_ms", "500")
    monkeypatch.setenv("RAY_health_check_failure_threshold", "3")
    cluster: Any = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 2, "object_store_memory": MEMORY}
    )
    try:
        cluster.more = [cluster.add_node(num_cpus=2, object_store_memory=MEMORY) for _ in range(2)]
        yield cluster
    finally:
        cluster.shutdown()


def grid(folder: Path, cells: int, **settings: object) -> Path:
    """A sweep of so many cells: seeds, and two lengths of the prompt."""
    task = write_task(folder)
    lines = [f"task = {json.dumps(str(task))}", "[set]"]
    lines += [f"{json.dumps(key)} = {json.dumps(value)}" for key, value in settings.items()]
    lines += ["[grid]", f'"run.seed" = {list(range(cells // 2))}', '"prompt.length" = [2, 3]']
    file = folder / "sweep.toml"
    file.write_text("\n".join(lines) + "\n")
    return file


def results(out: Path) -> dict[str, object]:
    """Of each cell, without what may differ."""
    found: dict[str, object] = {}
    for file in sorted(out.glob("*/result.json")):
        document = json.loads(file.read_text())
        found[file.parent.name] = {k: v for k, v in document.items() if k not in FREE}
    return found


def sweep(folder: Path, file: Path, out: str, *more: str) -> subprocess.Popen[str]:
    return started(folder, [*TOOL, "sweep", file, "--out", folder / out, *more])


@contextmanager
def slow() -> Iterator[FaultServer]:
    with FaultServer.in_thread(Manners(latency=0.05)) as server:
        yield server


def wait_for(server: FaultServer, requests: int) -> None:
    deadline = time.monotonic() + 120
    while server.books.requests < requests:
        assert time.monotonic() < deadline
        time.sleep(0.01)


async def granted(redis: RedisServer, requests: int) -> None:
    link = Link("x", Address.of("x", redis.url))
    await ask(link, "lab", "set", {"requests": requests})
    await link.close()


def test_a_sweep_outlives_a_node_and_a_redis(tmp_path: Path, nodes: Any) -> None:
    """24 arms, a node killed in the middle, the Redis restarted in the middle: as if nothing was.

    And with cache and budget shared: never a request more than the group's grant.
    """
    (tmp_path / "redis").mkdir()
    with redis_server(tmp_path / "redis") as redis, slow() as server:
        settings = {"model.name": "vllm/fake", "model.base_url": server.url, "optimizer.steps": 4}
        file = grid(tmp_path, 24, **settings)
        assert ended(sweep(tmp_path, file, "here", "--cache", "none")).returncode == 0
        alone, before = results(tmp_path / "here"), server.books.requests
        assert len(alone) == 24
        limit = 2 * before
        asyncio.run(granted(redis, limit))
        shared = ("--cache", redis.url, "--set", "group.name=lab")
        going = sweep(
            tmp_path, file, "there", "--executor", "ray", "--address", nodes.address, *shared
        )
        wait_for(server, before + before // 4)
        nodes.remove_node(nodes.more[0], allow_graceful=False)
        wait_for(server, before + before // 3)
        redis.stop(signal.SIGKILL)
        time.sleep(1.0)
        redis.start()
        out, err = going.communicate(timeout=300)
        assert going.returncode == 0, err
        assert results(tmp_path / "there") == alone
        assert server.books.requests - before <= limit
        assert "[24/24]" in err
        assert "wrote" in out


def test_a_comparison_is_the_same(tmp_path: Path, nodes: Any) -> None:
    """Of all arms and seeds; comparison.json too, but for times."""
    words = [*TOOL, "compare", "reviews", "--model", "simulated/demo", "--steps", "3"]
    words += ["--method", "bdpl", "--method", "random", "--seeds", "3", "--cache", "none"]
    there = ["--executor", "ray", "--address", nodes.address]
    for out, more in (("here", []), ("there", there)):
        done = ended(started(tmp_path, [*words, "--out", tmp_path / out, *more]))
        assert done.returncode == 0, done.stderr
    assert results(tmp_path / "here") == results(tmp_path / "there")
    assert len(results(tmp_path / "there")) == 6


def test_a_model_computes_the_same_bits(tmp_path: Path, nodes: Any) -> None:
    """With as many threads as it would have here."""
    task = tmp_path / "sweep.toml"
    task.write_text('task = "reviews"\n[set]\n"optimizer.steps" = 2\n[grid]\n"run.seed" = [0, 1]\n')
    for out, more in (
        ("here", ()),
        ("there", ("--executor", "ray", "--address", nodes.address)),
    ):
        done = ended(sweep(tmp_path, task, out, "--cache", "none", *more))
        assert done.returncode == 0, done.stderr
    assert results(tmp_path / "here") == results(tmp_path / "there")
    for file in (tmp_path / "here").glob("*/policy.json"):
        assert file.read_bytes() == (tmp_path / "there" / file.parent.name / file.name).read_bytes()


def test_without_a_cluster_one_is_started_and_ended(tmp_path: Path) -> None:
    """On a laptop; and where the folder is not the worker's, its files are brought back."""
    pytest.importorskip("ray", reason="the extra ray is not installed")
    file = grid(tmp_path, 4, **{"model.name": "simulated/demo", "optimizer.steps": 3})
    assert ended(sweep(tmp_path, file, "here", "--cache", "none")).returncode == 0
    done = ended(sweep(tmp_path, file, "there", "--cache", "none", "--executor", "ray"))
    assert done.returncode == 0, done.stderr
    assert results(tmp_path / "here") == results(tmp_path / "there")
    assert not list((tmp_path / "there").glob(".ray-*"))


def test_an_error_of_ours_is_told_as_ours(tmp_path: Path) -> None:
    """No trace of Ray's; cells that are done stay."""
    pytest.importorskip("ray", reason="the extra ray is not installed")
    with FaultServer.in_thread(Manners(model="other")) as server:
        settings = {"model.name": "vllm/fake", "model.base_url": server.url, "optimizer.steps": 2}
        file = grid(tmp_path, 2, **settings)
        done = ended(sweep(tmp_path, file, "there", "--cache", "none", "--executor", "ray"))
    assert done.returncode == 3
    assert "does not exist" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere.invalid:6379", "ray://h:1"])
def test_a_cluster_that_is_not_there_ends_with_2(tmp_path: Path, address: str) -> None:
    """Soon, and before anything is sent."""
    pytest.importorskip("ray", reason="the extra ray is not installed")
    file = grid(tmp_path, 2, **{"model.name": "simulated/demo", "optimizer.steps": 2})
    began = time.monotonic()
    more = ("--executor", "ray", "--address", address)
    done = ended(sweep(tmp_path, file, "there", "--cache", "none", *more))
    assert done.returncode == 2, done.stderr
    assert "--executor ray" in done.stderr
    assert time.monotonic() - began < 30
    assert os.environ.get("RAY_ADDRESS") is None
