"""``bdpl-async explain``: what the learned tokens do.

What the run kept is read for nothing: the distribution of every position, and the examples that
flipped. What else there is to know is asked: the prompt without each of its tokens, and plain
phrases that make the model answer alike, which is nearness of behaviour and not of meaning.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from bdpl_cli.given import changes, quiet
from bdpl_cli.interrupts import Interrupt, finish
from bdpl_cli.options import ExplainOptions, Whole

if TYPE_CHECKING:
    from bdpl_async.result import Totals
    from bdpl_async.session import Session
    from bdpl_async.studies.dissection import Dissection, Questions
    from bdpl_async.task import Split, Task
    from bdpl_cli.explained import Explained

__all__ = ["explain"]


def explain(
    run: Annotated[Path, Parameter(name="RUN_DIR", help="The folder of a run")],
    /,
    *,
    split: Annotated[Literal["dev", "test"], Parameter(help="Which examples")] = "dev",
    examples: Annotated[
        Whole | None, Parameter(help="Ask the first N only, and show N flipped at most")
    ] = None,
    phrase: Annotated[
        tuple[str, ...],
        Parameter(
            help="A phrase to compare with; may be repeated", negative=(), show_default=False
        ),
    ] = (),
    phrases: Annotated[bool, Parameter(help="Look for the nearest manual phrase")] = True,
    json: Annotated[bool, Parameter(help="One JSON document on stdout", negative=())] = False,
    options: ExplainOptions = ExplainOptions(),  # noqa: B008  frozen
) -> None:
    """Say what the learned tokens do; the budget is what is given here, not the run's own."""
    from bdpl_async.errors import ConfigError
    from bdpl_async.studies.phrases import phrases_for
    from bdpl_async.studies.reopening import reconfigured
    from bdpl_cli.explained import read
    from bdpl_cli.explainedtext import lines
    from bdpl_cli.stdout import print_json

    if examples is not None and examples < 1:
        raise ConfigError(f"--examples {examples}: must be at least 1")
    given = changes(options, "explain")
    hushed = quiet(given, "explain")
    if "model.name" in given:
        raise ConfigError(
            "model.name: explain asks the model that the prompt was learned on",
            hint="for other models see bdpl-async transfer",
        )
    found = read(run, split, examples)
    config = reconfigured(found.kept, given)
    found.open(config)
    if found.task is not None:
        tried = phrases_for(config.prompt.manual, phrase) if phrases or phrase else ()
        _ask_about(found, tried if phrases else phrase, hushed)
    if json:
        print_json(found.document())
    else:
        print("\n".join(lines(found)))
    if found.failure is not None:
        raise found.failure


def _ask_about(found: Explained, phrases: tuple[str, ...], hushed: bool) -> None:
    """Ask the model; what it refuses leaves the rest of the explanation standing.

    Raises:
        UsageError, BudgetTooSmall: nothing was sent.
        KeyboardInterrupt: a signal ended it.
    """
    from bdpl_async.errors import ProviderError
    from bdpl_async.halt import Stopped
    from bdpl_async.records import Prompt
    from bdpl_async.studies.dissection import Questions

    assert found.task is not None  # noqa: S101
    result = found.kept.result
    questions = Questions(Prompt(result.tokens), phrases, result.calibration)
    try:
        found.asked = finish(_dissected(found.task, questions, (found.split, found.limit), hushed))
    except ProviderError as error:
        found.failure = error
    except Stopped:
        raise KeyboardInterrupt from None


async def _dissected(
    task: Task, questions: Questions, which: tuple[str, int | None], hushed: bool
) -> tuple[Dissection, Totals]:
    from bdpl_async.session import Session
    from bdpl_async.studies.dissection import dissect
    from bdpl_async.studies.transferring import split_of
    from bdpl_async.task import Split
    from bdpl_async.tuning import opened
    from bdpl_cli.connecting import connected
    from bdpl_cli.waiting import telling

    name, limit = which
    examples = Split(split_of(task, name, ("dev", "test")).examples[:limit])
    interrupt = Interrupt()
    async with connected(task.config) as scorer, opened(task.config, scorer) as around:
        cache, group = around
        session = Session.prepare(task, scorer, task.config, cache=cache, group=group)
        interrupt.halt = session.gate.halt
        await session.expect(questions.prompts)
        _check(session, questions, name, examples)
        if not hushed:
            _tell(session, questions, name, examples)
        async with telling(session.gate.channel):
            await session.probe()
        _check(session, questions, name, examples)
        return await dissect(session, questions, examples), session.gate.totals()


def _check(session: Session, questions: Questions, split: str, examples: Split) -> None:
    """Refuse to begin what the budget does not finish, and say how to need less.

    Raises:
        BudgetTooSmall: saying what it takes.
    """
    from bdpl_async.studies.quote import affordable, check_quote

    count = len(examples)
    fits = affordable(session, lambda number: questions.asks(split, number), count)
    if fits == count:
        return
    hint = f"--examples {fits} fits, " if fits else ""
    hint += "--no-phrases asks less" if questions.phrases else "or grant more"
    check_quote(session, questions.asks(split, count), _what(questions, split, count), hint=hint)


def _what(questions: Questions, split: str, count: int) -> str:
    from bdpl_async.wording import counted

    return (
        f"asking {counted(len(questions.prompts), 'prompt')} on"
        f" {counted(count, f'{split} example')}"
    )


def _tell(session: Session, questions: Questions, split: str, examples: Split) -> None:
    """What it will take at most, before anything is sent."""
    from bdpl_async.studies.quote import quote, quoted
    from bdpl_cli.columns import wrapped

    what = _what(questions, split, len(examples))
    cost = quoted(quote(session, questions.asks(split, len(examples))))
    line = f"bdpl-async: {what} of {session.model} takes at most {cost}"
    print("\n".join(wrapped(line)), file=sys.stderr)
