"""A task in front of a model: prompts and examples in, label log-probabilities and scores out.

Everything a run, an evaluation or a comparison asks of a model is asked through one of these, so
that it is probed once and counted alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bdpl_async.answers import Answers
from bdpl_async.budget import Amount, Budget, Ledger
from bdpl_async.caching.cache import Cache
from bdpl_async.calibration import Calibration, Offsets, refuse_decided
from bdpl_async.channel import Channel
from bdpl_async.config import Config
from bdpl_async.errors import BudgetTooSmall, ProviderRefused, UnusableAnswer
from bdpl_async.evaluation import Evaluation, Gain, compare, evaluate, logprob_array
from bdpl_async.gate import Gate
from bdpl_async.losses import LOSSES, zero_one
from bdpl_async.memory import Outcome
from bdpl_async.methods import searches
from bdpl_async.plan import Plan, Sizes, make_plan
from bdpl_async.premises import price_of, refuse_behind_mask, refuse_several
from bdpl_async.probing import probe
from bdpl_async.records import Example, Prompt, Request, Text
from bdpl_async.saving.diary import Diary
from bdpl_async.scorer import Probing, Scorer, capabilities_of
from bdpl_async.sharing.member import Member
from bdpl_async.stake import Stake
from bdpl_async.task import Split, Task
from bdpl_async.telemetry.exporting import current
from bdpl_async.terms import Terms

__all__ = ["Session"]

SAMPLED = 256  # rows of a split whose tokens are counted
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Session:
    """One task, one model, one ledger."""

    task: Task
    config: Config
    gate: Gate
    scorer: Scorer

    @classmethod
    def prepare(
        cls,
        task: Task,
        scorer: Scorer,
        config: Config,
        *,
        cache: Cache | None = None,
        diary: Diary | None = None,
        group: Member | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> Session:
        """Put the task in front of the model; nothing is sent.

        Raises:
            ConfigError: a budget in USD and no price, a template that this model cannot read, or
                a calibration of what has no probabilities.
        """
        refuse_several(config)
        capabilities = capabilities_of(scorer)
        if capabilities.decides or config.model.readout == "text":
            refuse_decided(config, scorer.name)
        task = task.facing(capabilities.causal)
        if capabilities.causal:
            refuse_behind_mask(task)
        model = config.model
        if model.batch_prompts is not None and (capabilities.local or not _probes(scorer)):
            capabilities = replace(capabilities, batch=model.batch_prompts)
        terms = Terms(
            concurrency=model.concurrency,
            timeout=None if capabilities.local or capabilities.timed else model.timeout,
            attempts=model.attempts,
            rpm=model.rpm,
            tpm=model.tpm,
            price=price_of(config, scorer.name, capabilities),
            local=capabilities.local,
        )
        ledger = Ledger(Budget(**config.budget.model_dump()))
        channel = Channel(scorer.name, ledger, terms, diary=diary, clock=clock)
        if group is not None:
            channel.join(group)
        gate = Gate(scorer, task.words, channel, capabilities, cache)
        if (out := current()) is not None:
            from bdpl_async.telemetry.watch import Watch

            channel.observed = Watch(out, config, gate)
        return cls(task, config, gate, scorer)

    @classmethod
    async def open(cls, task: Task, scorer: Scorer, config: Config) -> Session:
        """Prepare and probe, for scoring without a run."""
        session = cls.prepare(task, scorer, config)
        await session.expect()
        await session.probe()
        return session

    @property
    def model(self) -> str:
        """PROVIDER/MODEL."""
        return self.scorer.name

    async def expect(self, prompts: Sequence[Prompt] = ()) -> None:
        """See how many tokens the texts of each split take, for plans made before any answer.

        Args:
            prompts: such as will be sent; none takes one of the task's length.
        """
        if not self.gate.forecast.limited:
            return
        filled = cycle(prompts or [self._filled])
        samples = {}
        splits = {"train": self.task.train, "dev": self.task.dev, "test": self.task.test}
        for name, split in splits.items():
            rows = split.examples[:SAMPLED]
            samples[name, True] = [self.task.text(next(filled), row) for row in rows]
            samples[name, False] = [self.task.text(Prompt(), row) for row in rows]
        await self.gate.forecast.expect(samples)

    async def probe(self) -> None:
        """Resolve label words and try sample texts, before more is spent.

        Raises:
            LabelError: a label word cannot be read off this model.
            ProviderError: the model cannot be used.
            ConfigError: a calibration was asked for, and only words can be read off this model.
        """
        await probe(self.gate, self.scorer, self.sample())
        if self.gate.capabilities.decides:
            refuse_decided(self.config, self.model)

    def plan(self, budget: Budget | None = None) -> Plan:
        """Divide the grant, or `budget` instead, by the prices known now.

        Raises:
            BudgetTooSmall: it does not buy one update and its evaluation.
        """
        gate, group = self.gate, self.gate.channel.group
        used = gate.ledger.used
        if not used.requests:  # the probe is still to come
            probes = gate.capabilities.probes
            used = gate.forecast.cost(2 * probes)
            used = Amount(probes, used.prompts, used.tokens, used.usd)
        granted = budget or gate.ledger.budget
        if group is not None:
            granted = group.granted(granted, gate.ledger.used)
        try:
            return make_plan(self._sizes(), granted, gate.forecast.cost, used, self._stake())
        except BudgetTooSmall as error:
            if group is None:
                raise
            raise BudgetTooSmall(f"budget group {group.name!r}: {error.args[0]}") from None

    def _stake(self) -> Stake | None:
        """What a kill may cost of the user's grant; None for nothing."""
        gate, capabilities = self.gate, self.gate.capabilities
        if not Stake.needed(gate.ledger.budget, local=capabilities.local):
            return None
        most, batch = capabilities.concurrency, capabilities.batch
        return Stake(gate.ledger.budget, most, batch, gate.forecast.held)

    def _sizes(self) -> Sizes:
        settings, dev, test = self.config.optimizer, len(self.task.dev), len(self.task.test)
        extra = len(self.calibration.extra)
        if not searches(self.config):
            return Sizes(0, dev, test, 1, extra)
        update = settings.samples * (min(settings.batch, len(self.task.train)) + extra)
        return Sizes(update, dev, test, settings.finalists, extra)

    @property
    def calibration(self) -> Calibration:
        """What the losses, and the learned prompt's scores, have taken off."""
        return Calibration.of(self.config, self.task.template.columns)

    @property
    def _filled(self) -> Prompt:
        """Some prompt of the task's length."""
        return Prompt(("prompt",) * self.config.prompt.length)

    def sample(self) -> Request:
        """One row with a prompt and without, as a probe takes it, and the label words.

        The longest row for a model here, whose window is known; a usual one for a server.
        """
        rows = sorted(self.task.train.examples, key=lambda row: sum(map(len, row.columns.values())))
        row = rows[-1] if self.gate.capabilities.local else rows[len(rows) // 2]
        texts = tuple(self.task.text(prompt, row) for prompt in (self._filled, Prompt()))
        return Request(texts, self.task.words)

    async def logprobs(self, prompts: Sequence[Prompt], examples: Sequence[Example]) -> Floats:
        """(I, B, C) label log-probabilities of every prompt before every example, as answered.

        A text without a usable answer is a row of NaN. Where the model is read by its text, an
        answer that names no label word is one of minus infinity: it was answered, and is wrong.
        """
        outcomes = await self.gate.score(self._texts(prompts, examples))
        return self._logprobs(outcomes, len(prompts))

    def losses(
        self, prompts: Sequence[Prompt], examples: Sequence[Example]
    ) -> Coroutine[Any, Any, Floats]:
        """(I, B) losses of the configured kind, calibrated; NaN where the model gave no answer.

        Asked for at once, and to be awaited, see `Gate.ask`.
        """
        labels = np.array([example.label for example in examples], np.int64)
        calibration = self.calibration
        asking = self.gate.ask(self._texts(prompts, [*examples, *calibration.extra]))

        async def heard() -> Floats:
            answers = self._logprobs(await asking, len(prompts))
            return self.loss(calibration.applied(answers), labels)

        return heard()

    def _texts(self, prompts: Sequence[Prompt], examples: Sequence[Example]) -> list[Text]:
        return [self.task.text(prompt, example) for prompt in prompts for example in examples]

    def _logprobs(self, outcomes: Sequence[Outcome], prompts: int) -> Floats:
        """(I, B, C) from the outcomes of so many prompts' texts."""
        classes = len(self.task.words)
        array = logprob_array(outcomes, classes)
        if self.gate.capabilities.decides:
            array[[isinstance(outcome, UnusableAnswer) for outcome in outcomes]] = -np.inf
        return array.reshape(prompts, -1, classes)

    def loss(self, logprobs: Floats, labels: NDArray[np.int64]) -> Floats:
        """(I, B) losses from (I, B, C) log-probabilities and (B,) labels.

        A model that is read by its text has the loss 0 or 1, whatever kind is configured.
        """
        decides = self.gate.capabilities.decides
        loss = zero_one if decides else LOSSES[self.config.optimizer.loss]
        return loss(logprobs, np.tile(labels, (len(logprobs), 1)))

    async def answers(self, prompt: Prompt, split: Split, count: int | None = None) -> Answers:
        """What one prompt gets on the first `count` examples of a split, as the model says it.

        Without `count` on all of them. Nothing is calibrated.
        """
        logprobs = await self.logprobs([prompt], split.examples[:count])
        return Answers(split.labels[:count], logprobs[0])

    async def calibrated(self, prompt: Prompt, split: Split) -> tuple[Answers, Offsets | None]:
        """What one prompt gets on a split, less offsets of its own; and these.

        Calibration by the batch takes them from the texts of this very split, never its labels.
        """
        calibration, count = self.calibration, len(split)
        answers = (await self.logprobs([prompt], [*split.examples, *calibration.extra]))[0]
        offsets = calibration.frozen(calibration.offsets(answers[:count], answers[count:]))
        rows = answers[:count] if offsets is None else offsets.applied(answers[:count])
        return Answers(split.labels, rows), offsets

    async def evaluate(self, prompt: Prompt, split: Split, count: int | None = None) -> Evaluation:
        """The score of `answers`.

        Raises:
            ProviderRefused: not one example got a usable answer.
        """
        return self.measure(await self.answers(prompt, split, count))

    def measure(self, answers: Answers) -> Evaluation:
        """The task's metric of some answers; the interval's seed is the run's.

        Words that are no label are answers: a model that is read by its text may score nothing.

        Raises:
            ProviderRefused: there is no answer, and so nothing to measure.
        """
        seed = self.config.run.seed
        found = evaluate(self.task.metric, answers.logprobs, answers.labels, seed)
        said = self.gate.capabilities.decides and not np.isnan(answers.logprobs).all()
        if found.unanswered == found.n and not said:
            raise ProviderRefused(
                f"{self.model}: no usable answer to any of {found.n} texts; the last said:"
                f" {self.gate.trouble}"
            )
        return found

    def gain(self, learned: Answers, other: Answers) -> Gain:
        """What the first answers score above the second, on the same examples."""
        pair = (learned.logprobs, other.logprobs)
        return compare(self.task.metric, pair, learned.labels, self.config.run.seed)


def _probes(scorer: Scorer) -> bool:
    return isinstance(scorer, Probing)
