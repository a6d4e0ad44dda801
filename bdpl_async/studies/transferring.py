"""Learned prompts on other models: a matrix of scores, prompts down and models across.

Every prompt is scored on every model on the same examples, beside the empty prompt and the task's
manual one, as the model answers: offsets that a run calibrated belong to its own model and stay
behind. Knows no provider: whoever calls says how to connect.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from bdpl_async.answers import Answers
from bdpl_async.channel import Channel
from bdpl_async.config import Config, ModelTable
from bdpl_async.data.datafile import sha256_of
from bdpl_async.errors import BdplError, ConfigError, DataError
from bdpl_async.evaluation import Evaluation, Gain
from bdpl_async.kept import Kept
from bdpl_async.plan import Ask
from bdpl_async.records import Prompt
from bdpl_async.result import Totals
from bdpl_async.scorer import Scorer
from bdpl_async.session import Session
from bdpl_async.studies.cells import Connect
from bdpl_async.studies.quote import check_quote, quote, quoted
from bdpl_async.task import Split, Task
from bdpl_async.tuning import opened
from bdpl_async.wording import counted

__all__ = [
    "Column",
    "Entry",
    "Mark",
    "Watcher",
    "entries",
    "for_model",
    "same_task",
    "split_of",
    "transfer",
]

SPLITS: Final = ("train", "dev", "test")
Watch = Callable[[Channel], AbstractAsyncContextManager[None]]


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the matrix: a prompt, and where it was learned if it was.

    Attributes:
        calibrated: the run scored it with offsets, which are left out here.
    """

    role: Literal["learned", "empty", "manual"]
    prompt: Prompt
    run: Path | None = None
    model: str | None = None
    method: str | None = None
    seed: int | None = None
    calibrated: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """One prompt on one model.

    Attributes:
        gain: above the empty prompt on the same model and examples; None for the empty one itself.
        here: the prompt was learned on this model.
    """

    evaluation: Evaluation
    gain: Gain | None
    here: bool


@dataclass(frozen=True, slots=True)
class Column:
    """All prompts on one model, in the order of the entries.

    Attributes:
        marks: none where the model failed.
        notes: what its probe found that a person should know.
        failure: why it failed.
    """

    model: str
    base_url: str | None
    marks: tuple[Mark, ...]
    usage: Totals
    notes: tuple[str, ...] = ()
    failure: BdplError | None = None


def split_of(task: Task, name: str, among: Sequence[str] = SPLITS) -> Split:
    """A split by its name.

    Args:
        task: whose splits.
        name: of the split.
        among: what else may be taken, for the message.

    Raises:
        DataError: the task has none of that name.
    """
    splits = {"train": task.train, "dev": task.dev, "test": task.test}
    found = splits[name]
    if not len(found):
        there = " or ".join(other for other in among if len(splits[other]))
        raise DataError(
            f"task.{name}: {task.name} has no {name} split", hint=f"take --split {there}"
        )
    return found


def same_task(tasks: Sequence[tuple[Path, Task]], split: str) -> None:
    """See to it that all runs are of one task, and have the examples to be scored in common.

    Raises:
        ConfigError: naming two runs and where they differ.
        DataError: a run's task has no such split.
    """
    (first, task), *others = tasks
    rows = sha256_of(split_of(task, split).rows())
    for path, other in others:
        parts = {
            "label words": (task.config.task.labels, other.config.task.labels),
            "templates": (_templates(task), _templates(other)),
            "metrics": (task.metric, other.metric),
        }
        differing = [name for name, (one, two) in parts.items() if one != two]
        if differing:
            raise ConfigError(
                f"{path}: another task than {first}: their {' and '.join(differing)} differ",
                hint="transfer compares prompts of one task; score other runs on their own",
            )
        if sha256_of(split_of(other, split).rows()) != rows:
            raise ConfigError(
                f"{path}: its {split} examples are not those of {first}",
                hint="runs of other seeds may have other train and dev rows"
                + (": take --split test" if len(task.test) else ""),
            )


def _templates(task: Task) -> tuple[str, str | None]:
    return task.config.task.template, task.config.task.causal


def entries(runs: Sequence[Kept], manual: str | None) -> tuple[Entry, ...]:
    """The rows: one for each run, then the empty prompt, then the task's manual one."""
    learned = [
        Entry(
            "learned",
            Prompt(run.result.tokens),
            run.path,
            run.result.model,
            run.result.method,
            run.result.seed,
            run.result.calibration is not None,
        )
        for run in runs
    ]
    own = [] if manual is None else [Entry("manual", Prompt.of(manual))]
    return (*learned, Entry("empty", Prompt()), *own)


