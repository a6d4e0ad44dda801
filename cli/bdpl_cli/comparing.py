"""Who is told of a comparison while it runs: lines on stderr, events on stdout, or nobody."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from bdpl_async.studies.sidebyside import Audience
from bdpl_async.wording import counted, dollars
from bdpl_cli.columns import wrapped
from bdpl_cli.harmless import Harmless
from bdpl_cli.plaintext import escaped
from bdpl_cli.stderr import say, warned

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from bdpl_async.errors import BdplError
    from bdpl_async.events import Event
    from bdpl_async.kept import Kept
    from bdpl_async.studies.arms import Arm
    from bdpl_async.studies.cells import Cell
    from bdpl_async.studies.scoreboard import Scoreboard

__all__ = ["Events", "Lines", "Teller"]


class Teller(Audience):
    """Counts the runs that are done, and says how to go on where some are left; else nothing.

    Args:
        total: runs.
        out: the comparison's folder.

    Attributes:
        stop: ends the runs in good order, once something runs.
    """

    def __init__(self, total: int, out: Path) -> None:
        self.total = self.left = total
        self._out = out
        self.stop: Callable[[], None] = lambda: None

    def leaving(self) -> None:
        """The process is left at once; put back what is not ours."""

    def showing(self) -> AbstractAsyncContextManager[None]:
        """Entered while the runs run."""
        return nullcontext()

    def done(self, arm: Arm, kept: Kept) -> None:
        """A run came to its end, or was there already."""
        self.left -= 1

    def stopping(self) -> None:
        """A signal came."""

    def end(self) -> None:
        """Nothing runs any more; say how to go on, if any run is left."""
        if self.left:
            done = f"{self.total - self.left} of {self.total} runs are done"
            say(f"bdpl-async: {done}; the same command with --out {self._out} goes on")

    def compared(self, board: Scoreboard) -> None:
        """All runs are done."""


class Lines(Teller):
    """A line for each run on stderr, and what runs note, once."""

    def __init__(self, total: int, out: Path) -> None:
        super().__init__(total, out)
        self._told: set[str] = set()
        self._failures = 0

    def heard(self, arm: Arm, cell: Cell, event: Event) -> None:
        """Say what a run warns of, once."""
        from bdpl_async.events import Note

        if isinstance(event, Note) and not warned(event.message):
            line = f"note: {arm.name}: {event.message}"
            if line not in self._told:
                self._told.add(line)
                for part in wrapped(line):
                    say(part)

    def failed(self, arm: Arm, error: BdplError, others: int) -> None:
        """Say at once what is waited for; of several errors only one is raised in the end."""
        self._failures += 1
        if others or self._failures > 1:
            wait = f"; {counted(others, 'run')} under way elsewhere, no other begins"
            say(f"bdpl-async: {arm.name}: {error.args[0]}{wait if others else ''}")

    def done(self, arm: Arm, kept: Kept) -> None:
        """Say what a run came to."""
        super().done(arm, kept)
        result, usage = kept.result, kept.result.usage
        split, score = ("test", result.test) if result.test else ("dev", result.dev)
        parts = [
            f"{split} {100 * score.score:.1f} %" if score else "no score",
            counted(usage.prompts, "prompt"),
            dollars(usage.usd) if usage.usd else "",
            f"{usage.seconds:.1f} s",
        ]
        came_to = ", ".join(part for part in parts if part)
        say(f"{self.total - self.left}/{self.total}  {arm.name}, seed {result.seed}: {came_to}")


class Events(Teller):
    """Every event as a line of JSON on stdout, with its arm and seed; in the end the outcome.

    The last line is ``{"type": "compared", "comparison": ...}`` with the document of
    comparison.json. Runs that were there already are silent.
    """

    def __init__(self, total: int, out: Path) -> None:
        super().__init__(total, out)
        self._print = Harmless(_print, self._unread)

    def _unread(self) -> None:
        self.stop()

    def heard(self, arm: Arm, cell: Cell, event: Event) -> None:
        """Print an event."""
        from bdpl_async.events import to_json

        self._print({"arm": arm.name, "seed": cell.config.run.seed, **to_json(event)})

    def compared(self, board: Scoreboard) -> None:
        """Print the outcome.

        Raises:
            OSError: standard output took no more of it.
        """
        self._print({"type": "compared", "comparison": board.to_json()})
        self._print.settle()


def _print(document: object) -> None:
    import orjson

    sys.stdout.write(escaped(orjson.dumps(document)) + "\n")
    sys.stdout.flush()
