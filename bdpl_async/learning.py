"""The search of a run: ask, score, tell, as long as steps and budget last; then who is to be final.

Every random number comes from (seed, purpose, step), so that a search needs no generator's state
to go on where it stopped.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bdpl_async.data.sampling import minibatch
from bdpl_async.errors import ProviderRefused
from bdpl_async.events import Note, Step
from bdpl_async.methods import Distributed, Maker, make_method
from bdpl_async.plan import Ask, Plan, on_test, shrinking, total
from bdpl_async.policy import xlogx
from bdpl_async.records import Price, Prompt
from bdpl_async.saving.checkpoint import packed, unpacked
from bdpl_async.selection import paired_means
from bdpl_async.session import Session

__all__ = ["Learning"]

DEFAULT_STEPS = 200
FREE = Price(0.0, 0.0)
PATIENCE = 5  # steps without one usable answer before the provider is given up
PLACES = 4  # of the odds in a step's event
SETTLED = "settled"
LULL = 20  # such steps after which one that has been short of budget is over
IDLE = 50  # steps running that the cache answered whole before a search without a limit is over


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
        self._running = _Running()
        self._session = session
        self._gate = session.gate
        self._diary = session.gate.channel.books.diary
        self._labels = session.task.train.labels.tolist()
        limits = [n for n in (session.config.optimizer.steps, plan.updates) if n is not None]
        self.planned = updates = min(limits, default=DEFAULT_STEPS) if plan.update else 0
        updates = max(1, updates)
        self.method = make(session.config, vocabulary, updates, start)

    async def steps(self) -> AsyncIterator[Step | Note]:
        """Updates until the steps or the budget are used up, or until nothing moves if so asked."""
        if not self.plan.update:  # nothing is searched for, so nothing ends it
            return
        running, limit = self._running, self.step_limit
        while running.over is None and (limit is None or len(self.losses) < limit):
            size = self._diary.pick("update", self._affordable)
            if size is None or (running.cut and 4 * size[0] <= self._full()[0]):  # crumbs
                running.over = "budget"
                break
            asked = self._gate.asked
            step = await self._update(*size)
            if step is None:
                break
            idle, heard = self._gate.asked == asked, self._gate.answers > 0
            running.count(step, idle=idle, heard=heard)
            if running.fruitless == PATIENCE:
                raise ProviderRefused(
                    f"{self._session.model}: no usable answer in {PATIENCE} updates running"
                )
            running.cut = running.cut or (tuple(size) != self._full() and not idle)
            running.over = self._over()
            yield step
            if running.over == SETTLED:
                note = f"{IDLE} updates running asked nothing new: the search has settled"
                yield Note(self._gate.elapsed, note)
        self.reason = running.over if running.over not in (None, SETTLED) else self.reason

    def _over(self) -> str | None:
        """Why this update was the last one, if it was."""
        if self._running.cut and self._running.idle == LULL:
            return "budget"
        if self._running.still == self._session.config.optimizer.patience:
            return "converged"
        if self.step_limit is None and self._running.idle == IDLE:
            return SETTLED  # what costs nothing never uses a budget up
        return None

    async def _update(self, samples: int, batch: int) -> Step | None:
        """Ask, score, tell once; None if the method does not search."""
        seed, number = self._session.config.run.seed, len(self.losses)
        prompts = self.method.ask(_rng(seed, _Purpose.STEP, number), samples)
        if not prompts:
            return None
        train = self._session.task.train
        rows = minibatch(self._labels, batch, number, seed)
        losses = await self._session.losses(prompts, [train.examples[i] for i in rows])
        means = paired_means(losses)
        kl, loss = 0.0, float("nan")
        if np.isfinite(means).sum() >= 2:
            kl, loss = self.method.tell(means), float(np.nanmean(means))
        self.losses.append(loss)
        best = self.method.best()
        return Step(
            self._gate.elapsed,
            step=number + 1,
            loss=loss,
            entropy=self.method.entropy(),
            kl=kl,
            prompt=best.text,
            usage=self._gate.totals(),
            tokens=best.tokens,
            **self._positions(),
            **_luckiest(prompts, means),
        )

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
        self._running = _Running(**snapshot["running"])
        arrays = {name: unpacked(array) for name, array in snapshot["method"].items()}
        self.method.restore(arrays)

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
        limited = any(limit is not None for limit in limits)
        return self._session.config.optimizer.steps or (None if limited else DEFAULT_STEPS)


def _luckiest(prompts: Sequence[Prompt], means: NDArray[np.float64]) -> dict[str, Any]:
    """The prompt with the least mean loss of an update."""
    if not np.isfinite(means).any():
        return {}
    place = int(np.nanargmin(means))
    return {"lowest": float(means[place]), "drawn": prompts[place].text}


def _rounded(numbers: NDArray[np.float64]) -> tuple[float, ...]:
    """For people and plots: four places, so that a long run's log stays small."""
    return tuple((np.round(numbers, PLACES) + 0.0).tolist())


def _rng(seed: int, purpose: _Purpose, number: int) -> np.random.Generator:
    return np.random.default_rng([seed, purpose, number])
