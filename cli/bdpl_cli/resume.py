"""``bdpl-async resume``: go on with a run that was stopped, killed or crashed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bdpl_cli.interrupts import INTERRUPTED, finish
from bdpl_cli.learn import learn
from bdpl_cli.options import ResumeOptions
from bdpl_cli.stderr import say

__all__ = ["resume"]


def resume(
    run: Annotated[Path, Parameter(name="RUN_DIR", help="The folder of a stopped run")],
    /,
    *,
    options: ResumeOptions = ResumeOptions(),  # noqa: B008  frozen
) -> int:
    """Go on with a stopped run, to the result that it would have had if nothing had stopped it.

    Nothing is asked again that was answered, and the budget goes on as well. A finished run is left
    as it is.
    """
    from bdpl_async.kept import finished, read_run, refuse_no_run
    from bdpl_async.task import Task
    from bdpl_cli.plaintext import clean

    refuse_no_run(run)
    if finished(run):
        prompt = clean(read_run(run).result.prompt) or "(empty)"
        say(f"bdpl-async: {clean(str(run))} is finished; its prompt: {prompt}")
        return 0
    task = Task.from_toml(run / "run.toml", overrides=options.overrides())
    result = finish(learn(task, run, resumed=True))
    return INTERRUPTED if result.stop_reason == "interrupted" else 0
