"""The rules of `bdpl_providers.actors` that need no Ray; tests/cluster has the rest."""

from __future__ import annotations

import sys

import pytest

from bdpl_async.errors import ConfigError
from bdpl_providers import connect


async def test_workers_are_for_models_of_ours() -> None:
    """A server has its own."""
    with pytest.raises(ConfigError, match=r"model\.workers: vllm has no workers"):
        async with connect("vllm/m", workers=2):
            pass


async def test_without_ray_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before a model is loaded."""
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"model\.workers: needs the package ray") as caught:
        async with connect("roberta/builtin", workers=2):
            pass
    assert "bdpl-async[ray]" in str(caught.value.hint)


async def test_what_the_model_refuses_is_refused_first() -> None:
    """As without workers."""
    with pytest.raises(ConfigError, match="runs here, there is no server"):
        async with connect("roberta/builtin", workers=2, base_url="http://h/v1"):
            pass
