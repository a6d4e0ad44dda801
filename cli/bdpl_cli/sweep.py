"""``bdpl-async sweep``: a grid of runs, resumable as a whole."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from bdpl_cli.elsewhere import Place, refuse_address, running
from bdpl_cli.given import quiet
from bdpl_cli.interrupts import INTERRUPTED, Interrupt, finish
from bdpl_cli.optionkeys import SEARCH, WHERE
from bdpl_cli.options import PATHS, SweepOptions, Whole
from bdpl_cli.stderr import say, warned

if TYPE_CHECKING:
    from collections.abc import Callable

    from bdpl_async.events import Event
    from bdpl_async.studies.grid import Sweep
    from bdpl_async.studies.sweepdir import SweepDir
    from bdpl_async.studies.sweeping import Row

__all__ = ["sweep"]


def sweep(
    file: Annotated[Path, Parameter(name="SWEEP", help="A .toml file, see below")],
    /,
    *,
    seeds: Annotated[Whole | None, Parameter(help="So many: seeds 0..N-1", group=SEARCH)] = None,
    json: Annotated[bool, Parameter(help="One JSON document on stdout", negative=())] = False,
    executor: Annotated[
        Literal["local", "ray"],
        Parameter(help="local: one after another; ray: a cluster", group=WHERE),
    ] = "local",
    address: Annotated[str | None, Parameter(help="Of a Ray cluster", group=WHERE)] = None,
    options: SweepOptions = SweepOptions(),  # noqa: B008  frozen
) -> int:
    """Run a grid of runs, resumable as a whole."""
    from bdpl_async.errors import BdplError
    from bdpl_async.studies.gridfile import read_sweep
    from bdpl_async.studies.sweepdir import SweepDir

    refuse_address(executor, address)
    given = options.overrides()
    hushed = quiet(given, "sweep")
    keys = ("run.out", "run.telemetry", "run.ui", "run.yes")  # no cell's own
    out, telemetry, *_ = [given.pop(key, None) for key in keys]
    plan = read_sweep(file, given=given, seeds=seeds, paths=PATHS)
    folder = SweepDir(Path(os.path.normpath(out)) if isinstance(out, str) else _out(plan), plan)
    place = Place(executor, address, None if telemetry is None else str(telemetry))
    try:
        if finish(_swept(folder, _Teller(len(plan.points), hushed), place)):
            _finish(folder, json)
            return 0
    except BrokenPipeError:  # nobody reads on
        raise
    except (BdplError, KeyboardInterrupt, OSError) as error:
        _say_how_to_go_on(folder, place)
        if isinstance(error, KeyboardInterrupt):
            return INTERRUPTED
        raise
    finally:
        folder.close()
    _say_how_to_go_on(folder, place)
    return INTERRUPTED


def _out(plan: Sweep) -> Path:
    """``[sweep] out``, or the same folder below ``runs`` every time."""
    if plan.out is not None:
        return Path(os.path.normpath(plan.out))
    return Path("runs") / (re.sub(r"[^\w-]+", "-", plan.name)[:60].strip("-") or "sweep")


async def _swept(folder: SweepDir, teller: _Teller, place: Place) -> bool:
    """Check and run; whether all cells came to their end."""
    from bdpl_async.studies.sweeping import Sweeping
    from bdpl_cli.connecting import connected
    from bdpl_cli.plaintext import clean

    interrupt = Interrupt()
    async with Sweeping(folder.sweep, folder.path, connected, teller.hear) as sweeping:
        done = await sweeping.check()
        folder.begin(done)
        interrupt.halt, interrupt.saved = sweeping.halt, clean(str(folder.path))
        teller.begin(len(done), interrupt.saved)
        async with running(place, sweeping.configs()) as runner:
            return await sweeping.run(teller.with_row(folder.add), runner)


class _Teller:
    """One calm line a cell on stderr.

    Args:
        cells: how many there are.
        quiet: say nothing.
    """

    def __init__(self, cells: int, quiet: bool) -> None:
        self._cells = cells
        self._done = 0
        self._quiet = quiet
        self._notes: set[str] = set()

    def begin(self, done: int, out: str) -> None:
        """So many cells are there already."""
        from bdpl_async.wording import counted

        self._done = done
        there = f", {done:,} of them done already" if done else ""
        if not self._quiet:  # a folder's name stays whole
            say(f"sweep: {counted(self._cells, 'cell')}{there}, in {out}")

    def hear(self, event: Event) -> None:
        """What a run notes is told once in a sweep."""
        from bdpl_async.events import Note

        if not isinstance(event, Note) or warned(event.message):
            return
        if event.message not in self._notes:
            self._notes.add(event.message)
            self._say(f"note: {event.message}")

    def with_row(self, keep: Callable[[Row], None]) -> Callable[[Row], None]:
        """Keep a row, then tell of it."""
        from bdpl_cli.sweeptext import found

        def told(row: Row) -> None:
            keep(row)
            self._done += 1
            self._say(f"[{self._done}/{self._cells}] {row.point.label}: {found(row)}")

        return told

    def _say(self, line: str) -> None:
        from bdpl_cli.columns import wrapped

        if not self._quiet:
            say(*wrapped(line))


def _say_how_to_go_on(folder: SweepDir, place: Place) -> None:
    """On stderr, where there is something to go on with."""
    if not (folder.path / "sweep.toml").exists():
        return
    done, cells = len(folder.rows), len(folder.sweep.points)
    file, out = folder.path / "sweep.toml", folder.path
    command = shlex.join(["bdpl-async", "sweep", str(file), "--out", str(out), *place.words()])
    say(f"bdpl-async: {done:,} of {cells:,} cells are done; go on with", f"  {command}")


def _finish(folder: SweepDir, json: bool) -> None:
    """Draw, and print what was found."""
    from bdpl_cli.plaintext import clean
    from bdpl_cli.stdout import print_json
    from bdpl_cli.sweeptext import lines

    drawn = _draw(folder)
    if json:
        print_json(folder.document())
        return
    print("\n".join(lines(folder.sweep, folder.rows)))
    for name in ("sweep.csv", "sweep.json", *(["sweep.svg"] if drawn else [])):
        print(clean(f"wrote {folder.path / name}"))


def _draw(folder: SweepDir) -> bool:
    """Write sweep.svg; whether matplotlib is there to draw it."""
    from bdpl_async.saving.durable import write_atomically
    from bdpl_cli.plots import draw

    try:
        picture = draw(folder.sweep, folder.rows)
    except ImportError:
        say("note: no plot; for one: pip install 'bdpl-async[report]'")
        return False
    write_atomically(folder.path / "sweep.svg", picture)
    return True
