"""The search of a run: ask, score, tell, as long as steps and budget last; then who is to be final.

Every random number comes from (seed, purpose, step), so that a search needs no generator's state
to go on where it stopped.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass
from enum import IntEnum
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bdpl_async.data.sampling import minibatch
from bdpl_async.errors import BudgetExhausted, ProviderRefused
from bdpl_async.events import Note, Step
from bdpl_async.methods import Distributed, Maker, known, lag_for, make_method
from bdpl_async.pipeline import Asked, Pipeline
from bdpl_async.plan import Ask, Plan, on_test, shrinking, total
from bdpl_async.policy import xlogx
from bdpl_async.records import Price, Prompt
from bdpl_async.saving.checkpoint import packed, unpacked
from bdpl_async.selection import luckiest, paired_means
from bdpl_async.session import Session

__all__ = ["Learning"]

DEFAULT_STEPS = 200
FREE = Price(0.0, 0.0)
PATIENCE = 5  # steps without one usable answer before the provider is given up
PLACES = 4  # of the odds in a step's event
SETTLED = "settled"
LULL = 20  # such steps after which one that has been short of budget is over
LEG = 32  # updates, after which the state is kept and plans are made anew
IDLE = 50  # steps running that the cache answered whole before a search without a limit is over
SETTLING = f"{IDLE} updates running asked nothing new: the search has settled"


class _Purpose(IntEnum):
    """Names the random streams of a run."""

    STEP = 1
    FINALISTS = 2


@dataclass(slots=True)
class _Running:
    """For how many updates running: no usable answer, nothing new asked, the same best prompt.

    `cut`: one was smaller than usual, for want of budget; `over`: why there are to be no more.
    """

    fruitless: int = 0
    idle: int = 0
    still: int = 0
    prompt: str | None = None
    cut: bool = False
    over: str | None = None

    def count(self, step: Step, *, idle: bool, heard: bool) -> None:
        self.fruitless = 0 if heard and np.isfinite(step.loss) else self.fruitless + 1
        self.idle = self.idle + 1 if idle else 0
        self.still = self.still + 1 if step.prompt == self.prompt else 0
        self.prompt = step.prompt


class Learning:
    """A method at work on one session.

    Attributes:
        plan: what the end of the run is to keep.
        lag: updates under way beside the one that is told next.
        method: paced by the updates that steps and budget allow.
        losses: mean loss of each update so far.
        reason: why it is over, in the words of ``stop_reason``.
    """

    def __init__(
        self,
        session: Session,
        vocabulary: tuple[str, ...],
        plan: Plan,
        start: Prompt | None = None,
        make: Maker = make_method,
    ) -> None:
        self.plan = plan
        self.losses: list[float] = []
        self.reason = "steps"
        self._begun = 0  # updates asked for
        self._pipeline: Pipeline | None = None
        self._running = _Running()
        self._session = session
        self._gate = session.gate
        self._diary = session.gate.channel.books.diary
        self._labels = session.task.train.labels.tolist()
        limits = [n for n in (session.config.optimizer.steps, plan.updates) if n is not None]
        self.planned = updates = min(limits, default=DEFAULT_STEPS) if plan.update else 0
        updates = max(1, updates)
        self.method = make(session.config, vocabulary, updates, start)
        local = session.gate.channel.terms.local
        self.lag = lag_for(session.config, self.method, self.planned, local=local)

    async def steps(self) -> AsyncIterator[Step | Note]:
        """Updates until the steps or the budget are used up, or until nothing moves if so asked."""
        if not self.plan.update:  # nothing is searched for, so nothing ends it
            return
        while self._running.over is None and self._steps_left:
            leg = self._diary.pick("update", self._leg)
            if leg is None or (self._running.cut and 4 * leg[0] <= self._full()[0]):  # crumbs
                self._running.over = "budget"
                break
            done = len(self.losses)
            *size, count = leg
            async with aclosing(self._updates(*size, count=count)) as events:
                async for event in events:
                    yield event
            if len(self.losses) == done:
                break
        over = self._running.over
        self.reason = over if over not in (None, SETTLED) else self.reason

    async def _updates(self, *size: int, count: int) -> AsyncGenerator[Step | Note]:
        """At most `count` updates of one size; fewer where others took the rest of the budget."""
        self._pipeline = Pipeline(partial(self._begin, *size), self.lag)
        try:
            async with aclosing(self._pipeline.answered(count)) as answered:
                async for asked in answered:
                    step = self._told(asked, cut=size != self._full())
                    yield step
                    if self._running.over == SETTLED:
                        yield Note(step.t, SETTLING)
        except BudgetExhausted:
            if self._gate.channel.group is None:
                raise
            self._running.over = "budget"

    @property
    def resting(self) -> bool:
        """Whether nothing is under way, so that its state is all of it."""
        return self._pipeline is None or self._pipeline.resting

    @property
    def _steps_left(self) -> int:
        limit = self.step_limit
        return LEG if limit is None else limit - len(self.losses)

    def _over(self) -> str | None:
        """Why this update was the last one, if it was."""
        if self._running.cut and self._running.idle == LULL:
            return "budget"
        if self._running.still == self._session.config.optimizer.patience:
            return "converged"
        if self.step_limit is None and self._running.idle == IDLE:
            return SETTLED  # what costs nothing never uses a budget up
        return None

    def _begin(self, samples: int, batch: int) -> Asked | None:
        """Ask for the next update; None if there is to be none, or the method does not search."""
        if self._running.over is not None:
            return None
        seed, number = self._session.config.run.seed, self._begun
        prompts = self.method.ask(_rng(seed, _Purpose.STEP, number), samples)
        if not prompts:
            return None
        train, known = self._session.task.train, self._gate.asked
        rows = minibatch(self._labels, batch, number, seed)
        losses = self._session.losses(prompts, [train.examples[i] for i in rows])
        self._begun += 1
        return Asked(prompts, asyncio.create_task(losses), idle=self._gate.asked == known)

    def _told(self, asked: Asked, *, cut: bool) -> Step:
        """Tell the method what came of an update; whether it was the last one.

        Raises:
            ProviderRefused: one update after the other got no usable answer.
        """
        running, means = self._running, paired_means(asked.losses.result())
        kl = self.method.tell(means)
        loss = float(np.nanmean(means)) if known(means).any() else float("nan")
        self.losses.append(loss)
        best = self.method.best()
        step = Step(
            self._gate.elapsed,
            step=len(self.losses),
            loss=loss,
            entropy=self.method.entropy(),
            kl=kl,
            prompt=best.text,
            usage=self._gate.totals(),
            tokens=best.tokens,
            **self._positions(),
            **luckiest(asked.prompts, means),
        )
        running.count(step, idle=asked.idle, heard=self._gate.answers > 0)
        if running.fruitless == PATIENCE:
            raise ProviderRefused(
                f"{self._session.model}: no usable answer in {PATIENCE} updates running"
            )
        running.cut = running.cut or (cut and not asked.idle)
        running.over = running.over or self._over()
        return step

    def _positions(self) -> dict[str, Any]:
        """How sure the method is of each token of its best guess, where it can say."""
        if not isinstance(self.method, Distributed):
            return {}
        odds = self.method.probabilities
        spread = -xlogx(odds).sum(axis=1)
        return {"odds": _rounded(odds.max(axis=1)), "spread": _rounded(spread)}

    def finalists(self) -> list[Prompt]:
        """As many as the plan wants and the rest of the budget scores; always the best guess."""
        prompts = self._candidates()
        while len(prompts) > 1 and not self._fits(self.plan.closing(len(prompts))):
            prompts.pop()
        return prompts

    def chosen(self) -> list[Prompt]:
        """The finalists, as many as were decided on when it came to that."""
        count: int = self._diary.pick("finalists", lambda: len(self.finalists()))
        return self._candidates()[:count]

    def _candidates(self) -> list[Prompt]:
        """As many finalists as the plan wants."""
        rng = _rng(self._session.config.run.seed, _Purpose.FINALISTS, len(self.losses))
        return self.method.finalists(rng, self.plan.finalists)

    def tested(self) -> int:
        """Test examples that are scored: all that the plan has, unless what is left holds fewer."""

        def affordable() -> int:
            forecast = self._gate.forecast
            counts = (*shrinking(self.plan.test, 1), 0)
            prices = ((count, total(forecast.cost, on_test(count))) for count in counts)
            return next(count for count, price in prices if not count or forecast.affords(price))

        count: int = self._diary.pick("test", affordable) if self.plan.test else 0
        return count

    def snapshot(self) -> dict[str, Any]:
        """All state, as JSON that later updates do not touch."""
        method = {name: packed(array) for name, array in self.method.snapshot().items()}
        return {"losses": list(self.losses), "running": asdict(self._running), "method": method}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Be as at `snapshot`.

        Raises:
            IndexError, KeyError, TypeError, ValueError: it is none of this method.
        """
        losses = snapshot["losses"]
        self.losses = [float("nan") if loss is None else float(loss) for loss in losses]
        self._begun = len(self.losses)
        self._running = _Running(**snapshot["running"])
        arrays = {name: unpacked(array) for name, array in snapshot["method"].items()}
        self.method.restore(arrays)

    def _leg(self) -> tuple[int, int, int] | None:
        """(samples, examples, updates) until everything under way is awaited, or None.

        Decided when nothing is, so that it does not depend on what has arrived by chance. Forecasts
        may be wrong, so a leg of several takes half of what is left at most.
        """
        size, count = self._affordable(), 1
        if self.lag and size is not None and size == self._full():
            texts, closing = size[0] * (size[1] + self.plan.extra), self.plan.closing()
            counts = range(min(LEG, self._steps_left), 1, -1)
            count = next((n for n in counts if self._fits([Ask(2 * n * texts), *closing])), 1)
        return None if size is None else (*size, count)

    def _affordable(self) -> tuple[int, int] | None:
        """(samples, examples) of the next update that leaves enough for the end, or None.

        The last update is cut to what is left, so that a budget is used and not left lying.
        """
        (samples, batch), extra = self._full(), self.plan.extra
        closing = self.plan.closing()
        if not self._fits([Ask(samples * (batch + extra)), *closing]):
            closing = self.plan.closing(len(self.finalists()))
        for size in (*((i, batch) for i in range(samples, 1, -1)), (2, 1)):
            if self._fits([Ask(size[0] * (size[1] + extra)), *closing]):
                return size
        return None

    def _full(self) -> tuple[int, int]:
        """(samples, examples) of an update that nothing cuts."""
        settings = self._session.config.optimizer
        return settings.samples, min(settings.batch, len(self._session.task.train))

    def _fits(self, asks: Sequence[Ask]) -> bool:
        forecast = self._gate.forecast
        return forecast.affords(total(forecast.cost, asks), self.plan.reserve)

    @property
    def step_limit(self) -> int | None:
        """The user's steps; without them and without a budget that runs out, a default."""
        budget, price = self._gate.ledger.budget, self._gate.channel.terms.price
        usd = budget.usd if price is not None and price != FREE else None
        limits = (budget.requests, budget.prompts, budget.tokens, usd, budget.seconds)
        shared = self._gate.channel.group is not None
        limited = shared or any(limit is not None for limit in limits)
        return self._session.config.optimizer.steps or (None if limited else DEFAULT_STEPS)


def _rounded(numbers: NDArray[np.float64]) -> tuple[float, ...]:
    """For people and plots: four places, so that a long run's log stays small."""
    return tuple((np.round(numbers, PLACES) + 0.0).tolist())


def _rng(seed: int, purpose: _Purpose, number: int) -> np.random.Generator:
    return np.random.default_rng([seed, purpose, number])
