"""``bdpl-async probe``: ask one model what it can do, before money is spent on it.

First it is probed as a run would probe it, then every other read-out is tried; both are counted
against ``--max-requests`` and the other budgets. Without TASK it reads two short texts of ours.
``--json`` prints one document:

    model, base_url       PROVIDER/NAME, and the server's address or null
    task                  TASK's name or null
    readouts              name -> {works, detail (why not), reads, top_logprobs, lists,
                          temperature_ignored, label_mass, censored, logprobs, notes}
    chosen                the read-out that a run would take, or null
    labels                word -> {ids, pieces, single, logprobs (nats, one per sample)}
    label_mass            probability of all label words together, at best; or null
    samples               the texts that were sent
    limits                {context_tokens, texts_per_request, lists, top_logprobs,
                          temperature_ignored, concurrency, quotas: [{unit, limit, remaining,
                          reset}]}
    models                what the server says that it serves
    price                 {prompt, completion} in USD per million tokens, or null
    notes, trouble        sentences; why a run could not use the model, or null
    usage                 as in result.json

What is not known is null. Exit codes: 0 a run could use the model, 2 bad options or label words,
3 it could not, or the provider refuses or is not there, 4 the budget is too small, 130 interrupted.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from bdpl_cli.columns import room
from bdpl_cli.interrupts import Interrupt, finish
from bdpl_cli.options import ProbeOptions

if TYPE_CHECKING:
    from bdpl_async.errors import BdplError
    from bdpl_async.overrides import Value
    from bdpl_async.records import Text
    from bdpl_async.task import Task
    from bdpl_cli.findings import Findings

__all__ = ["probe"]

SAMPLES = ("Question: Is water wet? Answer:", "Is snow cold? Answer:")
WORDS = ((" Yes", " No"), (" yes", " no"))  # the second where the first are in pieces
TEMPLATE = "{prompt} {text}{mask}"
OURS = ("task.", "run.data")  # keys that mean nothing without TASK


def probe(
    task: Annotated[str | None, Parameter(help="A .toml file or a built-in name")] = None,
    /,
    *,
    label: Annotated[
        tuple[str, ...],
        Parameter(help="A label word, as in --label ' Yes'", negative=(), show_default=False),
    ] = (),
    json: Annotated[bool, Parameter(help="One JSON document on stdout", negative=())] = False,
    options: ProbeOptions = ProbeOptions(),  # noqa: B008  frozen
) -> None:
    """Ask one model what it can do."""
    from bdpl_cli.stdout import print_json

    overrides, words = options.overrides(), _words(label)
    subject = _taken(task, overrides) if task is not None else _made(overrides)
    choices = (words,) if words else (subject.words,) if task is not None else WORDS
    found, trouble = finish(_probed(subject, choices, task is not None))
    if json:
        print_json(found.document())
    else:
        print("\n".join(found.lines(room())), flush=True)
    if trouble is not None:
        raise trouble


def _words(labels: tuple[str, ...]) -> tuple[str, ...]:
    """The label words given.

    Raises:
        ConfigError: a single one, an empty one, or one that is there twice.
    """
    from bdpl_async.errors import ConfigError

    bare = [label.strip() for label in labels]
    if len(labels) == 1 or not all(bare) or len(set(bare)) < len(bare):
        raise ConfigError(
            "--label: give at least two label words, each another and none empty",
            hint="for example --label ' Yes' --label ' No'",
        )
    return labels


def _taken(name: str, overrides: dict[str, Value]) -> Task:
    from bdpl_async.task import Task

    return Task.from_toml(name, overrides=overrides)


def _made(overrides: dict[str, Value]) -> Task:
    """A task of two texts of ours, for a model that the command line names.

    Raises:
        ConfigError: no model, or a key that cannot be used.
    """
    from bdpl_async.config import Config
    from bdpl_async.errors import ConfigError
    from bdpl_async.overrides import lay_over
    from bdpl_async.records import Example
    from bdpl_async.task import Split, Task
    from bdpl_async.template import Template

    if not overrides.get("model.name"):
        raise ConfigError(
            "model.name: probe needs a model",
            hint="give --model PROVIDER/NAME, or a TASK that names one",
        )
    if idle := next((key for key in overrides if key.startswith(OURS)), None):
        raise ConfigError(f"{idle}: means nothing without a TASK", hint="name one, or leave it out")
    words = dict(zip("01", WORDS[0], strict=True))
    table = {"name": "probe", "train": "none", "template": TEMPLATE, "labels": words}
    tables: dict[str, object] = {"task": table}
    for key, value in overrides.items():
        lay_over(tables, key, value)
    config = Config.check(tables, source="probe", overrides=overrides)
    rows = Split(tuple(Example({"text": text}, 0) for text in SAMPLES))
    none = Split()
    template = Template.parse(TEMPLATE)
    return Task("probe", template, ("0", "1"), WORDS[0], "accuracy", rows, none, none, config, "")


async def _probed(
    task: Task, choices: tuple[tuple[str, ...], ...], named: bool
) -> tuple[Findings, BdplError | None]:
    """What was found, and why a run could not use the model.

    Args:
        task: gives the sample texts and all settings.
        choices: label words to take, the first that the model can read.
        named: the task is the user's.
    """
    from bdpl_async.session import Session
    from bdpl_async.sharing.grants import joined
    from bdpl_cli.connecting import connected
    from bdpl_cli.visit import Visit
    from bdpl_cli.waiting import telling

    Interrupt()
    async with connected(task.config) as scorer, joined(task.config) as group:
        session = Session.prepare(task, scorer, task.config, group=group)
        gate = session.gate
        texts = session.sample().texts if named else _ours(session.task)
        visit = Visit(scorer, gate, texts, task.config)
        async with telling(gate.channel):
            found = await visit.findings(choices)
    return replace(found, task=task.name if named else None), visit.trouble


def _ours(task: Task) -> tuple[Text, ...]:
    """The two texts of ours, each without a prompt."""
    from bdpl_async.records import Prompt

    return tuple(task.text(Prompt(), row) for row in task.train.examples)
