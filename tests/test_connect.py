"""`connect`: from PROVIDER/MODEL to a scorer, built in or a third party's."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from dataclasses import fields
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import bdpl_providers
from bdpl_async.errors import ConfigError
from bdpl_async.records import Reply, Request, Score, Text
from bdpl_providers import Connection, Options, connect, providers
from bdpl_providers.simulated import Simulated


class Managed:
    """A third party's scorer that must be closed."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.name = f"managed/{connection.model}"
        self.state = "made"

    async def __aenter__(self) -> Managed:
        self.state = "open"
        return self

    async def __aexit__(self, *error: object) -> None:
        self.state = "closed"

    async def score(self, request: Request) -> Reply:
        return Reply([Score((-0.5, -1.0)) for _ in request.texts])


@pytest.fixture
def third_party(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An installed package that registers the providers `managed` and `broken`."""
    module = types.ModuleType("managed_provider")
    module.connect = Managed  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "managed_provider", module)
    (tmp_path / "broken_provider.py").write_text("raise RuntimeError('no licence found')\n")
    info = tmp_path / "managed-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: managed\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[bdpl_async.providers]\nmanaged = managed_provider:connect\n"
        "broken = broken_provider:connect\nsimulated = managed_provider:connect\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("broken_provider", None)


NAMES = [
    ("nope/x", "unknown provider 'nope'"),
    ("simulated", "not of the form PROVIDER/MODEL"),
    ("simulated/", "not of the form PROVIDER/MODEL"),
    ("/x", "not of the form PROVIDER/MODEL"),
    ("", "not of the form PROVIDER/MODEL"),
]


@pytest.mark.parametrize(("name", "message"), NAMES)
async def test_unusable(name: str, message: str) -> None:
    """A name that leads nowhere is refused by its key, and the message lists the providers."""
    with pytest.raises(ConfigError, match=message) as caught:
        await connect(name).__aenter__()
    assert "model.name" in str(caught.value)
    assert "compatible, openai, roberta, simulated, vllm" in str(caught.value)


async def test_simulated() -> None:
    """The part behind the first slash names the model, slashes included."""
    async with connect("simulated/a/b") as scorer:
        assert scorer.name == "simulated/a/b"
        reply = await scorer.score(Request((Text("fine "),), (" bad", " good")))
        assert len(reply.scores) == 1


@pytest.mark.parametrize("provider", ["roberta", "simulated"])
async def test_no_server(provider: str) -> None:
    """A model that runs here refuses an address instead of overlooking it."""
    with pytest.raises(ConfigError, match=rf"model\.base_url: {provider}/x runs here"):
        await connect(f"{provider}/x", base_url="http://here").__aenter__()


def test_options_are_the_connections() -> None:
    """`connect` takes every attribute of `Connection` but the model, and nothing else."""
    told = {field.name for field in fields(Connection)} - {"model"}
    assert set(Options.__annotations__) == told


async def test_vllm() -> None:
    """A server's scorer is made without asking the server anything."""
    async with connect("vllm/a/b", base_url="http://127.0.0.1:1/v1") as scorer:
        assert scorer.name == "vllm/a/b"


@pytest.mark.usefixtures("third_party")
async def test_third_party() -> None:
    """An entry point is a provider: it is told how to connect, opened, and closed."""
    assert {"managed", "roberta", "simulated"} <= set(providers())
    async with connect(
        "managed/m", base_url="http://here", api_key_env="KEY", readout="chat", timeout=9.0, ask="?"
    ) as scorer:
        assert isinstance(scorer, Managed)
        assert scorer.connection == Connection(
            "m", "http://here", "KEY", "chat", timeout=9.0, ask="?"
        )
        assert scorer.state == "open"
    assert scorer.state == "closed"


@pytest.mark.usefixtures("third_party")
async def test_closed_on_error() -> None:
    """A scorer is closed also when the run in it fails."""
    connection = connect("managed/m")
    scorer = await connection.__aenter__()
    assert isinstance(scorer, Managed)
    error = ZeroDivisionError()
    assert not await connection.__aexit__(type(error), error, None)
    assert scorer.state == "closed"


@pytest.mark.usefixtures("third_party")
async def test_third_party_broken() -> None:
    """A provider whose package cannot be imported is refused with the reason, not a traceback."""
    with pytest.raises(ConfigError, match=r"'broken' .*no licence found"):
        await connect("broken/m").__aenter__()


@pytest.mark.usefixtures("third_party")
async def test_built_in_wins() -> None:
    """No package can take the place of a built-in provider."""
    async with connect("simulated/x") as scorer:
        assert isinstance(scorer, Simulated)


def test_entry_points_are_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the group bdpl_async.providers is looked at."""
    asked: list[str] = []

    def fake(*, group: str) -> list[EntryPoint]:
        asked.append(group)
        return [EntryPoint("other", "x:y", group)]

    monkeypatch.setattr(bdpl_providers, "entry_points", fake)
    assert providers() == ["compatible", "openai", "other", "roberta", "simulated", "vllm"]
    assert asked == ["bdpl_async.providers"]
