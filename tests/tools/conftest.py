"""The tools that exports are for, found by variables; what is unset is skipped by name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


def _tool(variable: str) -> Path:
    named = os.environ.get(variable)
    if not named:
        pytest.skip(f"{variable} is not set, see CONTRIBUTING.md")
    path = Path(named)
    assert path.exists(), f"{variable}: there is no {path}"
    return path


@pytest.fixture(scope="session")
def dspy() -> Path:
    """A python that has DSPy."""
    return _tool("BDPL_TOOLS_DSPY")


@pytest.fixture(scope="session")
def promptfoo() -> Path:
    """The command promptfoo."""
    return _tool("BDPL_TOOLS_PROMPTFOO")


@pytest.fixture(scope="session")
def jupyter() -> Path:
    """A python that has nbclient and ipykernel."""
    return _tool("BDPL_TOOLS_JUPYTER")


@pytest.fixture
def ours() -> str:
    """PYTHONPATH of another python that shall find this package and what it needs."""
    import numpy

    parts = [ROOT, ROOT / "providers", ROOT / "cli", Path(numpy.__file__).parent.parent]
    return os.pathsep.join(map(str, parts))
