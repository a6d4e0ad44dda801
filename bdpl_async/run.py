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
from functools import partial
from typing import Any

from bdpl_async.answers import answers_document
from bdpl_async.caching.cache import Cache
from bdpl_async.channel import Channel
from bdpl_async.course import Course
from bdpl_async.errors import (
    BdplError,
    BudgetExhausted,
    BudgetTooSmall,
    ProviderError,
    ProviderRefused,
    StorageError,
    UsageError,
)
from bdpl_async.events import Event, Finished, Resumed
from bdpl_async.gate import Gate
from bdpl_async.halt import Stopped
from bdpl_async.learning import Learning
from bdpl_async.methods import Distributed, Maker, drawn, make_method, searches
from bdpl_async.notices import Notices, opening
from bdpl_async.plan import Plan, on_test, total
from bdpl_async.pulse import PHASES, Pulse
from bdpl_async.records import Prompt
from bdpl_async.result import Result
from bdpl_async.rundir import RunDir
from bdpl_async.saving.identity import identity
from bdpl_async.scorer import Scorer
from bdpl_async.securing import keep_end, secured_plan
from bdpl_async.session import Session
from bdpl_async.sharing.member import Member
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
        self._course = Course(
            session, partial(Learning, session, vocabulary, start=start, make=make), plan
        )
        self._reason = ""
        self._notices = Notices(session.gate)
        self._resumed = False

    @classmethod
    async def open(  # noqa: PLR0913  where a run comes from, and who is told
        cls,
        task: Task,
        scorer: Scorer,
        *,
        cache: Cache | None = None,
        group: Member | None = None,
        probing: Watch = _unwatched,
        make: Maker = make_method,
        clock: Callable[[], float] = time.monotonic,
        folder: RunDir | None = None,
    ) -> Run:
        """Check all that can be checked, and divide the budget.

        Args:
            task: what is to be learned.
            scorer: the model.
            cache: answers of earlier runs.
            group: whose budget this run draws on, beside its own.
            probing: entered while the model is probed, to tell a person what is waited for.
            make: the method, by default the one that ``optimizer.method`` names.
            clock: monotonic seconds.
            folder: where it is kept, and what it was if it was cut off; begun before anything is
                sent, and discarded if nothing comes of it.

        Raises:
            UsageError: configuration, data or label words cannot be used.
            BudgetTooSmall: the grant does not buy one update and its evaluation.
            ProviderRefused: the model cannot be used at all.
        """
        config = task.config
        start = starting_prompt(config)
        vocabulary = candidates_with(start, task.vocabulary()) if searches(config) else ()
        diary = folder.diary if folder is not None else None
        session = Session.prepare(
            task, scorer, config, cache=cache, diary=diary, group=group, clock=clock
        )
        await session.expect(drawn(config, vocabulary))
        state = folder.state if folder is not None else None
        # What is refused anyway is refused before anything is sent.
        plan = session.plan() if state is None else Plan(0, 0, 1)  # the one that it had follows
        run = cls(session, vocabulary, plan, start, make)
        if folder is not None:
            folder.begin(identity(config, task.data_sha256, vocabulary))
        try:
            await run._enter_into(folder, probing)
        except BdplError as error:
            if folder is not None and _fruitless(error, session.gate):
                folder.discard()
            raise
        return run

    async def _enter_into(self, folder: RunDir | None, probing: Watch) -> None:
        """Probe the model and plan by what it said; or be where the run was cut off."""
        session, diary = self.session, self.gate.channel.books.diary
        state = folder.state if folder is not None else None
        self.gate.channel.earlier = diary.elapsed
        self._resumed = folder is not None and folder.resumed
        if folder is not None and state is not None:
            with folder.reading():
                diary.seen = diary.seen or state["seen"]
                self.gate.restore(state["gate"], folder.known())
                self._course.restore(state["course"])
        self.gate.ledger.number_after(diary.requests)
        async with probing(self.gate.channel):
            await session.probe()
        if state is None:
            self._course.replan(await secured_plan(session))
        elif (group := self.gate.channel.group) is not None:
            await keep_end(session, group, self._course.plan)

    def snapshot(self) -> dict[str, Any]:
        """All that `Run.open` needs to go on from here, as JSON that later steps do not touch.

        To be called after an event, while `resting`; answers are not in it, they are in the diary.
        """
        return {
            "t": self.gate.elapsed,
            "seen": self.gate.channel.books.diary.seen,
            "gate": self.gate.snapshot(),
            "course": self._course.snapshot(),
        }

    @property
    def resting(self) -> bool:
        """Whether nothing is under way."""
        return self._course.learning.resting

    async def events(self) -> AsyncIterator[Event]:
        """Run to the end; the last event is `Finished`, also when interrupted or cancelled.

        Raises:
            ProviderError: the model's side gave up; after `Finished`.
            BudgetTooSmall: the seconds turned out not to buy one update; after `Finished`.
            CancelledError: the caller was cancelled, as by a notebook's stop; after `Finished`.
        """
        started, *found = opening(self.session, self._course.plan, self._course.learning.step_limit)
        for event in (started, *self._notices.new(found[0].t), *found):
            yield event
        if self._resumed:
            for event in self._course.known():
                yield event
            yield Resumed(self.gate.elapsed, self.steps)
        failure: BaseException | None = None
        try:
            async for event in self._course.events():
                for notice in self._notices.new(event.t):
                    yield notice
                yield event
        except (Stopped, asyncio.CancelledError, BdplError) as error:
            self._reason, failure = self._ended(error)
            self.gate.channel.books.diary.note("stop", self.gate.elapsed)
        for notice in self._notices.new(self.gate.elapsed):
            yield notice
        yield Finished(self.gate.elapsed, self.result())
        if failure is not None:
            raise failure

    def _ended(self, error: BaseException) -> tuple[str, BaseException | None]:
        """Why a run that `error` ended is over, as ``stop_reason`` says it; what to raise."""
        match error:
            case Stopped():
                return "interrupted", None
            case BudgetExhausted():
                self._notices.add(str(error))
                return "budget", None
            case BudgetTooSmall():
                return "budget", error
            case ProviderError():
                return "provider", error
            case _:  # cancelled, a disk that takes no more, another program than before
                return "interrupted", error

    def halt(self) -> None:
        """End in good order: nothing more is sent, and what is known is saved."""
        self.gate.halt()

    @property
    def troubles(self) -> set[str]:
        """Of the cache, that were told."""
        return self._notices.troubles

    @property
    def steps(self) -> int:
        """Updates done."""
        return len(self._course.learning.losses)

    def result(self) -> Result:
        """What is known by now, in the contract's form."""
        task, choice = self.task, self._course.choice
        prompt = choice.prompt if choice is not None else self._course.learning.method.best()
        return Result(
            task=task.name,
            model=self.session.model,
            method=self.config.optimizer.method,
            seed=self.config.run.seed,
            prompt=prompt.text,
            tokens=prompt.tokens,
            template=task.template.text,
            labels=self.config.task.labels,
            dev=self._course.dev,
            test=self._course.test,
            baseline=self._course.baseline,
            gain=self._course.gain,
            calibration=None if choice is None else choice.offsets,
            chosen_from=None if choice is None else choice.of,
            usage=self.gate.totals(),
            latency=self.gate.channel.traffic.latencies.summary,
            steps_done=self.steps,
            stop_reason=self._reason or self._course.learning.reason,
            losses=tuple(self._course.learning.losses),
            data_sha256=task.data_sha256,
            spending=self._course.spending.spending,
        )

    def pulse(self) -> Pulse:
        """How it stands at this moment; cheap enough to be asked a few times a second."""
        gate, done = self.gate, self.steps
        ahead = self._course.plan.closing() if self._course.phase in PHASES[:2] else []
        if self._course.phase == "selection":
            ahead = on_test(self._course.plan.test)
        return Pulse(
            gate.elapsed,
            self._course.phase,
            steps=done,
            planned=self._course.learning.planned,
            budget=gate.ledger.budget,
            used=gate.ledger.used,
            held=gate.ledger.held,
            kept=total(gate.forecast.cost, ahead),
            usage=gate.totals(),
            latency=gate.channel.traffic.latencies.summary,
            standing=gate.channel.standing,
            stopping=gate.channel.halt.asked,
        )

    def documents(self) -> dict[str, dict[str, Any]]:
        """What RUN_DIR keeps beside the result, as file name -> JSON document."""
        found = {"answers.json": answers_document(self.task.values, self._course.answers)}
        method = self._course.learning.method
        if isinstance(method, Distributed):
            rows = method.probabilities.tolist()
            found["policy.json"] = {"vocabulary": list(self._vocabulary), "probabilities": rows}
        return found


def _fruitless(error: BdplError, gate: Gate) -> bool:
    """Whether there is nothing to go on with: it would be refused again, or nothing was paid."""
    if isinstance(error, StorageError):  # says how to go on
        return False
    again = isinstance(error, UsageError | ProviderRefused | BudgetTooSmall | BudgetExhausted)
    return again or not gate.channel.traffic.answers
