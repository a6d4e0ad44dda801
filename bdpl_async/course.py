"""What a run does, from the empty prompt's score to the test; and how it is taken up again.

    baseline -> updates -> selection on dev -> test

Every random number comes from (seed, purpose, step), so a course needs no generator's state to go
on where it stopped: the plan, the policy and the books are enough.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import asdict, replace
from typing import Any

from bdpl_async.answers import Answers
from bdpl_async.errors import BudgetExhausted, BudgetTooSmall
from bdpl_async.evaluation import Evaluation, Gain
from bdpl_async.events import Evaluated, Event, Note
from bdpl_async.finals import Choice, choose, final
from bdpl_async.learning import Learning
from bdpl_async.plan import FEWEST_DEV, Plan
from bdpl_async.pulse import PHASES
from bdpl_async.records import Prompt
from bdpl_async.result import Baseline
from bdpl_async.saving.checkpoint import packed, unpacked
from bdpl_async.session import Session
from bdpl_async.spending import SpendingWatch

__all__ = ["Course"]

SPENT_ON = {"baseline": "dev", "search": "train", "selection": "dev", "test": "test"}
CUT = "scored on {} of {} test examples: failures, or a kill, took what the others would have cost"


class Course:
    """One run's way.

    Args:
        session: task, model and ledger.
        begin: makes the search for a plan.
        plan: as known before the model was probed.

    Attributes:
        learning: the search.
        phase: one of `PHASES`.
        choice: the prompt that dev chose; None until then.
        dev: its score on dev, and `test`, on test; None until then.
        gain: over the empty prompt on test.
        baseline: the empty prompt.
        spending: where the money went.
        answers: split -> role (learned, empty) -> what the scores were computed from.
    """

    def __init__(self, session: Session, begin: Callable[[Plan], Learning], plan: Plan) -> None:
        self.session = session
        self.learning = begin(plan)
        self.phase = PHASES[0]
        self.choice: Choice | None = None
        self.dev: Evaluation | None = None
        self.test: Evaluation | None = None
        self.gain: Gain | None = None
        self.baseline = Baseline()
        self.spending = SpendingWatch(session.gate.channel)
        self.answers: dict[str, dict[str, Answers]] = {}
        self._begin = begin
        self._gate = session.gate

    @property
    def plan(self) -> Plan:
        """How the grant is divided."""
        return self.learning.plan

    def replan(self, plan: Plan) -> None:
        """Search by another plan."""
        self.learning = self._begin(plan)
        self._gate.in_flight = plan.in_flight

    def snapshot(self) -> dict[str, Any]:
        """The state between two steps, as JSON that later ones do not touch."""
        return {
            "plan": asdict(self.plan),
            "baseline": packed(self.answers["dev"]["empty"].logprobs),
            "learning": self.learning.snapshot(),
            "spending": self.spending.snapshot(),
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Be as at `snapshot`; the gate is by now.

        Raises:
            IndexError, KeyError, TypeError, ValueError: it is none of this run.
        """
        self.replan(Plan.of(snapshot["plan"]))
        self.learning.restore(snapshot["learning"])
        self.spending.restore(snapshot["spending"])
        logprobs = unpacked(snapshot["baseline"])
        answers = Answers(self.session.task.dev.labels[: len(logprobs)], logprobs)
        self.baseline = Baseline(dev=self._measured("dev", "empty", answers))

    def known(self) -> list[Event]:
        """What a listener to a resumed run should have heard of."""
        if self.baseline.dev is None:
            return []
        return [Evaluated(self._gate.elapsed, "dev", "empty", "", self.baseline.dev)]

    async def events(self) -> AsyncIterator[Event]:
        """All that is left to do.

        Raises:
            BudgetExhausted: the budget did not hold what was planned.
            BudgetTooSmall: the seconds turned out not to buy one update.
            Stopped: the run was asked to stop.
            ProviderError: the model's side gave up.
        """
        empty, dev = Prompt(), self.baseline.dev
        if dev is None:
            dev = await self._first_score(empty)
            self.baseline = Baseline(dev=dev)
            yield Evaluated(self._gate.elapsed, "dev", "empty", empty.text, dev)
        self._enter("search")
        async for event in self.learning.steps():
            yield event
        self._enter("selection")
        if (group := self._gate.channel.group) is not None:
            group.draw()
        finalists = self.learning.chosen()
        choice = self.choice = await choose(self.session, finalists, self.plan.dev)
        prompt, self.dev = choice.prompt, self._measured("dev", "learned", choice.answers)
        yield Evaluated(self._gate.elapsed, "dev", "learned", prompt.text, self.dev)
        count = self.learning.tested()
        if count < self.plan.test:
            yield Note(self._gate.elapsed, CUT.format(count or "no", self.plan.test))
        if count:
            self._enter("test")
            learned, bare = await final(self.session, choice, count)
            self.test = self._measured("test", "learned", learned)
            test = self._measured("test", "empty", bare)
            self.baseline = Baseline(dev=dev, test=test)
            self.gain = self.session.gain(learned, bare)
            yield Evaluated(self._gate.elapsed, "test", "learned", prompt.text, self.test)
            yield Evaluated(self._gate.elapsed, "test", "empty", empty.text, test)

    def _enter(self, phase: str) -> None:
        self.phase = phase
        self.spending.enter(SPENT_ON[phase])

    def _measured(self, split: str, role: str, answers: Answers) -> Evaluation:
        self.answers.setdefault(split, {})[role] = answers
        return self.session.measure(answers)

    async def _first_score(self, empty: Prompt) -> Evaluation:
        """The empty prompt on dev; before that, a few examples if the model's pace matters."""
        seconds = self._gate.ledger.budget.seconds
        try:
            if seconds is not None:
                await self._plan_by_pace(empty, seconds)
            found = await self.session.answers(empty, self.session.task.dev, self.plan.dev)
            return self._measured("dev", "empty", found)
        except (BudgetExhausted, BudgetTooSmall) as error:
            if seconds is None:
                raise
            pace = self._gate.forecast.pace()
            raise BudgetTooSmall(
                f"the budget of {seconds:g} seconds is too small for one update and its evaluation"
                f" by {self.session.model}, which answers {pace:.3g} prompts a second"
            ) from error

    async def _plan_by_pace(self, prompt: Prompt, seconds: float) -> None:
        """Plan anew, with seconds as so many prompts at the pace of a few examples."""
        gate = self._gate
        await self.session.logprobs([prompt], self.session.task.dev.examples[:FEWEST_DEV])

        def affordable() -> int:
            most = gate.ledger.used.prompts
            most += int((seconds - gate.elapsed) * gate.forecast.pace())
            return max(1, min(most, gate.ledger.budget.prompts or most))

        prompts = gate.channel.books.diary.pick("pace", affordable)
        budget = replace(gate.ledger.budget, prompts=prompts)
        self.replan(self.session.plan(budget))
