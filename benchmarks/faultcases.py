"""What the rows of `benchmarks/faults.py` share: a task, servers, runs, and how a row is judged."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "providers"), str(ROOT / "cli")]

from tests.faults import Faults  # noqa: E402
from tests.faultserver import Books, Manners  # noqa: E402
from tests.killing import TOOL, Arena, Left, Lethal, Setting, ended, environment, started  # noqa: E402

__all__ = [
    "CALM",
    "Bench",
    "Books",
    "Done",
    "Faults",
    "Lethal",
    "Manners",
    "Row",
    "bench",
    "ended",
    "seen",
]

Done = subprocess.CompletedProcess[str]
SECRET = environment()["VLLM_API_KEY"]
CALM = Manners(latency=0.003, noise=0.5)
LIMIT = 200  # requests; the run without faults takes fewer
SETTING = Setting(
    ("--batch-prompts", "4", "--timeout", "2", "--max-requests", str(LIMIT)),
    {"requests": LIMIT},
    changes=(("steps = 2", "steps = 6"),),
    cache="kept",
    manners=CALM,
)


@dataclass(slots=True)
class Row:
    """One fault: what was checked, and what a person saw of it.

    Attributes:
        checks: what should hold -> whether it did.
        said: the line that the tool wrote about it.
    """

    fault: str
    checks: dict[str, bool] = field(default_factory=dict)
    said: str = ""

    @property
    def survived(self) -> bool:
        """Whether all of it held."""
        return bool(self.checks) and all(self.checks.values())


class Bench:
    """An arena and the run in it that nothing went wrong for."""

    def __init__(self, place: Arena) -> None:
        self.place = place
        self.server = place.server
        self.folder = place.folder
        self.server.manners = replace(CALM)
        self.whole: Left = place.whole()
        self._twice = twice(self.server.books)
        self._count = 0

    def name(self) -> str:
        """A folder that no run has yet."""
        self._count += 1
        return f"run-{self._count}"

    def words(self, out: str, *more: str, ui: str = "plain") -> list[str]:
        """The command of a run."""
        words = self.place.words(out)
        words[words.index("--ui") + 1] = ui
        return [*TOOL, *words, *more]

    def run(self, out: str, *more: str, **environment: str) -> Done:
        """A run, to its end; the server's books are new."""
        self.server.books = Books()
        done = self.finished(self.words(out, *more), **environment)
        self.server.calm()
        return done

    def start(self, out: str, *more: str) -> subprocess.Popen[str]:
        """A run that goes on while other things happen."""
        return started(self.folder, self.words(out, *more))

    def resume(self, out: str, *more: str, **environment: str) -> Done:
        """Go on with it; the books go on as well."""
        done = self.finished([*TOOL, "resume", out, "--ui", "plain", *more], **environment)
        self.server.calm()
        return done

    def finished(self, words: Sequence[str], **environment: str) -> Done:
        """A command, to its end."""
        return ended(started(self.folder, words, **environment))

    def killed(self, out: str, at: int, **more: Any) -> Done:
        """A run that is killed at the so-manieth request."""
        return self.place.killed(self.place.words(out), at, **more)

    def judge(
        self, row: Row, out: str, done: Done, *, code: int = 0, same: bool = True, paid: int = 0
    ) -> None:
        """What must hold of every run.

        Args:
            code: the exit code.
            same: the result must be the one without faults, bit for bit.
            paid: requests that may have been sent twice.
        """
        books = self.server.books
        row.checks[f"exit {code}"] = done.returncode == code
        self.harmless(row, done)
        row.checks["budget held"] = books.requests <= LIMIT
        if same:
            there = (self.folder / out / "result.json").exists()
            row.checks["same result"] = there and not self.place.differences(out, self.whole)
            row.checks["nothing paid twice"] = twice(books) <= self._twice + paid

    @staticmethod
    def harmless(row: Row, done: Done) -> None:
        """No traceback and no key in what was said."""
        said = done.stdout + done.stderr
        row.checks["no traceback"] = "Traceback" not in said and SECRET not in said
        if not row.checks["no traceback"]:
            print(said, file=sys.stderr)


def twice(books: Books) -> int:
    """Usable answers to texts that had one."""
    return sum(books.answered.values()) - len(books.answered)


def seen(done: Done, pattern: str) -> str:
    """The first line that was said about it, whole, without what changes from run to run."""
    lines: list[str] = []
    for line in (done.stderr + "\n" + done.stdout).splitlines():
        if line.startswith("  ") and not re.match(r" +\d+\.\d s ", line) and lines:
            hint = lines[-1].startswith("bdpl-async") and not lines[-1].endswith((" ", ",", "-"))
            lines[-1] += (" / " if hint else " ") + line.strip()
        else:
            lines.append(re.sub(r"^ +\d+\.\d s +", "", line))
    found = next((line for line in lines if re.search(pattern, line)), "")
    for was, now in (
        (r"127\.0\.0\.1:\d+", "127.0.0.1:PORT"),
        (r"(/[\w.-]+)*/?run-\d+", "RUN_DIR"),
        (r"'127\.0\.0\.1', \d+", "'127.0.0.1', PORT"),
        (r"/?(proc/)?nowhere", "FOLDER"),
        (r"again in \d+\.\d s", "again in 0.1 s"),
        (r"(?<=[ (])(/[\w.-]+)+/(?=[\w.-]+)", ""),
    ):
        found = re.sub(was, now, found)
    return found[:300] + ("..." if len(found) > 300 else "")


@contextmanager
def bench(folder: Path) -> Iterator[Bench]:
    """A server and a task, as long as this lasts."""
    with Lethal.in_thread(replace(CALM)) as server:
        yield Bench(Arena(folder, server, SETTING))


Rows = Callable[[Bench], Iterator[Row]]
