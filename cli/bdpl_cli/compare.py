"""``bdpl-async compare``: models and methods on the same examples and the same budget."""

from __future__ import annotations

import os
import re
import sys
from contextlib import aclosing, closing
from functools import partial
from pathlib import Path
from time import strftime
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from bdpl_cli.given import quiet, wanted
from bdpl_cli.interrupts import INTERRUPTED, Interrupt, finish
from bdpl_cli.options import CompareOptions
from bdpl_cli.plaintext import clean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bdpl_async.events import Event
    from bdpl_async.kept import Kept
    from bdpl_async.overrides import Value
    from bdpl_async.run import Run
    from bdpl_async.studies.arms import Arm
    from bdpl_async.studies.scoreboard import Scoreboard

__all__ = ["compare"]


def compare(
    task: Annotated[str, Parameter(help="A .toml file or a built-in name")],
    /,
    *,
    json: Annotated[bool, Parameter(help="One JSON document on stdout", negative=())] = False,
    options: CompareOptions = CompareOptions(),  # noqa: B008  frozen
) -> int:
    """Compare models and methods on the same examples and the same budget."""
    from bdpl_async.rundir import refuse_taken
    from bdpl_async.studies.arms import plan_arms
    from bdpl_cli.armtable import table
    from bdpl_cli.stdout import print_json

    _refuse_unbuilt(options)
    overrides = options.overrides()
    hushed = quiet(overrides, "compare")
    out = _folder(task, overrides)
    refuse_taken(out)
    arms = plan_arms(task, overrides, wanted(options, overrides), out)
    board = finish(_compared(arms, out, quiet=hushed))
    if board is None:
        return INTERRUPTED
    if json:
        print_json(board.to_json())
    else:
        print("\n".join([*table(board), f"saved in {clean(str(out))}"]))
    return 0


def _refuse_unbuilt(options: CompareOptions) -> None:
    """See to it that every option that was given has an effect.

    Raises:
        ConfigError: one has none.
    """
    from bdpl_async.errors import ConfigError

    if options.executor == "ray" or options.address is not None:
        raise ConfigError("--executor ray, --address: not built yet", hint="leave them out")


def _folder(task: str, overrides: Mapping[str, Value]) -> Path:
    """``--out``, or a new folder below ``runs`` named after the task and the time."""
    if (given := overrides.get("run.out")) is not None:
        return Path(os.path.normpath(str(given)))
    name = re.sub(r"[^\w-]+", "-", Path(task).stem)[:60]
    path = Path("runs") / f"{name}-compare-{strftime('%Y%m%d-%H%M%S')}"
    candidates = (path.with_name(f"{path.name}-{n}") for n in range(2, 1000))
    return path if not path.exists() else next(p for p in candidates if not p.exists())


async def _compared(arms: Sequence[Arm], out: Path, *, quiet: bool) -> Scoreboard | None:
    """Run what is not there yet, and write comparison.json; None if a signal ended it before."""
    from bdpl_async.studies.arms import rehearse, run_arms
    from bdpl_async.studies.claim import Claim
    from bdpl_async.studies.scoreboard import scoreboard
    from bdpl_cli.connecting import connected

    stop = _Stop()
    progress = _Progress(sum(len(arm.cells) for arm in arms), out, quiet=quiet)
    await rehearse(arms, connected)
    runs: dict[str, list[Kept]] = {arm.name: [] for arm in arms}
    with closing(Claim(out)):
        stop.saving(out)
        try:
            async with aclosing(run_arms(arms, connected, progress.event, stop.during)) as found:
                async for arm, kept in found:
                    if kept.result.stop_reason == "interrupted":
                        break
                    stop.between()
                    runs[arm.name].append(kept)
                    progress.done(arm, kept)
                    if stop.asked:
                        break
        finally:
            progress.end()
        if progress.left:
            return None
        board = scoreboard(arms, runs)
        board.write(out)
        return board


class _Stop:
    """What a signal does: it halts the run that is under way, and nothing else begins."""

    def __init__(self) -> None:
        self.asked = False
        self._interrupt = Interrupt()
        self._cancel = self._interrupt.halt

    def saving(self, out: Path) -> None:
        self._interrupt.saved = clean(str(out))

    def during(self, run: Run) -> None:
        self._interrupt.halt = partial(self._halt, run)

    def between(self) -> None:
        self._interrupt.halt = self._cancel

    def _halt(self, run: Run) -> None:
        self.asked = True
        run.gate.halt()


class _Progress:
    """Tells each run that is done on stderr, and how to go on if any is left."""

    def __init__(self, total: int, out: Path, *, quiet: bool) -> None:
        self.total = self.left = total
        self._out = out
        self._quiet = quiet
        self._told: set[str] = set()

    def end(self) -> None:
        """Say how to go on, if any run is left."""
        if self.left:
            done = f"{self.total - self.left} of {self.total} runs are done"
            _say(f"bdpl-async: {done}; the same command with --out {self._out} goes on")

    def event(self, arm: Arm, event: Event) -> None:
        """Say what a run warns of, once."""
        from bdpl_async.events import Note

        if isinstance(event, Note) and not self._quiet:
            line = f"note: {arm.name}: {event.message}"
            if line not in self._told:
                self._told.add(line)
                _say(line)

    def done(self, arm: Arm, kept: Kept) -> None:
        """Count a run, and say what it came to."""
        from bdpl_cli.views import percent

        self.left -= 1
        result = kept.result
        split, score = ("test", result.test) if result.test else ("dev", result.dev)
        came_to = f"{split} {percent(score)}" if score else "no score"
        if not self._quiet:
            _say(
                f"{self.total - self.left}/{self.total}  {arm.name}, seed {result.seed}: {came_to};"
                f" {result.usage.prompts:,} prompts, {result.usage.seconds:.1f} s"
            )


def _say(line: str) -> None:
    print(clean(line), file=sys.stderr, flush=True)
