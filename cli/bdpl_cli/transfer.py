"""``bdpl-async transfer``: learned prompts scored on other models, as a matrix."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from bdpl_cli.columns import wrapped
from bdpl_cli.given import changes, quiet
from bdpl_cli.interrupts import Interrupt, finish
from bdpl_cli.options import TransferOptions

if TYPE_CHECKING:
    from bdpl_async.config import Config, ModelTable
    from bdpl_async.kept import Kept
    from bdpl_async.overrides import Value
    from bdpl_async.session import Session
    from bdpl_async.studies.transferring import Column, Entry
    from bdpl_async.task import Task

__all__ = ["transfer"]


def transfer(
    *runs: Annotated[Path, Parameter(name="RUN_DIR", help="Folders of runs of one task")],
    model: Annotated[
        tuple[str, ...],
        Parameter(
            name="--model", help="PROVIDER/NAME; may be repeated", negative=(), show_default=False
        ),
    ] = (),
    models: Annotated[
        Path | None, Parameter(help="A TASK.toml whose [[models]] to score on")
    ] = None,
    own: Annotated[bool, Parameter(help="Also the models that the prompts were learned on")] = True,
    split: Annotated[
        Literal["train", "dev", "test"] | None,
        Parameter(help="Which examples; test where there is one, else dev"),
    ] = None,
    json: Annotated[bool, Parameter(help="One JSON document on stdout", negative=())] = False,
    options: TransferOptions = TransferOptions(),  # noqa: B008  frozen
) -> None:
    """Score learned prompts on other models; the budget is given here and holds for each model."""
    from bdpl_async.studies.transferring import entries, for_model, same_task
    from bdpl_cli.matrix import Matrix
    from bdpl_cli.stdout import print_json
    from bdpl_cli.whichsplit import scored_split

    given = changes(options, "transfer", more=("run.out",))
    hushed = quiet(given, "transfer")
    kept, tasks = _reopened(runs, given)
    task = tasks[0]
    which = scored_split(task, split, kept, hushed=hushed)
    same_task([(one.path, each) for one, each in zip(kept, tasks, strict=True)], which)
    tables = _tables(kept, task.config, given, (model, models, own))
    configs = [for_model(task.config, table) for table in tables]
    rows = entries(kept, task.config.prompt.manual)
    _refuse_unwritable(options.out)
    matrix = Matrix(task, which, rows, _scored(task, rows, which, configs, hushed))
    matrix.refuse_empty()
    if json:
        print_json(matrix.document())
    else:
        print("\n".join(matrix.lines()))
    if options.out is not None:
        matrix.write(Path(options.out))
    matrix.refuse_failures()


def _reopened(runs: Sequence[Path], given: dict[str, Value]) -> tuple[list[Kept], list[Task]]:
    """The runs and their tasks.

    Raises:
        UsageError: no runs, or one of them, its data or an option cannot be used.
    """
    from bdpl_async.errors import ConfigError
    from bdpl_async.kept import read_run
    from bdpl_async.studies.reopening import reconfigured, reopen

    if not runs:
        raise ConfigError("transfer: give at least one RUN_DIR")
    ours = {key: value for key, value in given.items() if not key.startswith("model.")}
    kept = [read_run(run) for run in runs]
    return kept, [reopen(one, reconfigured(one, ours)) for one in kept]


def _tables(
    kept: Sequence[Kept],
    config: Config,
    given: dict[str, Value],
    named: tuple[Sequence[str], Path | None, bool],
) -> list[ModelTable]:
    """The models to score on, each once: the runs' own first.

    What is said of models on the command line holds for those that it names, and for the runs' own
    where it names none.

    Raises:
        ConfigError: no model is left, or a setting of one cannot be used.
    """
    from bdpl_async.errors import ConfigError

    names, file, own = named
    settings = {key: value for key, value in given.items() if key.startswith("model.")}
    if "model.name" in settings:
        raise ConfigError("model.name: give the models as --model")
    mine = {run.config.model.name: run.config.model for run in kept}
    found = dict(mine) if own else {}
    for name in names or (found if settings else ()):
        base: dict[str, object] = mine[name].model_dump() if name in mine else {"name": name}
        found[name] = _laid_over(config, base, settings)
    tables = [*found.values(), *_listed(kept, names, file)]
    if not tables:
        raise ConfigError("transfer: no model to score on", hint="give --model PROVIDER/NAME")
    return list({(table.name, table.base_url): table for table in tables}.values())


def _laid_over(config: Config, base: dict[str, object], settings: dict[str, Value]) -> ModelTable:
    from bdpl_async.config import Config

    over = {key.partition(".")[2]: value for key, value in settings.items()}
    tables = {**config.model_dump(), "model": {**base, **over}}
    return Config.check(tables, source="--model", overrides=settings).model


def _listed(kept: Sequence[Kept], names: Sequence[str], file: Path | None) -> list[ModelTable]:
    """The [[models]] of a file, or of the runs' own where the command line names none.

    Raises:
        ConfigError: the file has none, or cannot be used.
    """
    from bdpl_async.config import load_config
    from bdpl_async.errors import ConfigError

    if file is None:
        return [] if names else [table for run in kept for table in run.config.models]
    tables = load_config(file).models
    if not tables:
        raise ConfigError(f"{file}: there are no [[models]]", hint="add some, or give --model")
    return tables


def _refuse_unwritable(out: str | None) -> None:
    """See to it, before anything is spent, that the table can be written.

    Raises:
        ConfigError: it cannot.
    """
    from bdpl_async.errors import ConfigError

    if out is None:
        return
    file = Path(out)
    if file.is_dir() or not file.parent.is_dir():
        what = "is a folder" if file.is_dir() else "its folder is not there"
        raise ConfigError(f"--out {out}: {what}", hint="give the name of a .csv file to write")


def _scored(
    task: Task, rows: tuple[Entry, ...], split: str, configs: Sequence[Config], hushed: bool
) -> list[Column]:
    from bdpl_async.halt import Stopped

    try:
        return finish(_columns(task, rows, split, configs, hushed))
    except Stopped:
        raise KeyboardInterrupt from None


async def _columns(
    task: Task, rows: tuple[Entry, ...], split: str, configs: Sequence[Config], hushed: bool
) -> list[Column]:
    from bdpl_async.studies.transferring import Watcher
    from bdpl_async.studies.transferring import transfer as scored
    from bdpl_cli.connecting import connected
    from bdpl_cli.waiting import telling

    tell = (lambda told: None) if hushed else _tell
    watcher = Watcher(on_cost=tell, on_open=_Halting(), probing=telling)
    return await scored(task, rows, split, configs, connected, watcher)


def _tell(cost: str) -> None:
    print("\n".join(wrapped(f"bdpl-async: {cost}")), file=sys.stderr)


class _Halting:
    """On a signal halts the session at hand, and each one that is opened after it."""

    def __init__(self) -> None:
        self._interrupt = Interrupt()
        self._halted = False

    def __call__(self, session: Session) -> None:
        """This one is at hand now."""

        def halt() -> None:
            self._halted = True
            session.gate.halt()

        self._interrupt.halt = halt
        if self._halted:  # a signal that came as the model before was done
            halt()
