"""What `bdpl_cli.main` says of an error: in a terminal wrapped at spaces, in a pipe as it is."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.workbench import command

Capsys = pytest.CaptureFixture[str]
NAME = "a-long-name/of-a-file-" + "that-goes-on-" * 8 + "x.toml"


@pytest.fixture(autouse=True)
def _narrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "50")


def test_a_terminal_gets_whole_words(capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a word makes a line longer than the terminal is; none is broken or lost."""
    piped = command(capsys, "run", NAME).err
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    shown = command(capsys, "run", NAME).err
    assert shown != piped
    assert shown.split() == piped.split()
    assert all(len(line) <= 50 or len(line.split()) == 1 for line in shown.splitlines())
    assert any(NAME in line for line in shown.splitlines())


def test_a_pipe_gets_lines_as_they_are(capsys: Capsys) -> None:
    """Two lines, the message and what to do, however long."""
    assert len(command(capsys, "run", NAME).err.splitlines()) == 2
