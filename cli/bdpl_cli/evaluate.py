"""``bdpl-async eval``: score one prompt."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from bdpl_cli.interrupts import Interrupt, finish
from bdpl_cli.options import Options

if TYPE_CHECKING:
    from bdpl_async.evaluation import Evaluation
    from bdpl_async.session import Session
    from bdpl_async.task import Task

__all__ = ["evaluate"]


def evaluate(
    task: Annotated[str, Parameter(help="A .toml file or a built-in name")],
    /,
    *,
    prompt: Annotated[str | None, Parameter(help="The prompt to score; may be empty")] = None,
    run: Annotated[Path | None, Parameter(help="RUN_DIR whose learned prompt to score")] = None,
    split: Annotated[Literal["train", "dev", "test"], Parameter(help="Which examples")] = "test",
    json: Annotated[bool, Parameter(help="One JSON document on stdout", negative=())] = False,
    options: Options = Options(),  # noqa: B008  frozen
) -> None:
    """Score one prompt on one split."""
    from bdpl_async.task import Task
    from bdpl_cli.stdout import print_json

    text = _prompt(prompt, run)
    loaded = Task.from_toml(task, overrides=options.overrides())
    session, result = finish(_score(loaded, text, split))
    if json:
        document = {
            "task": loaded.name,
            "model": session.model,
            "split": split,
            "prompt": text,
            **asdict(result),
            "usage": asdict(session.gate.totals()),
        }
        print_json(document)
    else:
        from bdpl_cli.plaintext import clean

        low, high = result.ci95
        print(
            f"{clean(loaded.name)} {split}: {result.metric} {result.score:.4f}"
            f" (95 %: {low:.4f} to {high:.4f}, n={result.n})  {clean(text) or '(empty)'}"
        )


def _prompt(prompt: str | None, run: Path | None) -> str:
    """The prompt given, or the one that a run learned.

    Raises:
        ConfigError: both or neither are given, or the folder has no result.
    """
    import orjson

    from bdpl_async.errors import ConfigError

    if (prompt is None) == (run is None):
        raise ConfigError("eval: give either --prompt TEXT or --run RUN_DIR")
    if run is None:
        return prompt or ""
    try:
        found = orjson.loads((run / "result.json").read_bytes())["prompt"]
        if isinstance(found, str):
            return found
        reason = "its prompt is no text"
    except OSError as error:
        reason = error.strerror or str(error)
    except (KeyError, TypeError, orjson.JSONDecodeError):
        reason = "not the JSON document that a run writes"
    raise ConfigError(
        f"{run / 'result.json'}: no result to take a prompt from: {reason}",
        hint="--run takes the folder of a finished run",
    )


async def _score(task: Task, text: str, split: str) -> tuple[Session, Evaluation]:

    from bdpl_async.errors import DataError
    from bdpl_async.records import Prompt
    from bdpl_async.session import Session
    from bdpl_async.tuning import opened
    from bdpl_cli.connecting import connected
    from bdpl_cli.waiting import telling

    examples = {"train": task.train, "dev": task.dev, "test": task.test}[split]
    if not len(examples):
        raise DataError(
            f"task.{split}: {task.name} has no {split} split",
            hint="name a file for it under [task], or take another --split",
        )
    Interrupt()
    async with connected(task.config) as scorer, opened(task.config, scorer) as cache:
        session = Session.prepare(task, scorer, task.config, cache=cache)
        await session.expect([Prompt.of(text)])
        _check_budget(session, len(examples), split)
        async with telling(session.gate.channel):
            await session.probe()
        _check_budget(session, len(examples), split)
        return session, await session.evaluate(Prompt.of(text), examples)


def _check_budget(session: Session, count: int, split: str) -> None:
    """Refuse to begin what the budget does not finish.

    Raises:
        BudgetTooSmall: saying what it takes.
    """
    from bdpl_async.budget import Amount
    from bdpl_async.errors import BudgetTooSmall

    forecast, ledger = session.gate.forecast, session.gate.ledger
    cost = forecast.cost(count, split)
    probes = 0 if ledger.used.requests else session.gate.capabilities.probes  # still to come
    cost += Amount(probes)
    if not forecast.affords(cost):
        limit = ledger.shortage(cost) or "seconds"
        granted = getattr(ledger.budget, limit)
        raise BudgetTooSmall(
            f"the budget of {granted} {limit} is too small: scoring {count} {split}"
            f" examples takes {cost.prompts} prompts in {cost.requests} requests"
            + (", the probe included" if probes else "")
        )
