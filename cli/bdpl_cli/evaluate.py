"""``bdpl-async eval``: score one prompt.

With ``--run`` alone the run's own task, model and data are taken; beside a TASK only its prompt is.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from bdpl_cli.interrupts import Interrupt, finish
from bdpl_cli.options import EvalOptions, Whole

if TYPE_CHECKING:
    from bdpl_async.answers import Answers
    from bdpl_async.calibration import Offsets
    from bdpl_async.kept import Kept
    from bdpl_async.overrides import Value
    from bdpl_async.session import Session
    from bdpl_async.task import Task
    from bdpl_cli.evaluated import Evaluated, Question

__all__ = ["evaluate"]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Shown:
    """How the score is told."""

    by_class: Annotated[
        bool, Parameter(help="Also each class, and what it was taken for", negative=())
    ] = False
    json: Annotated[bool, Parameter(help="One JSON document on stdout", negative=())] = False


def evaluate(
    task: Annotated[
        str | None, Parameter(help="A .toml file or a built-in name; left out, the run's own")
    ] = None,
    /,
    *,
    prompt: Annotated[str | None, Parameter(help="The prompt to score; may be empty")] = None,
    run: Annotated[Path | None, Parameter(help="RUN_DIR whose learned prompt to score")] = None,
    split: Annotated[
        Literal["train", "dev", "test"] | None,
        Parameter(help="Which examples; test where there is one, else dev"),
    ] = None,
    examples: Annotated[Whole | None, Parameter(help="Ask the first N only")] = None,
    shown: Shown = Shown(),
    options: EvalOptions = EvalOptions(),  # noqa: B008  frozen
) -> None:
    """Score one prompt on one split.

    A run's prompt is calibrated as the run left it. Otherwise ``optimizer.calibration`` says how:
    `contextual` by texts without content, `batch` by the very texts that are scored.
    """
    from bdpl_cli.evaluated import Question
    from bdpl_cli.stdout import print_json
    from bdpl_cli.whichsplit import scored_split

    kept = _run(prompt, run)
    loaded = _task(task, kept, options.overrides())
    text = kept.result.prompt if kept is not None else prompt or ""
    offsets = None if kept is None else kept.result.calibration
    which = scored_split(loaded, split, () if kept is None else (kept,))
    question = Question(text, which, examples, offsets)
    _check(loaded, question)
    _say_whose_model(kept, loaded, task)
    found = finish(_score(loaded, question))
    if shown.json:
        print_json(found.document(None if kept is None else kept.result.model))
    else:
        print("\n".join(found.lines(shown.by_class)))


def _run(prompt: str | None, run: Path | None) -> Kept | None:
    """The run whose prompt is scored, if it is a run's.

    Raises:
        ConfigError: both or neither are given, or the folder has no run.
    """
    from bdpl_async.errors import ConfigError
    from bdpl_async.kept import read_run

    if (prompt is None) == (run is None):
        raise ConfigError("eval: give either --prompt TEXT or --run RUN_DIR")
    return None if run is None else read_run(run)


def _task(name: str | None, kept: Kept | None, given: dict[str, Value]) -> Task:
    """The task named, else the run's own with its data.

    Raises:
        UsageError: there is neither, or it cannot be used.
    """
    from bdpl_async.errors import ConfigError
    from bdpl_async.studies.reopening import reconfigured, reopen
    from bdpl_async.task import Task

    if name is not None:
        return Task.from_toml(name, overrides=given)
    if kept is None:
        raise ConfigError(
            "eval: name a TASK, a .toml file or a built-in name",
            hint="it can be left out only with --run RUN_DIR, whose own is taken then",
        )
    return reopen(kept, reconfigured(kept, given))


def _check(task: Task, question: Question) -> None:
    """See to it that there is something to score, by what is known before anything is sent.

    Raises:
        UsageError: no examples, or offsets for other labels.
    """
    from bdpl_async.errors import ConfigError, DataError

    if question.examples is not None and question.examples < 1:
        raise ConfigError(f"--examples {question.examples}: must be at least 1")
    if not len(question.rows(task)):
        raise DataError(
            f"task.{question.split}: {task.name} has no {question.split} split",
            hint="name a file for it under [task], or take another --split",
        )
    kept = question.offsets
    if kept is not None and len(kept.offsets) != len(task.words):
        raise ConfigError(
            f"--run: it has {len(kept.offsets)} calibration offsets, and {task.name} has"
            f" {len(task.words)} labels",
            hint="score a run on its own task: leave TASK out",
        )


def _say_whose_model(kept: Kept | None, task: Task, name: str | None) -> None:
    """A run and a TASK may name different models; say which of them is asked."""
    if kept is None or kept.result.model == task.config.model.name:
        return
    from bdpl_cli.columns import wrapped

    asked = task.config.model.name
    whose = "the command line's" if name is None else "that of TASK or of the command line"
    line = f"note: the prompt was learned on {kept.result.model}; asked is {asked}, {whose}"
    print("\n".join(wrapped(line)), file=sys.stderr)


async def _score(task: Task, question: Question) -> Evaluated:
    from bdpl_async.records import Prompt
    from bdpl_async.session import Session
    from bdpl_async.tuning import opened
    from bdpl_cli.connecting import connected
    from bdpl_cli.evaluated import Evaluated
    from bdpl_cli.waiting import telling

    Interrupt()
    async with connected(task.config) as scorer, opened(task.config, scorer) as around:
        cache, group = around
        session = Session.prepare(task, scorer, task.config, cache=cache, group=group)
        await session.expect([Prompt.of(question.prompt)])
        _check_budget(session, question)
        async with telling(session.gate.channel):
            await session.probe()
        _check_budget(session, question)
        answers, offsets = await _answers(session, question)
        usage = session.gate.totals()
        return Evaluated(
            task, session.model, question, session.measure(answers), answers, offsets, usage
        )


async def _answers(session: Session, question: Question) -> tuple[Answers, Offsets | None]:
    """What the model says, less the offsets of a run, or such as the configuration asks for."""
    from bdpl_async.answers import Answers
    from bdpl_async.records import Prompt

    prompt, rows, kept = Prompt.of(question.prompt), question.rows(session.task), question.offsets
    if kept is None:
        return await session.calibrated(prompt, rows)
    raw = await session.answers(prompt, rows)
    return Answers(raw.labels, kept.applied(raw.logprobs)), kept


def _check_budget(session: Session, question: Question) -> None:
    """Refuse to begin what the budget does not finish, and say how to need less.

    Raises:
        BudgetTooSmall: saying what it takes.
    """
    from bdpl_async.plan import Ask
    from bdpl_async.studies.quote import affordable, check_quote
    from bdpl_async.wording import counted

    extra = len(session.calibration.extra) if question.offsets is None else 0

    def asks(number: int) -> list[Ask]:
        return [Ask(number + extra, question.split, filled=bool(question.prompt))]

    count = len(question.rows(session.task))
    fits = affordable(session, asks, count)
    if fits < count:
        what = f"scoring {counted(count, f'{question.split} example')}"
        hint = f"--examples {fits} fits" if fits else None
        check_quote(session, asks(count), what, hint=hint)
