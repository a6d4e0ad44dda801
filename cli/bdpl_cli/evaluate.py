"""``bdpl-async eval``: score one prompt."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from bdpl_cli.interrupts import Interrupt, finish
from bdpl_cli.options import Options

if TYPE_CHECKING:
    from bdpl_async.calibration import Offsets
    from bdpl_async.evaluation import Evaluation
    from bdpl_async.records import Prompt
    from bdpl_async.session import Session
    from bdpl_async.task import Split, Task

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
    """Score one prompt on one split.

    A run's prompt is calibrated as the run left it. Otherwise ``optimizer.calibration`` says how:
    `contextual` by texts without content, `batch` by the texts of the very split that is scored.
    """
    from bdpl_async.task import Task
    from bdpl_cli.stdout import print_json

    text, kept = _prompt(prompt, run)
    loaded = Task.from_toml(task, overrides=options.overrides())
    found = finish(_score(loaded, text, split, kept))
    session, result, offsets = found.session, found.result, found.offsets
    if json:
        document = {
            "task": loaded.name,
            "model": session.model,
            "split": split,
            "prompt": text,
            **asdict(result),
            "calibration": None if offsets is None else asdict(offsets),
            "usage": asdict(session.gate.totals()),
        }
        print_json(document)
    else:
        from bdpl_cli.plaintext import clean

        low, high = result.ci95
        print(
            f"{clean(loaded.name)} {split} on {clean(session.model)}:"
            f" {result.metric} {result.score:.4f} (95 %: {low:.4f} to {high:.4f}, n={result.n})"
            f"{_calibrated(offsets, kept, split)}"
            f"  {clean(text) or '(empty)'}"
        )


@dataclass(frozen=True, slots=True)
class _Found:
    """A score, and what was taken off the answers before."""

    session: Session
    result: Evaluation
    offsets: Offsets | None


def _calibrated(offsets: Offsets | None, kept: Offsets | None, split: str) -> str:
    """How the score was calibrated, for a person."""
    if offsets is None:
        return ""
    batch = f"by the texts of {split}"
    by = "as the run was" if kept is not None else batch if offsets.kind == "batch" else "anew"
    return f", calibrated ({offsets.kind}, {by})"


def _prompt(prompt: str | None, run: Path | None) -> tuple[str, Offsets | None]:
    """The prompt given, or the one that a run learned, with the run's offsets.

    Raises:
        ConfigError: both or neither are given, or the folder has no result.
    """
    import orjson

    from bdpl_async.calibration import Offsets
    from bdpl_async.errors import ConfigError

    if (prompt is None) == (run is None):
        raise ConfigError("eval: give either --prompt TEXT or --run RUN_DIR")
    if run is None:
        return prompt or "", None
    try:
        document = orjson.loads((run / "result.json").read_bytes())
        found, offsets = document["prompt"], document.get("calibration")
        if isinstance(found, str):
            return found, None if offsets is None else Offsets.of(offsets)
        reason = "its prompt is no text"
    except OSError as error:
        reason = error.strerror or str(error)
    except (KeyError, TypeError, AttributeError, ValueError):
        reason = "not the JSON document that a run writes"
    raise ConfigError(
        f"{run / 'result.json'}: no result to take a prompt from: {reason}",
        hint="--run takes the folder of a finished run",
    )


async def _score(task: Task, text: str, split: str, kept: Offsets | None) -> _Found:
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
    _check_offsets(task, kept)
    prompt = Prompt.of(text)
    Interrupt()
    async with connected(task.config) as scorer, opened(task.config, scorer) as cache:
        session = Session.prepare(task, scorer, task.config, cache=cache)
        await session.expect([prompt])
        count = len(examples) + (len(session.calibration.extra) if kept is None else 0)
        _check_budget(session, count, split)
        async with telling(session.gate.channel):
            await session.probe()
        _check_budget(session, count, split)
        return await _scored(session, prompt, examples, kept)


async def _scored(
    session: Session, prompt: Prompt, examples: Split, kept: Offsets | None
) -> _Found:
    """The score, less the offsets of a run, or such as the configuration asks for."""
    from bdpl_async.answers import Answers

    if kept is None:
        answers, offsets = await session.calibrated(prompt, examples)
        return _Found(session, session.measure(answers), offsets)
    raw = await session.answers(prompt, examples)
    found = Answers(raw.labels, kept.applied(raw.logprobs))
    return _Found(session, session.measure(found), kept)


def _check_offsets(task: Task, kept: Offsets | None) -> None:
    """See to it that the offsets of a run are for the labels of the task.

    Raises:
        ConfigError: there are more or fewer.
    """
    from bdpl_async.errors import ConfigError

    if kept is not None and len(kept.offsets) != len(task.words):
        raise ConfigError(
            f"--run: it has {len(kept.offsets)} calibration offsets, and {task.name} has"
            f" {len(task.words)} labels",
            hint="score a run on its own task",
        )


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
