"""A run in this process against a fault server, stopped by what the test breaks, and resumed.

bench = Bench(tmp_path, capsys, server)
whole = bench.whole()                     # of a run that nothing stopped
cut = bench.run("cut")                    # with something broken
bench.goes_on("cut")                      # to the same result, and nothing is paid twice
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.faultserver import Books, FaultServer
from tests.workbench import TESTED, Outcome, command, rows, write_task

__all__ = ["AT_ONCE", "Bench", "result"]

SAME = ("losses", "prompt", "dev", "test", "baseline", "gain", "steps_done", "stop_reason")
AT_ONCE = 8  # requests in flight at most


def result(folder: str | Path) -> dict[str, Any]:
    """What a run must have in common with one that was never stopped."""
    document: dict[str, Any] = orjson.loads(Path(folder, "result.json").read_bytes())
    return {key: document[key] for key in SAME}


class Bench:
    """The task in `folder`, the current one, and a server that keeps books.

    Attributes:
        server: has seen what was sent since the last `run`.
        folder: the current one.
    """

    def __init__(
        self, folder: Path, capsys: pytest.CaptureFixture[str], server: FaultServer
    ) -> None:
        self.server, self.folder = server, folder
        self._capsys = capsys
        (folder / "test.tsv").write_text(rows(16, 200))
        write_task(folder, TESTED, ("steps = 2", "steps = 5"))

    def run(self, out: str, *more: str) -> Outcome:
        """Run anew, by a server with new books."""
        self.server.books = Books()
        model = ("--model", "compatible/fake", "--base-url", self.server.url, "--cache", "none")
        pace = ("--concurrency", str(AT_ONCE), "--batch-prompts", "1", "--ui", "plain")
        return self.said("run", "task.toml", "--out", out, *model, *pace, *more)

    def resume(self, out: str) -> Outcome:
        return self.said("resume", out, "--ui", "plain")

    def whole(self) -> dict[str, Any]:
        """The result of a run that nothing stopped; what it was answered is remembered."""
        done = self.run("whole")
        assert done.code == 0, done.err
        self.answered, self.sent = Counter(self.server.books.answered), self.server.books.requests
        self.result = result("whole")
        return self.result

    def goes_on(self, out: str, *, twice: int = 0) -> None:
        """Resume: the same result, and by the server's books at most `twice` paid again."""
        done = self.resume(out)
        assert done.code == 0, done.err
        assert result(out) == self.result
        again = self.server.books.answered - self.answered
        assert again.total() <= twice

    def said(self, *arguments: str) -> Outcome:
        done = command(self._capsys, *arguments)
        assert "Traceback" not in done.err
        return done
