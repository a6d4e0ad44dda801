"""An event loop whose clock jumps to the next timer, and providers that count on that clock.

Nothing waits: a simulated hour of requests takes as long as its bookkeeping. A loop in which
nobody would ever wake raises instead of hanging.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import selectors
from collections import deque
from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

from bdpl_async.errors import ProviderError, RateLimited
from bdpl_async.limits.backoff import wait
from bdpl_async.limits.limiter import Limiter
from bdpl_async.records import Quota

Result = TypeVar("Result")


class Skipping(selectors.DefaultSelector):
    """Waits no time; the loop's clock moves instead."""

    now = 1000.25  # no round number, and far from 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise RuntimeError("everybody waits and nobody will ever wake")
            self.now += max(timeout, 0.0)
        return ready


class Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.skipping = Skipping()
        super().__init__(self.skipping)

    def time(self) -> float:
        return self.skipping.now


def virtually(work: Coroutine[Any, Any, Result]) -> Result:
    """Run `work` to its end; tasks that it leaves behind are an error."""
    loop = Loop()
    try:
        result = loop.run_until_complete(work)
        loop.run_until_complete(asyncio.sleep(0))  # a silenced alarm has yet to hear of it
        assert not asyncio.all_tasks(loop)
        return result
    finally:
        loop.close()


def now() -> float:
    return asyncio.get_running_loop().time()


class Rule(Protocol):
    """How a provider counts."""

    def allows(self, at: float, amount: float) -> bool: ...


