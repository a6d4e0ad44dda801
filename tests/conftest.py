"""Every test has a cache of its own, and neither keys nor proxies of whoever runs it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from itertools import count
from typing import Final

import pytest
from hypothesis import settings

# The first example pays for imports, and a busy machine for everything: neither is a failure.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
NUMBERS: Final = count()


@pytest.fixture(autouse=True)
def _alone(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that a test starts inherit this."""
    caches = tmp_path_factory.getbasetemp() / "caches" / str(next(NUMBERS))
    monkeypatch.setenv("XDG_CACHE_HOME", str(caches))
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith(("OPENAI_", "VLLM_")):
            monkeypatch.delenv(name)


@pytest.fixture
def _signals() -> Iterator[None]:
    """What a command makes of signals is undone."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)
