"""A channel on a clock of its own, and exchanges that follow a script."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from bdpl_async.budget import Amount, Budget, Ledger
from bdpl_async.channel import Channel
from bdpl_async.records import Quota, Usage
from bdpl_async.terms import Terms

__all__ = ["ONE", "Answer", "Clock", "Script", "channel"]

ONE = Amount(requests=1, prompts=1, tokens=20, usd=20e-6)


@dataclass(frozen=True)
class Answer:
    """An answer to so many texts."""

    usage: Usage = field(default_factory=lambda: Usage(prompt_tokens=7))
    answered: int | None = None
    quotas: tuple[Quota, ...] = ()


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


@dataclass
class Script:
    """An exchange that does one thing after the other, the last one for ever."""

    acts: Sequence[Exception | Answer]
    calls: int = 0
    times: list[float] = field(default_factory=list)

    async def __call__(self) -> Answer:
        act = self.acts[min(self.calls, len(self.acts) - 1)]
        self.calls += 1
        await asyncio.sleep(0)
        if isinstance(act, Exception):
            raise act
        return act


def channel(
    clock: Clock | None = None, budget: Budget | None = None, terms: Terms | None = None
) -> Channel:
    clock = clock or Clock()
    ledger = Ledger(budget or Budget())
    terms = terms or Terms()
    return Channel("test/x", ledger, terms, clock=clock, sleep=clock.sleep, draw=lambda: 0.5)
