"""Whatever happens to the screen, a run that may cost money goes on, and is told to its end."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import struct
import sys
import termios
from collections.abc import Iterator
from typing import TextIO

import pytest

from bdpl_async.events import Event
from bdpl_async.pulse import Pulse
from bdpl_cli.interrupts import Interrupt
from bdpl_cli.screen import showing as module
from bdpl_cli.screen.showing import showing
from tests.test_events import EVENTS, STEP

Capsys = pytest.CaptureFixture[str]


class Stopped(Interrupt):
    """Listens to no signals."""

    def __init__(self) -> None:
        self.times = 0

    def first(self) -> None:
        """Count."""
        self.times += 1


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[TextIO]:
    """A terminal of 80x24."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    monkeypatch.setattr("bdpl_cli.screen.live.PERIOD", 0.001)
    with os.fdopen(theirs, "w", encoding="utf-8") as out:
        yield out
    os.close(ours)


async def shown(screen: TextIO, events: list[Event], pause: float) -> tuple[list[Event], int]:
    """What was told in plain lines, and how often the run was asked to stop."""
    told: list[Event] = []
    interrupt = Stopped()
    with pytest.MonkeyPatch.context() as patch:  # here, for each phase of a test has its own
        patch.setattr(sys, "stdout", screen)
        async with showing(lambda: Pulse(1.0, "search", 1, 5), told.append, interrupt) as listener:
            for event in events:
                listener(event)
                await asyncio.sleep(pause)
    return told, interrupt.times


async def test_what_lasts_is_told_at_the_end(screen: TextIO, capsys: Capsys) -> None:
    """Updates are not, for they were on the screen."""
    told, stops = await shown(screen, [*EVENTS, STEP], 0.0)
    assert told == [event for event in EVENTS if event.type not in ("step", "retry")]
    assert (stops, capsys.readouterr().err) == (0, "")


@pytest.mark.parametrize(("part", "pause"), [("fold", 0.0), ("fold", 0.02), ("frame", 0.02)])
async def test_a_fault_of_the_screen(
    screen: TextIO, capsys: Capsys, monkeypatch: pytest.MonkeyPatch, part: str, pause: float
) -> None:
    """It is said once, and lines take over: what was to last, then all that comes."""

    def fault(*_: object) -> None:
        raise ZeroDivisionError("of the screen")

    monkeypatch.setattr(module, part, fault)
    told, stops = await shown(screen, [*EVENTS, STEP], pause)
    assert stops == 0
    assert [e for e in told if e.type not in ("step", "retry")] == [
        e for e in EVENTS if e.type not in ("step", "retry")
    ]
    assert (STEP in told) == (pause > 0)
    assert capsys.readouterr().err.count("the run did not: ZeroDivisionError of the screen") == 1


async def test_a_terminal_that_is_gone(screen: TextIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run is asked to stop."""

    def gone(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(module, "frame", gone)
    assert (await shown(screen, [*EVENTS, STEP], 0.02))[1] == 1
