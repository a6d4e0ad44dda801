"""One run from the first probe to the result: ask, score, tell, choose, test.

    Run.open   vocabulary, method, probe, plan: what can be refused is refused here
    events     baseline -> updates -> selection on dev -> test, as a stream of events

It knows neither HTTP nor a terminal. Every random number comes from (seed, purpose, step), so a
run needs no generator's state to go on where it stopped.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

from bdpl_async.answers import Answers, answers_document
from bdpl_async.caching.cache import Cache
from bdpl_async.channel import Channel
from bdpl_async.config import Config
from bdpl_async.errors import BdplError, BudgetExhausted, BudgetTooSmall
from bdpl_async.evaluation import Evaluation, Gain
from bdpl_async.events import Evaluated, Event, Finished
from bdpl_async.finals import Choice, choose, final
from bdpl_async.halt import Stopped
from bdpl_async.learning import Learning
from bdpl_async.methods import Distributed, Maker, drawn, make_method, searches
from bdpl_async.notices import Notices, opening
from bdpl_async.plan import FEWEST_DEV, Plan, on_test, total
from bdpl_async.pulse import PHASES, Pulse
from bdpl_async.records import Prompt
from bdpl_async.result import Baseline, Result
from bdpl_async.scorer import Scorer
from bdpl_async.session import Session
from bdpl_async.spending import SpendingWatch
from bdpl_async.start import candidates_with, starting_prompt
from bdpl_async.task import Task

__all__ = ["Run"]

SPENT_ON = {"baseline": "dev", "search": "train", "selection": "dev", "test": "test"}
Watch = Callable[[Channel], AbstractAsyncContextManager[None]]


def _unwatched(channel: Channel) -> AbstractAsyncContextManager[None]:
    return nullcontext()


class Run:
    """A run in progress; made by `Run.open`.

    Attributes:
        gate: counts everything; ``gate.halt()`` ends the run in good order.
        config: as given, with the task's own tables.
        answers: split -> role (learned, empty) -> what the scores were computed from.
    """

    def __init__(
        self,
        session: Session,
        vocabulary: tuple[str, ...],
        plan: Plan,
        start: Prompt | None = None,
        make: Maker = make_method,
    ) -> None:
        self.session = session
        self.task = session.task
        self.config = session.config
        self.gate = session.gate
        self._vocabulary = vocabulary
        self._begin = partial(Learning, session, vocabulary, start=start, make=make)
        self._learning = self._begin(plan)
        self._choice: Choice | None = None
        self._dev: Evaluation | None = None
        self._test: Evaluation | None = None
        self._gain: Gain | None = None
        self._baseline = Baseline()
        self.answers: dict[str, dict[str, Answers]] = {}
        self._reason = ""
        self._notices = Notices(session.gate)
        self._phase = PHASES[0]
        self._spending = SpendingWatch(session.gate.channel)

    @classmethod
    async def open(
        cls,
        task: Task,
        scorer: Scorer,
        config: Config | None = None,
        *,
        cache: Cache | None = None,
        probing: Watch = _unwatched,
        make: Maker = make_method,
        clock: Callable[[], float] = time.monotonic,
    ) -> Run:
        """Check all that can be checked, and divide the budget.

        Args:
            task: what is to be learned.
            scorer: the model.
            config: None takes the task's.
            cache: answers of earlier runs.
            probing: entered while the model is probed, to tell a person what is waited for.
            make: the method, by default the one that ``optimizer.method`` names.
            clock: monotonic seconds.

        Raises:
            UsageError: configuration, data or label words cannot be used.
            BudgetTooSmall: the grant does not buy one update and its evaluation.
            ProviderRefused: the model cannot be used at all.
        """
        config = config or task.config
        start = starting_prompt(config)
        vocabulary = candidates_with(start, task.vocabulary()) if searches(config) else ()
        session = Session.prepare(task, scorer, config, cache=cache, clock=clock)
        await session.expect(drawn(config, vocabulary))
        plan = session.plan()  # what is refused anyway is refused before anything is sent
        run = cls(session, vocabulary, plan, start, make)
        async with probing(session.gate.channel):
            await session.probe()
        run._replan(session.plan())
        return run

    def _replan(self, plan: Plan) -> None:
        self._learning = self._begin(plan)

    @property
    def _plan(self) -> Plan:
        return self._learning.plan

    async def events(self) -> AsyncIterator[Event]:
        """Run to the end; the last event is `Finished`, also when interrupted or cancelled.

        Raises:
            ProviderError: the model's side gave up; after `Finished`.
            BudgetTooSmall: the seconds turned out not to buy one update; after `Finished`.
            CancelledError: the caller was cancelled, as by a notebook's stop; after `Finished`.
        """
        failure: BaseException | None = None
        started, *found = opening(self.session, self._plan, self._learning.step_limit)
        for event in (started, *self._notices.new(found[0].t), *found):
            yield event
        try:
            async for event in self._phases():
                for notice in self._notices.new(event.t):
                    yield notice
                yield event
        except Stopped:
            self._reason = "interrupted"
        except asyncio.CancelledError as error:
            self._reason, failure = "interrupted", error
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
        task, choice = self.task, self._choice
        prompt = choice.prompt if choice is not None else self._learning.method.best()
        return Result(
            task=task.name,
            model=self.session.model,
            method=self.config.optimizer.method,
            seed=self.config.run.seed,
            prompt=prompt.text,
            tokens=prompt.tokens,
            template=task.template.text,
            labels=self.config.task.labels,
            dev=self._dev,
            test=self._test,
            baseline=self._baseline,
            gain=self._gain,
            calibration=None if choice is None else choice.offsets,
            chosen_from=None if choice is None else choice.of,
            usage=self.gate.totals(),
            latency=self.gate.channel.traffic.latencies.summary,
            steps_done=len(self._learning.losses),
            stop_reason=self._reason or self._learning.reason,
            losses=tuple(self._learning.losses),
            data_sha256=task.data_sha256,
            spending=self._spending.spending,
        )

    def pulse(self) -> Pulse:
        """How it stands at this moment; cheap enough to be asked a few times a second."""
        gate, done = self.gate, len(self._learning.losses)
        ahead = self._plan.closing() if self._phase in PHASES[:2] else []
        if self._phase == "selection":
            ahead = on_test(self._plan.test)
        return Pulse(
            gate.elapsed,
            self._phase,
            steps=done,
            planned=self._learning.planned,
            budget=gate.ledger.budget,
            used=gate.ledger.used,
            held=gate.ledger.held,
            kept=total(gate.forecast.cost, ahead),
            usage=gate.totals(),
            latency=gate.channel.traffic.latencies.summary,
            standing=gate.channel.limiter.standing.paused(gate.channel.pauses, gate.elapsed),
            stopping=gate.channel.halt.asked,
        )

    def documents(self) -> dict[str, dict[str, Any]]:
        """What RUN_DIR keeps beside the result, as file name -> JSON document."""
        found = {"answers.json": answers_document(self.task.values, self.answers)}
        method = self._learning.method
        if isinstance(method, Distributed):
            rows = method.probabilities.tolist()
            found["policy.json"] = {"vocabulary": list(self._vocabulary), "probabilities": rows}
        return found

    async def _phases(self) -> AsyncIterator[Event]:
        empty = Prompt()
        dev = await self._first_score(empty)
        self._baseline = Baseline(dev=dev)
        yield Evaluated(self.gate.elapsed, "dev", "empty", empty.text, dev)
        self._enter("search")
        async for event in self._learning.steps():
            yield event
        self._enter("selection")
        finalists = self._learning.finalists()
        choice = self._choice = await choose(self.session, finalists, self._plan.dev)
        prompt, self._dev = choice.prompt, self._measured("dev", "learned", choice.answers)
        yield Evaluated(self.gate.elapsed, "dev", "learned", prompt.text, self._dev)
        if self._plan.test:
            self._enter("test")
            learned, bare = await final(self.session, choice, self._plan.test)
            self._test = self._measured("test", "learned", learned)
            test = self._measured("test", "empty", bare)
            self._baseline = Baseline(dev=dev, test=test)
            self._gain = self.session.gain(learned, bare)
            yield Evaluated(self.gate.elapsed, "test", "learned", prompt.text, self._test)
            yield Evaluated(self.gate.elapsed, "test", "empty", empty.text, test)

    def _enter(self, phase: str) -> None:
        self._phase = phase
        self._spending.enter(SPENT_ON[phase])

    def _measured(self, split: str, role: str, answers: Answers) -> Evaluation:
        self.answers.setdefault(split, {})[role] = answers
        return self.session.measure(answers)

    async def _first_score(self, empty: Prompt) -> Evaluation:
        """The empty prompt on dev; before that, a few examples if the model's pace matters."""
        seconds = self.gate.ledger.budget.seconds
        try:
            if seconds is not None:
                await self._plan_by_pace(empty, seconds)
            found = await self.session.answers(empty, self.task.dev, self._plan.dev)
            return self._measured("dev", "empty", found)
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
