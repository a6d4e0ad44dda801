"""Where our packages lie, for processes of their own."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

__all__ = ["environment"]


def environment() -> dict[str, str]:
    """As it is here, with the packages that this process would import."""
    found = []
    for package in ("bdpl_async", "bdpl_providers", "bdpl_cli"):
        spec = find_spec(package)
        assert spec is not None
        assert spec.origin is not None
        found.append(str(Path(spec.origin).parents[1]))
    return {**os.environ, "PYTHONPATH": os.pathsep.join(found)}
