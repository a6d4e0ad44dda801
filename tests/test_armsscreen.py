"""The screen of a comparison hears of runs and looks at those under way."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from bdpl_async.errors import ProviderRefused
from bdpl_async.events import Note
from bdpl_async.studies.arms import Wanted, plan_arms
from bdpl_async.studies.sidebyside import SideBySide
from bdpl_cli.connecting import connected
from bdpl_cli.screen.armsscreen import ArmsScreen
from bdpl_cli.screen.terminal import Terminal
from tests.test_cli import environment
from tests.workbench import write_task

ENTERS, LEAVES = b"\x1b[?1049h", b"\x1b[?1049l"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_task(tmp_path)


async def test_its_view_ends_as_the_results_are(path: Path) -> None:
    """After all runs it holds what they took, and nothing is under way."""
    arms = plan_arms(
        path, {}, Wanted(("simulated/a",), ("bdpl", "empty"), (0, 1)), path.parent / "o"
    )
    screen = ArmsScreen(arms, path.parent, Terminal(sys.__stderr__ or sys.stderr))
    states = []
    prompts = 0
    async for arm, kept in SideBySide(arms, connected, screen).runs():
        states.append(screen.state())
        screen.done(arm, kept)
        prompts += kept.result.usage.prompts
    assert screen.left == 0
    view = screen.state()
    assert sum(usage.prompts for arm_view in view.arms for usage in arm_view.usages) == prompts
    assert all(arm_view.run is None for arm_view in view.arms)
    assert [arm_view.searches for arm_view in view.arms] == [True, False]
    assert any(arm_view.run is not None for state in states for arm_view in state.arms)


def test_two_errors_are_both_said(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One error is said by who raises it; of two, one would be lost."""
    arms = plan_arms(path, {}, Wanted(("simulated/a",), ("bdpl", "empty")), path.parent / "o")
    screen = ArmsScreen(arms, path.parent, Terminal(sys.__stderr__ or sys.stderr))
    screen.failed(arms[0], ProviderRefused("first"), 1)
    screen.end()
    assert "first" not in capsys.readouterr().err
    screen.failed(arms[1], ProviderRefused("second"), 0)
    screen.end()
    said = capsys.readouterr().err
    assert "first" in said
    assert "second" in said


def test_a_fault_of_the_view_ends_no_run(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever draws next gets it, and says so; the runs are counted on."""

    def fault(*_: object) -> None:
        raise ZeroDivisionError

    arms = plan_arms(path, {}, Wanted(("simulated/a",), ("empty",)), path.parent / "o")
    screen = ArmsScreen(arms, path.parent, Terminal(sys.__stderr__ or sys.stderr))
    monkeypatch.setattr("bdpl_cli.screen.armsscreen.told", fault)
    screen.heard(arms[0], arms[0].cells[0], Note(0.0, "hello"))
    with pytest.raises(ZeroDivisionError) as raised:
        screen.state()
    screen._over(raised.value)
    assert "the run did not: ZeroDivisionError" in capsys.readouterr().err


def seen(descriptor: int, process: subprocess.Popen[bytes]) -> bytes:
    """All that arrives at the terminal until the process ends."""
    found = b""
    while True:
        ready, _, _ = select.select([descriptor], [], [], 0.1)
        if ready:
            try:
                found += os.read(descriptor, 65536)
            except OSError:
                return found
        elif process.poll() is not None:
            return found


def test_in_a_terminal_arms_are_drawn_and_the_table_follows(path: Path) -> None:
    """Drawn on stderr's other screen, which is left again; stdout has the table alone."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    words = ["-m", "bdpl_cli", "compare", str(path), "--method", "bdpl", "--method", "empty"]
    words += ["--steps", "600"]  # what is over at once is not drawn
    process = subprocess.Popen(
        [sys.executable, *words, "--cache", "none", "--out", str(path.parent / "out")],
        env={**environment(path.parent), "TERM": "xterm-256color"},
        stdout=subprocess.PIPE,
        stderr=theirs,
    )
    with process:
        os.close(theirs)
        drawn = seen(ours, process)
        assert process.stdout is not None
        table = process.stdout.read().decode()
    os.close(ours)
    assert process.returncode == 0
    assert drawn.count(ENTERS) == drawn.count(LEAVES) == 1
    assert b"compare tiny" in drawn[: drawn.index(LEAVES)]
    assert "\x1b" not in table
    assert re.search(r"^bdpl +\d", table, re.MULTILINE)
