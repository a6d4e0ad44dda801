"""The rules of `bdpl_async.sharing.grants`: who may join a group, and who waits for it.

Against a stand-in that answers as told; tests/cluster has the real ledger.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bdpl_async.config import Config, load_config
from bdpl_async.errors import ConfigError, ProviderUnavailable
from bdpl_async.overrides import Value
from bdpl_async.sharing.grants import joined, refuse_absent
from tests.fakeredis import away
from tests.test_member import Ledger
from tests.test_rediscache import Clock
from tests.workbench import write_task


class Redis(Ledger):
    """A ledger with one group, for every link that is made.

    Attributes:
        tries: still to fail.
        asks: what was asked of the grant.
        open: links that nobody closed.
    """

    def __init__(self, tries: int = 0, policy: bytes = b"noeviction") -> None:
        super().__init__()
        self.tries, self.policy = tries, policy
        self.asks: list[str] = []
        self.open = 0

    def __call__(self, *address: object) -> Redis:
        self.open += 1
        return self

    async def run(self, script: str, *values: Any, patience: float = 2.0) -> list[Any]:
        if script != "grant":
            return await super().run(script, *values, patience=patience)
        self.asks.append(values[2])
        if self.tries:
            self.tries -= 1
            raise away()
        return [0, [b"mark", b"m", b"requests", b"9"], [], 0, b"1", self.policy]

    async def close(self) -> None:
        self.open -= 1


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return configured(tmp_path, {"group.name": "team", "group.redis": "redis://fake/0"})


def configured(folder: Path, overrides: dict[str, Value]) -> Config:
    return load_config(write_task(folder), overrides)


def stands(monkeypatch: pytest.MonkeyPatch, redis: Redis) -> Redis:
    monkeypatch.setattr("bdpl_async.sharing.grants.Link", redis)
    return redis


async def test_a_lone_run_is_refused_at_once(
    monkeypatch: pytest.MonkeyPatch, config: Config
) -> None:
    """Where the group's Redis is away when it begins: most often the address is wrong."""
    redis, clock = stands(monkeypatch, Redis(tries=1)), Clock()
    with pytest.raises(ConfigError, match=r"group\.redis: redis://fake.* cannot be used"):
        async with joined(config, clock=clock, sleep=clock.sleep):
            raise AssertionError
    assert (redis.asks, redis.open) == (["join"], 0)


async def test_a_cell_waits_for_a_redis_that_was_there(
    monkeypatch: pytest.MonkeyPatch, config: Config
) -> None:
    """One that begins while the Redis is restarted joins when that is back."""
    redis, clock = stands(monkeypatch, Redis(tries=5)), Clock()
    async with joined(config, 60.0, clock=clock, sleep=clock.sleep) as member:
        assert member is not None
        assert member.name == "team"
    assert len(redis.asks) == 6
    assert redis.open == 0


async def test_it_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch, config: Config) -> None:
    """After its patience the cell ends as a run does whose group's Redis is away."""
    redis, clock = stands(monkeypatch, Redis(tries=1_000)), Clock()
    began = clock()
    with pytest.raises(ProviderUnavailable, match=r"cannot be used: no answer.* for 60 s"):
        async with joined(config, 60.0, clock=clock, sleep=clock.sleep):
            raise AssertionError
    assert 60.0 <= clock() - began <= 62.0
    assert redis.open == 0


async def test_many_runs_of_a_group_ask_once_before_the_first(
    monkeypatch: pytest.MonkeyPatch, config: Config, tmp_path: Path
) -> None:
    """And nothing is made there: a look. A Redis that may drop budgets is refused here."""
    redis = stands(monkeypatch, Redis())
    await refuse_absent([config, configured(tmp_path, {}), config])
    assert (redis.asks, redis.open) == (["see"], 0)
    redis.policy = b"allkeys-lru"
    with pytest.raises(ConfigError, match="may drop a group's budget"):
        await refuse_absent([config])
    redis.tries = 1
    with pytest.raises(ConfigError, match="cannot be used"):
        await refuse_absent([config])
    assert redis.open == 0
