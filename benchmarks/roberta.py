"""The local model against the paper's loop, as `worker.py` measures it, where torch is there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec

from figures import FULL, Figures, Round, Setting

__all__ = ["roberta"]

ROUNDS = 0.4  # of those that others have
Measure = Callable[[int, bool], dict[str, list[float]]]


async def roberta(setting: Setting) -> Round:
    """All of its rounds at once, since loading a model takes long; told one by one."""
    missing = [name for name in ("torch", "worker") if find_spec(name) is None]
    if missing:
        setting.remark(f"the local model is left out: no module {missing[0]}")
    found: dict[str, list[float]] = {}
    told = iter(range(10**6))
    quick = setting.sizes.megabytes < FULL.megabytes

    async def once() -> Figures:
        if not missing and not found:
            measure: Measure = import_module("worker").figures
            rounds = max(1, round(ROUNDS * setting.sizes.rounds))
            found.update(await asyncio.to_thread(measure, rounds, quick))
        turn = next(told)
        return {name: values[turn] for name, values in found.items() if turn < len(values)}

    return once
