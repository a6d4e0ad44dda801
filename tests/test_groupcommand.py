"""The rules of `bdpl_cli.group`: limits that are limits, and what is left of each.

The Redis is a stand-in here; tests/cluster has a real one.
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson
import pytest

from bdpl_async.budget import Amount
from bdpl_async.errors import ConfigError
from bdpl_async.sharing.grants import Grant
from bdpl_cli.main import app

FOUND = Grant(
    mark="m",
    new=False,
    limits={"requests": 1000.0, "usd": 5.0, "rpm": 500.0},
    spent=Amount(100, 120, 3000, 0.75),
    held=Amount(10, 10, 300, 0.25),
    kept=Amount(40, 40, 1200, 0.5),
    members=2,
    lasts=False,
)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, Mapping[str, float | None]]]:
    """What the Redis was asked; it gives `FOUND`, but for ``nobody``."""
    calls: list[tuple[str, str, Mapping[str, float | None]]] = []

    class Link:
        def __init__(self, key: str, address: object) -> None:
            self.address = address

        async def close(self) -> None:
            pass

    async def ask(
        link: Link, name: str, what: str, limits: Mapping[str, float | None]
    ) -> Grant | None:
        calls.append((name, what, limits))
        return None if name == "nobody" else FOUND

    monkeypatch.setattr("bdpl_async.sharing.link.Link", Link)
    monkeypatch.setattr("bdpl_async.sharing.grants.ask", ask)
    monkeypatch.setenv("BDPL_REDIS_URL", "redis://here")
    return calls


def call(*words: str) -> None:
    app(["group", *words], exit_on_error=False, result_action="return_value")


Asked = list[tuple[str, str, Mapping[str, float | None]]]


def test_without_limits_nothing_is_changed(
    asked: Asked, capsys: pytest.CaptureFixture[str]
) -> None:
    """It shows what is granted, spent, under way, kept and left."""
    call("team")
    assert asked == [("team", "see", {})]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "team at redis://here:6379/0: 2 runs at work"
    assert lines[2].split() == ["requests", "1,000", "100", "10", "40", "850"]
    assert lines[3].split() == ["prompts", "none", "120", "10", "40", "-"]
    assert lines[5].split() == ["usd", "5", "0.7500", "0.2500", "0.5000", "3.5000"]
    assert lines[6] == "500 requests a minute"
    assert "appendonly yes" in " ".join(lines[7:])


def test_limits_are_set_and_taken_away(asked: Asked) -> None:
    """Those that are named; the others stay."""
    call("team", "--max-usd", "5", "--rpm", "none", "--max-requests", "100")
    assert asked == [("team", "set", {"requests": 100.0, "usd": 5.0, "rpm": None})]


def test_a_program_gets_a_document(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    """With all numbers."""
    call("team", "--json")
    document = orjson.loads(capsys.readouterr().out)
    assert document["limits"] == FOUND.limits
    assert document["spent"] == {"requests": 100, "prompts": 120, "tokens": 3000, "usd": 0.75}
    assert (document["members"], document["lasts"]) == (2, False)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nobody",), "no budget group 'nobody'"),
        (("two words",), "NAME: letters"),
        (("",), "NAME: letters"),
        (("team", "--max-usd", "0"), "--max-usd: '0' is no limit"),
        (("team", "--max-usd", "-1"), "--max-usd"),
        (("team", "--rpm", "nan"), "--rpm"),
        (("team", "--tpm", "inf"), "--tpm"),
        (("team", "--max-requests", "many"), "--max-requests"),
        (("team", "--redis", "http://h"), "--redis: is no address"),
        (("team", "--redis", "redis://:word@h"), "--redis: holds a password"),
    ],
)
def test_what_is_none_is_refused(asked: Asked, words: tuple[str, ...], said: str) -> None:
    """Naming it, and changing nothing."""
    with pytest.raises(ConfigError, match=said):
        call(*words)
    assert [what for _, what, _ in asked if what == "set"] == []


def test_without_a_redis_there_is_no_group(monkeypatch: pytest.MonkeyPatch) -> None:
    """One must be named."""
    monkeypatch.delenv("BDPL_REDIS_URL", raising=False)
    with pytest.raises(ConfigError, match="no Redis is named"):
        call("team")
