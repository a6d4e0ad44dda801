"""A model in Ray actors: the same bits as here, also when an actor dies.

pytest -m cluster tests/cluster/test_ray_roberta.py
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from bdpl_async.errors import ConfigError, LabelError, ProviderRefused
from bdpl_async.records import Request, Text
from bdpl_providers import connect
from bdpl_providers.actors import Actors
from tests.killing import TOOL, ended, environment, started

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.filterwarnings("default"),  # Ray's own, of files that it leaves open
]
LABELS = (" terrible", " great")
REQUESTS = [
    Request(tuple(Text(f"film {i} {'so ' * (j % 9)}It was ", ".") for j in range(64)), LABELS)
    for i in range(12)
]


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One thread, and our code where workers find it."""
    pytest.importorskip("ray", reason="the extra ray is not installed")
    import torch

    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


async def test_scores_are_the_same_bits_whoever_answers() -> None:
    """With as many threads; and a request costs the same tokens."""
    async with connect("roberta/builtin") as here:
        alone = [await here.score(request) for request in REQUESTS]
    async with connect("roberta/builtin", workers=2) as there:
        assert await asyncio.gather(*map(there.score, REQUESTS)) == alone
        assert there.name == "roberta/builtin"
        with pytest.raises(LabelError):
            await there.score(Request(REQUESTS[0].texts, (" unspeakably", " great")))


async def test_a_dead_actor_is_started_anew() -> None:
    """What it had is asked again, with the same answers."""
    async with connect("roberta/builtin") as here:
        alone = [await here.score(request) for request in REQUESTS]
    async with connect("roberta/builtin", workers=2) as scorer:
        there = cast(Actors, scorer)
        asking = [asyncio.create_task(there.score(request)) for request in REQUESTS]
        await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
        there._reach.ray.kill(there._actors[0], no_restart=False)
        assert await asyncio.gather(*asking) == alone
        there._reach.ray.kill(there._actors[1], no_restart=True)
        assert await asyncio.gather(*map(there.score, REQUESTS)) == alone
        there._reach.ray.kill(there._actors[0], no_restart=True)
        with pytest.raises(ProviderRefused, match="have died"):
            await asyncio.gather(*map(there.score, REQUESTS))


async def test_too_many_are_refused() -> None:
    """More than the cluster has cores would wait for ever."""
    with pytest.raises(ConfigError, match=r"model\.workers: 1000 actors"):
        async with connect("roberta/builtin", workers=1000):
            pass


def test_a_run_by_workers_is_the_same_run(tmp_path: Path) -> None:
    """From the command line."""
    words = [*TOOL, "run", "--steps", "3", "--seed", "0", "--ui", "none", "--cache", "none"]
    found = []
    for out, more in (("here", []), ("there", ["--workers", "2"])):
        done = ended(started(tmp_path, [*words, "--out", tmp_path / out, *more]))
        assert done.returncode == 0, done.stderr
        document = json.loads((tmp_path / out / "result.json").read_text())
        found.append({k: document[k] for k in ("prompt", "losses", "dev", "test", "steps_done")})
    assert found[0] == found[1]
