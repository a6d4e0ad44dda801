"""What shows a run can do it no harm."""

from __future__ import annotations

import errno
import io
import sys

import pytest

from bdpl_cli.harmless import Harmless
from bdpl_cli.stderr import say
from bdpl_cli.stdout import take_everything

Capsys = pytest.CaptureFixture[str]


class Failing:
    """Shows one line, then fails."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.shown: list[str] = []
        self.closed = 0

    def show(self, line: str) -> None:
        self.shown.append(line)
        if len(self.shown) > 1:
            raise self.error

    def close(self) -> None:
        self.closed += 1

    def told(self) -> Harmless[str]:
        """Who was told four lines."""
        listener = Harmless(self.show, self.close)
        for line in "abcd":
            listener(line)
        return listener


@pytest.mark.parametrize("number", [errno.EPIPE, errno.EIO])
def test_nobody_reads(number: int, capsys: Capsys) -> None:
    """Without a reader, or a terminal, it says so once, is silent, and that is no error."""
    failing = Failing(OSError(number, "gone"))
    failing.told().settle()
    assert (failing.shown, failing.closed) == (["a", "b"], 1)
    assert capsys.readouterr().err == ""


def test_a_full_disk(capsys: Capsys) -> None:
    """Where standard output takes no more, what is shown goes on; the error comes at its end."""
    error = OSError(errno.ENOSPC, "No space left on device")
    failing = Failing(error)
    listener = failing.told()
    assert (failing.shown, failing.closed) == (["a", "b"], 0)
    with pytest.raises(OSError, match="No space left"):
        listener.settle()


def test_a_fault_of_ours(capsys: Capsys) -> None:
    """It is said once on stderr, with its place and no traceback, and ends nothing."""
    failing = Failing(ZeroDivisionError("division\n\x1b[2Jby zero"))
    failing.told().settle()
    assert (failing.shown, failing.closed) == (["a", "b"], 0)
    said = capsys.readouterr().err
    assert said.startswith("bdpl-async: what shows the run failed, the run did not: ZeroDivision")
    assert " in test_harmless.py, line " in said
    assert (said.count("\n"), "\x1b" in said) == (1, False)


def test_nothing_failed(capsys: Capsys) -> None:
    """Then there is nothing to say."""
    listener = Harmless(print, lambda: None)
    listener("line")
    listener.settle()
    assert capsys.readouterr() == ("line\n", "")


class Full(io.StringIO):
    """Takes nothing."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_stderr_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be said is not said."""
    monkeypatch.setattr(sys, "stderr", Full())
    say("line")


def test_closed_streams_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever starts us with a closed stream gets no traceback for it."""
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    take_everything()
    print("nowhere")
    print("nowhere", file=sys.stderr)
    assert sys.stdin.read() == ""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        stream.close()
