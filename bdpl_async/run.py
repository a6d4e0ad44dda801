"""One run from the first probe to the result: ask, score, tell, choose, test.

    Run.open   vocabulary, method, probe, plan: what can be refused is refused here
    events     baseline -> updates -> selection on dev -> test, as a stream of events

It knows neither HTTP nor a terminal. Every random number comes from (seed, purpose, step), so a
run needs no generator's state to go on where it stopped.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import replace
from enum import IntEnum

import numpy as np

from bdpl_async.cache import Cache
from bdpl_async.channel import Channel
from bdpl_async.config import Config
from bdpl_async.errors import BdplError, BudgetExhausted, BudgetTooSmall, ProviderRefused
from bdpl_async.evaluation import Evaluation, Gain
from bdpl_async.events import Evaluated, Event, Finished, Note, Step
from bdpl_async.finals import choose, final
from bdpl_async.halt import Stopped
from bdpl_async.methods import Method, drawn, make_method, searches
from bdpl_async.notices import Notices, opening
from bdpl_async.plan import FEWEST_DEV, Ask, Plan, total
from bdpl_async.records import Price, Prompt
from bdpl_async.result import Baseline, Result
from bdpl_async.sampling import minibatch
from bdpl_async.scorer import Scorer
from bdpl_async.selection import paired_means
from bdpl_async.session import Session
from bdpl_async.task import Task

__all__ = ["Run"]

DEFAULT_STEPS = 200
FREE = Price(0.0, 0.0)
PATIENCE = 5  # steps without one usable answer before the provider is given up
IDLE = 50  # steps running that the cache answered whole before a search without a limit is over


Watch = Callable[[Channel], AbstractAsyncContextManager[None]]


def _unwatched(channel: Channel) -> AbstractAsyncContextManager[None]:
    return nullcontext()


class _Purpose(IntEnum):
    """Names the random streams of a run."""

    STEP = 1
    FINALISTS = 2


class Run:
    """A run in progress; made by `Run.open`.

    Attributes:
        gate: counts everything; ``gate.halt()`` ends the run in good order.
        config: as given, with the task's own tables.
    """

    def __init__(self, session: Session, vocabulary: tuple[str, ...], plan: Plan) -> None:
        self.session = session
        self.task = session.task
        self.config = session.config
        self.gate = session.gate
        self._vocabulary = vocabulary
        self._labels = session.task.train.labels.tolist()
        self._plan = plan
        self._method = self._fresh_method()
        self._losses: list[float] = []
        self._prompt = self._method.best()
        self._dev: Evaluation | None = None
        self._test: Evaluation | None = None
        self._gain: Gain | None = None
        self._baseline = Baseline()
        self._reason = "steps"
        self._notices = Notices(session.gate)

    @classmethod
    async def open(
        cls,
        task: Task,
        scorer: Scorer,
        config: Config | None = None,
        *,
        cache: Cache | None = None,
        probing: Watch = _unwatched,
        clock: Callable[[], float] = time.monotonic,
    ) -> Run:
        """Check all that can be checked, and divide the budget.

        Args:
            task: what is to be learned.
            scorer: the model.
            config: None takes the task's.
            cache: answers of earlier runs.
            probing: entered while the model is probed, to tell a person what is waited for.
            clock: monotonic seconds.

        Raises:
            UsageError: configuration, data or label words cannot be used.
            BudgetTooSmall: the grant does not buy one update and its evaluation.
            ProviderRefused: the model cannot be used at all.
        """
        config = config or task.config
        vocabulary = task.vocabulary() if searches(config) else ()
        session = Session.prepare(task, scorer, config, cache=cache, clock=clock)
        await session.expect(drawn(config, vocabulary))
        run = cls(session, vocabulary, session.plan())  # what is refused anyway, unsent
        async with probing(session.gate.channel):
            await session.probe()
        run._replan(session.plan())
        return run

    def _replan(self, plan: Plan) -> None:
        self._plan = plan
        self._method = self._fresh_method()
        self._prompt = self._method.best()

    def _fresh_method(self) -> Method:
        """The method, paced by the updates that steps and budget allow."""
        limits = [n for n in (self.config.optimizer.steps, self._plan.updates) if n is not None]
        return make_method(self.config, self._vocabulary, min(limits, default=DEFAULT_STEPS))

    async def events(self) -> AsyncIterator[Event]:
        """Run to the end; the last event is `Finished`, also when interrupted.

        Raises:
            ProviderError: the model's side gave up; after `Finished`.
            BudgetTooSmall: the seconds turned out not to buy one update; after `Finished`.
        """
        failure: BdplError | None = None
        started, *found = opening(self.session, self._plan, self._step_limit())
        for event in (started, *self._notices.new(found[0].t), *found):
            yield event
        try:
            async for event in self._phases():
                for notice in self._notices.new(event.t):
                    yield notice
                yield event
        except Stopped:
            self._reason = "interrupted"
        except BudgetExhausted as error:
            self._reason = "budget"
            self._notices.add(str(error))
        except BdplError as error:
            self._reason = "budget" if isinstance(error, BudgetTooSmall) else "provider"
            failure = error
        for notice in self._notices.new(self.gate.elapsed):
            yield notice
        yield Finished(self.gate.elapsed, self.result())
        if failure is not None:
            raise failure

    def result(self) -> Result:
        """What is known by now, in the contract's form."""
        task = self.task
        return Result(
            task=task.name,
            model=self.session.model,
            method=self.config.optimizer.method,
            seed=self.config.run.seed,
            prompt=self._prompt.text,
            tokens=self._prompt.tokens,
            template=self.config.task.template,
            labels=self.config.task.labels,
            dev=self._dev,
            test=self._test,
            baseline=self._baseline,
            gain=self._gain,
            usage=self.gate.totals(),
            steps_done=len(self._losses),
            stop_reason=self._reason,
            losses=tuple(self._losses),
            data_sha256=task.data_sha256,
        )

    async def _phases(self) -> AsyncIterator[Event]:
        empty = Prompt()
        dev = await self._first_score(empty)
        self._baseline = Baseline(dev=dev)
        yield Evaluated(self.gate.elapsed, "dev", "empty", empty.text, dev)
        async for event in self._learn():
            yield event
        self._prompt, self._dev = await choose(self.session, self._finalists(), self._plan.dev)
        yield Evaluated(self.gate.elapsed, "dev", "learned", self._prompt.text, self._dev)
        if self._plan.test:
            self._test, test, self._gain = await final(self.session, self._prompt, self._plan.test)
            self._baseline = Baseline(dev=dev, test=test)
            yield Evaluated(self.gate.elapsed, "test", "learned", self._prompt.text, self._test)
            yield Evaluated(self.gate.elapsed, "test", "empty", empty.text, test)

    async def _first_score(self, empty: Prompt) -> Evaluation:
        """The empty prompt on dev; before that, a few examples if the model's pace matters."""
        seconds = self.gate.ledger.budget.seconds
        try:
            if seconds is not None:
                await self._plan_by_pace(empty, seconds)
            return await self.session.evaluate(empty, self.task.dev, self._plan.dev)
        except (BudgetExhausted, BudgetTooSmall) as error:
            if seconds is None:
                raise
            pace = self.gate.forecast.pace()
            raise BudgetTooSmall(
                f"the budget of {seconds:g} seconds is too small for one update and its evaluation"
                f" by {self.session.model}, which answers {pace:.3g} prompts a second"
            ) from error

    async def _plan_by_pace(self, prompt: Prompt, seconds: float) -> None:
        """Plan anew, with seconds as so many prompts at the pace of a few examples."""
        gate = self.gate
        await self.session.logprobs([prompt], self.task.dev.examples[:FEWEST_DEV])
        used = gate.ledger.used.prompts
        affordable = used + int((seconds - gate.elapsed) * gate.forecast.pace())
        prompts = max(1, min(affordable, gate.ledger.budget.prompts or affordable))
        budget = replace(gate.ledger.budget, prompts=prompts)
        self._replan(self.session.plan(budget))

    async def _learn(self) -> AsyncIterator[Event]:
        """Updates until the steps or the budget are used up."""
        limit, fruitless, idle = self._step_limit(), 0, 0
        while limit is None or len(self._losses) < limit:
            size = self._affordable()
            if size is None:
                self._reason = "budget"
                return
            before = self.gate.ledger.used
            step = await self._update(*size)
            if step is None:
                return
            fruitless = 0 if np.isfinite(step.loss) else fruitless + 1
            if fruitless == PATIENCE:
                raise ProviderRefused(
                    f"{self.session.model}: no usable answer in {PATIENCE} updates running"
                )
            yield step
            if size != self._full():  # cut to what was left
                self._reason = "budget"
                return
            idle = idle + 1 if self.gate.ledger.used == before else 0
            if limit is None and idle == IDLE:  # what costs nothing never uses a budget up
                note = f"{IDLE} updates running asked nothing new: the search has settled"
                yield Note(self.gate.elapsed, note)
                return

    async def _update(self, samples: int, batch: int) -> Step | None:
        """Ask, score, tell once; None if the method does not search."""
        seed, number = self.config.run.seed, len(self._losses)
        prompts = self._method.ask(_rng(seed, _Purpose.STEP, number), samples)
        if not prompts:
            return None
        train = self.task.train
        rows = minibatch(self._labels, batch, number, seed)
        losses = await self.session.losses(prompts, [train.examples[i] for i in rows])
        means = paired_means(losses)
        kl, loss = 0.0, float("nan")
        if np.isfinite(means).sum() >= 2:
            kl, loss = self._method.tell(means), float(np.nanmean(means))
        self._losses.append(loss)
        self._prompt = self._method.best()
        return Step(
            self.gate.elapsed,
            step=number + 1,
            loss=loss,
            entropy=self._method.entropy(),
            kl=kl,
            prompt=self._prompt.text,
            usage=self.gate.totals(),
        )

    def _finalists(self) -> list[Prompt]:
        """As many as the plan wants and the rest of the budget scores; always the best guess."""
        rng = _rng(self.config.run.seed, _Purpose.FINALISTS, len(self._losses))
        prompts = self._method.finalists(rng, self._plan.finalists)
        while len(prompts) > 1 and not self._fits(self._plan.closing(len(prompts))):
            prompts.pop()
        return prompts

    def _affordable(self) -> tuple[int, int] | None:
        """(samples, examples) of the next update that leaves enough for the end, or None.

        The last update is cut to what is left, so that a budget is used and not left lying.
        """
        samples, batch = self._full()
        closing = self._plan.closing()
        if not self._fits([Ask(samples * batch), *closing]):
            closing = self._plan.closing(len(self._finalists()))
        for size in (*((i, batch) for i in range(samples, 1, -1)), (2, 1)):
            if self._fits([Ask(size[0] * size[1]), *closing]):
                return size
        return None

    def _full(self) -> tuple[int, int]:
        """(samples, examples) of an update that nothing cuts."""
        settings = self.config.optimizer
        return settings.samples, min(settings.batch, len(self.task.train))

    def _fits(self, asks: Sequence[Ask]) -> bool:
        return self.gate.forecast.affords(total(self.gate.forecast.cost, asks))

    def _step_limit(self) -> int | None:
        """The user's steps; without them and without a budget that runs out, a default."""
        budget, price = self.gate.ledger.budget, self.gate.channel.terms.price
        usd = budget.usd if price is not None and price != FREE else None
        limits = (budget.requests, budget.prompts, budget.tokens, usd, budget.seconds)
        limited = any(limit is not None for limit in limits)
        return self.config.optimizer.steps or (None if limited else DEFAULT_STEPS)


def _rng(seed: int, purpose: _Purpose, number: int) -> np.random.Generator:
    return np.random.default_rng([seed, purpose, number])
