"""A task in front of a model: prompts and examples in, label log-probabilities and scores out.

Everything a run, an evaluation or a comparison asks of a model is asked through one of these, so
that it is probed once and counted alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bdpl_async.budget import Budget, Ledger
from bdpl_async.config import Config
from bdpl_async.errors import ConfigError, ProviderRefused
from bdpl_async.evaluation import Evaluation, evaluate, logprob_array
from bdpl_async.gate import Gate
from bdpl_async.losses import LOSSES
from bdpl_async.records import Example, Prompt, Request
from bdpl_async.scorer import Probing, Scorer, capabilities_of
from bdpl_async.task import Split, Task
from bdpl_async.unbuilt import refuse_unbuilt

__all__ = ["Session"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Session:
    """One task, one model, one ledger."""

    task: Task
    config: Config
    gate: Gate
    model: str

    @classmethod
    async def open(
        cls,
        task: Task,
        scorer: Scorer,
        config: Config,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> Session:
        """Probe the model with the task's longest row, before anything is spent.

        Raises:
            ConfigError: a budget in USD, and no price.
            LabelError: a label word cannot be read off this model.
            ProviderRefused: the model cannot be used at all.
        """
        refuse_unbuilt(config)
        capabilities = capabilities_of(scorer)
        filled = Prompt(("prompt",) * config.prompt.length)  # some prompt of the task's length
        if config.budget.usd is not None and not capabilities.local:
            raise ConfigError(
                f"budget.usd: no price is known for {scorer.name}",
                hint="limit requests, prompts or tokens instead",
            )
        if isinstance(scorer, Probing):
            longest = max(task.train.examples, key=lambda row: sum(map(len, row.columns.values())))
            texts = tuple(task.text(prompt, longest) for prompt in (filled, Prompt()))
            capabilities = await scorer.probe(Request(texts, task.words))
        if config.model.batch_prompts is not None:
            capabilities = replace(capabilities, batch=config.model.batch_prompts)
        gate = Gate(
            scorer,
            Ledger(Budget(**config.budget.model_dump())),
            task.words,
            capabilities,
            concurrency=config.model.concurrency,
            timeout=config.model.timeout,
            clock=clock,
        )
        if config.budget.tokens is not None:
            await gate.expect([task.text(filled, example) for example in task.train.examples])
        return cls(task, config, gate, scorer.name)

    async def logprobs(self, prompts: Sequence[Prompt], examples: Sequence[Example]) -> Floats:
        """(I, B, C) label log-probabilities of every prompt before every example.

        A text without a usable answer is a row of NaN.
        """
        texts = [self.task.text(prompt, example) for prompt in prompts for example in examples]
        classes = len(self.task.words)
        array = logprob_array(await self.gate.score(texts), classes)
        return array.reshape(len(prompts), len(examples), classes)

    async def losses(self, prompts: Sequence[Prompt], examples: Sequence[Example]) -> Floats:
        """(I, B) losses of the configured kind; NaN where the model gave no answer."""
        labels = np.array([example.label for example in examples], np.int64)
        return self.loss(await self.logprobs(prompts, examples), labels)

    def loss(self, logprobs: Floats, labels: NDArray[np.int64]) -> Floats:
        """(I, B) losses from (I, B, C) log-probabilities and (B,) labels."""
        loss = LOSSES[self.config.optimizer.loss]
        return loss(logprobs, np.tile(labels, (len(logprobs), 1)))

    async def evaluate(self, prompt: Prompt, split: Split, count: int | None = None) -> Evaluation:
        """One prompt on the first `count` examples of a split; on all of them without.

        Raises:
            ProviderRefused: not one example got a usable answer.
        """
        logprobs = await self.logprobs([prompt], split.examples[:count])
        return self.measure(logprobs[0], split.labels[:count])

    def measure(self, logprobs: Floats, labels: NDArray[np.int64]) -> Evaluation:
        """The task's metric of (n, C) log-probabilities; the interval's seed is the run's.

        Raises:
            ProviderRefused: all rows are NaN, so there is nothing to measure.
        """
        found = evaluate(self.task.metric, logprobs, labels, self.config.run.seed)
        if found.unanswered == found.n:
            raise ProviderRefused(
                f"{self.model}: no usable answer to any of {found.n} texts; the last said:"
                f" {self.gate.trouble}"
            )
        return found
