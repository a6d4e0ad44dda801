"""``bdpl-async compare``: models and methods on the same examples and the same budget."""

from __future__ import annotations

import os
import re
import sys
from contextlib import aclosing, closing
from pathlib import Path
from time import strftime
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from bdpl_cli.elsewhere import Place, refuse_address, running
from bdpl_cli.given import wanted
from bdpl_cli.interrupts import INTERRUPTED, Interrupt, finish
from bdpl_cli.options import CompareOptions
from bdpl_cli.plaintext import clean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bdpl_async.kept import Kept
    from bdpl_async.overrides import Value
    from bdpl_async.studies.arms import Arm
    from bdpl_async.studies.cells import Runner
    from bdpl_async.studies.scoreboard import Scoreboard
    from bdpl_cli.comparing import Teller

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

    refuse_address(options.executor, options.address)
    overrides = options.overrides()
    ui = _ui(overrides, json=json)
    out = _folder(task, overrides)
    refuse_taken(out)
    arms = plan_arms(task, overrides, wanted(options, overrides), out)
    telemetry = overrides.get("run.telemetry")
    watched = None if telemetry is None else str(telemetry)
    place = Place(options.executor, options.address, watched)
    board = finish(_compared(arms, out, _teller(ui, arms, out), place))
    if board is None:
        return INTERRUPTED
    _show(board, out, ui="json-document" if json else ui)
    return 0


def _show(board: Scoreboard, out: Path, ui: str) -> None:
    from bdpl_cli.armtable import table
    from bdpl_cli.stdout import print_json

    if ui == "json-document":
        print_json(board.to_json())
    elif ui != "json":  # which had its last line already
        print("\n".join([*table(board), f"saved in {clean(str(out))}"]))


def _ui(overrides: Mapping[str, Value], *, json: bool) -> str:
    """What to show meanwhile, as ``--ui`` names it.

    Raises:
        ConfigError: two documents are to stand on stdout.
    """
    from bdpl_async.errors import ConfigError

    ui = str(overrides.get("run.ui", "auto"))
    if ui == "json" and json:
        hint = "--ui json ends with the document; --json prints it alone"
        raise ConfigError("--ui json, --json: both want stdout", hint=hint)
    return ui


def _teller(ui: str, arms: Sequence[Arm], out: Path) -> Teller:
    """Who is told meanwhile: a screen where there is one, on stderr, as stdout is for the table."""
    from bdpl_cli.comparing import Events, Lines, Teller
    from bdpl_cli.stderr import say

    total = sum(len(arm.cells) for arm in arms)
    if ui == "none":
        return Teller(total, out)
    if ui == "json":
        return Events(total, out)
    if ui == "plain" or (ui == "auto" and not sys.stderr.isatty()):
        return Lines(total, out)
    from bdpl_cli.screen.armsscreen import LEAST, ArmsScreen
    from bdpl_cli.screen.terminal import Terminal, unfit

    if why := unfit(LEAST, out=sys.stderr):
        if ui == "rich":
            say(f"bdpl-async: plain lines instead of --ui rich: {why}")
        return Lines(total, out)
    return ArmsScreen(arms, out, Terminal(sys.stderr))


def _folder(task: str, overrides: Mapping[str, Value]) -> Path:
    """``--out``, or a new folder below ``runs`` named after the task and the time."""
    if (given := overrides.get("run.out")) is not None:
        return Path(os.path.normpath(str(given)))
    name = re.sub(r"[^\w-]+", "-", Path(task).stem)[:60]
    path = Path("runs") / f"{name}-compare-{strftime('%Y%m%d-%H%M%S')}"
    candidates = (path.with_name(f"{path.name}-{n}") for n in range(2, 1000))
    return path if not path.exists() else next(p for p in candidates if not p.exists())


async def _compared(
    arms: Sequence[Arm], out: Path, teller: Teller, place: Place
) -> Scoreboard | None:
    """Run what is not there yet, and write comparison.json; None if a signal ended it before."""
    from bdpl_async.saving.claim import Claim
    from bdpl_async.studies.arms import rehearse
    from bdpl_async.studies.scoreboard import scoreboard
    from bdpl_cli.connecting import connected

    interrupt = Interrupt()
    await rehearse(arms, connected)
    with closing(Claim(out)):
        interrupt.saved = clean(str(out))
        configs = [cell.config for arm in arms for cell in arm.cells]
        async with running(place, configs) as runner:
            runs = await _run_all(arms, teller, interrupt, runner)
        if teller.left:
            return None
        board = scoreboard(arms, runs)
        board.write(out)
        teller.compared(board)
        return board


async def _run_all(
    arms: Sequence[Arm], teller: Teller, interrupt: Interrupt, runner: Runner | None
) -> dict[str, list[Kept]]:
    """The runs of each arm that came to their end, in the order of its seeds."""
    from bdpl_async.studies.sidebyside import SideBySide
    from bdpl_cli.connecting import connected

    side_by_side = SideBySide(arms, connected, teller, runner)

    def halt() -> None:
        teller.stopping()
        side_by_side.halt()

    teller.stop = interrupt.halt = halt
    interrupt.leaving = teller.leaving
    runs: dict[str, list[Kept]] = {arm.name: [] for arm in arms}
    try:
        async with teller.showing(), aclosing(side_by_side.runs()) as found:
            async for arm, kept in found:
                if kept.result.stop_reason != "interrupted":
                    runs[arm.name].append(kept)
                    teller.done(arm, kept)
    finally:
        teller.end()
    return runs