class Fixed:
    """So much in each period, aligned to the clock."""

    def __init__(self, limit: float, period: float = 60.0) -> None:
        self.limit, self.period = limit, period
        self.window, self.used = -1, 0.0

    def allows(self, at: float, amount: float) -> bool:
        if int(at // self.period) != self.window:
            self.window, self.used = int(at // self.period), 0.0
        if self.used + amount > self.limit:
            return False
        self.used += amount
        return True

    def reset(self, at: float) -> float:
        return self.period - at % self.period


class Sliding:
    """So much in any period."""

    def __init__(self, limit: float, period: float = 60.0) -> None:
        self.limit, self.period = limit, period
        self.log: deque[tuple[float, float]] = deque()
        self.used = 0.0

    def allows(self, at: float, amount: float) -> bool:
        while self.log and self.log[0][0] <= at - self.period:
            self.used -= self.log.popleft()[1]
        if self.used + amount > self.limit:
            return False
        self.log.append((at, amount))
        self.used += amount
        return True


class Refilling:
    """A bucket that holds one period's worth and refills all the time."""

    def __init__(self, limit: float, period: float = 60.0) -> None:
        self.limit, self.period = limit, period
        self.level, self.seen = limit, 0.0

    def allows(self, at: float, amount: float) -> bool:
        refill = (at - self.seen) * self.limit / self.period
        self.level, self.seen = min(self.limit, self.level + refill), at
        if amount > self.level + 1e-9:
            return False
        self.level -= amount
        return True


class Provider:
    """Answers after a noisy while, or refuses by its rules.

    Args:
        rules: each is asked with 1, or with the request's tokens where `tokens` names it.
    """

    def __init__(
        self,
        *rules: Rule,
        parallel: int | None = None,
        latency: float = 0.3,
        kind: str = "rate",
        retry_after: Any = None,
        quotas: Any = None,
        tokens: Rule | None = None,
        seed: int = 0,
        shuffled: bool = True,
    ) -> None:
        self.rules, self.parallel, self.latency = rules, parallel, latency
        self.kind, self.retry_after, self.quotas, self.tokens = kind, retry_after, quotas, tokens
        self.noise = random.Random(seed)
        self.shuffled = shuffled
        self.at_once = 0
        self.answers: list[float] = []
        self.refusals: list[float] = []
        self.spent = 0

    def refusal(self) -> RateLimited:
        after = self.retry_after(now()) if callable(self.retry_after) else self.retry_after
        error = RateLimited("too many", retry_after=after, fate="refused")
        error.kind = self.kind  # type: ignore[assignment]  # a str here, a Literal there
        return error

    async def ask(self, tokens: int = 0) -> tuple[Quota, ...]:
        """As over a wire: requests overtake each other."""
        await asyncio.sleep(self.noise.uniform(0.001, 0.02) if self.shuffled else 0.01)
        full = self.parallel is not None and self.at_once >= self.parallel
        if (
            full
            or not all(rule.allows(now(), 1) for rule in self.rules)
            or (self.tokens is not None and not self.tokens.allows(now(), tokens))
        ):
            self.refusals.append(now())
            await asyncio.sleep(self.noise.uniform(0.001, 0.02))
            raise self.refusal()
        self.at_once += 1
        await asyncio.sleep(self.noise.lognormvariate(0.0, 0.5) * self.latency)
        self.at_once -= 1
        self.answers.append(now())
        self.spent += tokens
        told: tuple[Quota, ...] = self.quotas(now()) if self.quotas else ()
        await asyncio.sleep(self.noise.uniform(0.001, 0.02))
        return told


async def besiege(
    limiter: Limiter, provider: Provider, seconds: float, *, workers: int = 64, tokens: int = 0
) -> None:
    """Send all that the limiter lets through, for so long."""
    end = now() + seconds
    reserved = random.Random(1)

    async def work() -> None:
        while now() < end:
            bound = reserved.randint(tokens, 2 * tokens)
            ticket = await limiter.acquire(bound)
            if now() >= end:
                limiter.abandoned(ticket)
                return
            used = bound if not tokens else max(1, bound - reserved.randint(0, tokens // 2))
            try:
                told = await provider.ask(used)
            except ProviderError as error:
                limiter.failed(ticket, error)
            else:
                limiter.answered(ticket, used, told)

    await asyncio.gather(*(work() for _ in range(workers)))


def limiter_of(rpm: float | None = None, tpm: float | None = None, most: int = 64) -> Limiter:
    return Limiter(rpm=rpm, tpm=tpm, concurrency=most, clock=now, sleep=asyncio.sleep)


class Moody:
    """Refuses at random, or each so-manieth request: by no limit at all.

    Args:
        refusals: kind -> chance, or a whole number for each so-manieth. The kinds are `none`,
            `slow_down`, `parallel`, or the seconds that the refusal asks for.
    """

    def __init__(self, refusals: dict[str, float], *, latency: float = 0.02, seed: int = 0) -> None:
        self.refusals, self.latency = refusals, latency
        self.noise = random.Random(seed)
        self.seen = 0
        self.refused: list[float] = []
        self.asked = 0.0  # seconds, in all
        self.at_once = 0
        self.crowds: list[int] = []  # in flight, at each request

    async def ask(self) -> None:
        kind = self._drawn()
        self.at_once += 1
        self.crowds.append(self.at_once)
        await asyncio.sleep(self.noise.uniform(0.8, 1.2) * self.latency)
        self.at_once -= 1
        if kind is None:
            return
        self.refused.append(now())
        named = kind in ("none", "slow_down", "parallel")
        error = RateLimited("no", retry_after=None if named else float(kind), fate="refused")
        if kind in ("slow_down", "parallel"):
            error.kind = kind  # type: ignore[assignment]  # a str here, a Literal there
        self.asked += error.retry_after or 0.25
        raise error

    def _drawn(self) -> str | None:
        self.seen += 1
        draw = self.noise.random()
        for kind, rate in self.refusals.items():
            if isinstance(rate, int):
                if self.seen % rate == 0:
                    return kind
            elif (draw := draw - rate) < 0:
                return kind
        return None


async def errand(limiter: Limiter, provider: Moody, requests: int, workers: int) -> float:
    """Send so many requests, each again until it is answered; the seconds that took."""
    began, draws = now(), random.Random(2)
    left = iter(range(requests))

    async def one() -> None:
        for tries in itertools.count(1):
            ticket = await limiter.acquire(1)
            try:
                await provider.ask()
            except ProviderError as error:
                limiter.failed(ticket, error)
                await asyncio.sleep(wait(tries, error, draws.random()))
            else:
                limiter.answered(ticket, 1, ())
                return

    async def work() -> None:
        for _ in left:
            await one()

    await asyncio.gather(*(work() for _ in range(workers)))
    return now() - began