def for_model(config: Config, model: ModelTable) -> Config:
    """The configuration for scoring on another model: as it answers, by the same budget."""
    optimizer = config.optimizer.model_copy(update={"calibration": "none", "method": "empty"})
    return config.model_copy(update={"model": model, "models": [], "optimizer": optimizer})


@dataclass(frozen=True, slots=True)
class Watcher:
    """Who looks on.

    Attributes:
        on_cost: told what each model takes at most, in words, before any is sent anything.
        on_open: called with each session before it sends, for whoever may have to halt it.
        probing: entered while a model is probed.
    """

    on_cost: Callable[[str], None] = lambda told: None
    on_open: Callable[[Session], None] = lambda session: None
    probing: Watch = lambda channel: nullcontext()


NOBODY = Watcher()


@dataclass(frozen=True, slots=True)
class _Job:
    """What is to be asked of every model."""

    task: Task
    entries: tuple[Entry, ...]
    split: str

    @property
    def prompts(self) -> list[Prompt]:
        return [entry.prompt for entry in self.entries]

    def cost(self, session: Session) -> str:
        """What a model takes at most, in words.

        Raises:
            BudgetTooSmall: the budget does not finish it, by what is known now.
        """
        count = len(split_of(self.task, self.split))
        texts = {prompt.text for prompt in self.prompts} - {""}
        asks = [Ask(len(texts) * count, self.split), Ask(count, self.split, filled=False)]
        prompts, rows = counted(len(texts) + 1, "prompt"), counted(count, f"{self.split} example")
        what = f"scoring {prompts} on {rows}"
        check_quote(session, asks, what)
        return f"{what} by {session.model} takes at most {quoted(quote(session, asks))}"

    async def marks(self, session: Session) -> tuple[Mark, ...]:
        """Every entry, scored."""
        examples = split_of(self.task, self.split)
        rows = await session.logprobs(self.prompts, examples.examples)
        found = [Answers(examples.labels, array) for array in rows]
        roles = [entry.role for entry in self.entries]
        empty = found[roles.index("empty")]
        return tuple(
            Mark(
                session.measure(answers),
                None if entry.role == "empty" else session.gain(answers, empty),
                entry.model == session.model,
            )
            for entry, answers in zip(self.entries, found, strict=True)
        )


async def transfer(
    task: Task,
    rows: tuple[Entry, ...],
    split: str,
    configs: Sequence[Config],
    connect: Connect,
    watcher: Watcher = NOBODY,
) -> list[Column]:
    """Score all rows on all models, one model after the other.

    Args:
        task: of all the prompts.
        rows: as `entries` makes them.
        split: the examples' name.
        configs: one for each model, see `for_model`; the budget of each holds for it alone.
        connect: from a configuration to a connected scorer.
        watcher: who looks on.

    Raises:
        BudgetTooSmall: for one of the models; nothing was sent to any.
        BdplError: as `connect` and `Session.prepare`; what a model does later is in its column.
    """
    job = _Job(task, rows, split)
    async with AsyncExitStack() as stack:
        scorers = [await stack.enter_async_context(connect(config)) for config in configs]
        costs = []
        for config, scorer in zip(configs, scorers, strict=True):  # before anything is sent
            session = Session.prepare(task, scorer, config)
            await session.expect(job.prompts)
            costs.append(job.cost(session))
        for told in costs:
            watcher.on_cost(told)
        return [
            await _column(job, config, scorer, watcher)
            for config, scorer in zip(configs, scorers, strict=True)
        ]


async def _column(job: _Job, config: Config, scorer: Scorer, watcher: Watcher) -> Column:
    async with opened(config, scorer) as (cache, group):
        session = Session.prepare(job.task, scorer, config, cache=cache, group=group)
        watcher.on_open(session)
        failure: BdplError | None = None
        marks: tuple[Mark, ...] = ()
        try:
            await session.expect(job.prompts)
            async with watcher.probing(session.gate.channel):
                await session.probe()
            job.cost(session)  # with what the probe has taught
            marks = await job.marks(session)
        except BdplError as error:  # the other models may answer
            failure = error
        gate, url = session.gate, config.model.base_url
        return Column(session.model, url, marks, gate.totals(), gate.capabilities.notes, failure)
