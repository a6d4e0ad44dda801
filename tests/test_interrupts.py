"""The first signal ends in good order and says how to go on; the second ends at once."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time

import pytest

from bdpl_cli.interrupts import INTERRUPTED, Interrupt, finish
from bdpl_cli.learn import UNSAVED
from tests.workbench import command

Capsys = pytest.CaptureFixture[str]
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def _handlers() -> object:
    """Signals are handled as before, whatever a test does."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup has it ignored
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


async def interrupted(number: signal.Signals, **attributes: str) -> Interrupt:
    asked = asyncio.Event()
    interrupt = Interrupt("nothing is saved")
    interrupt.halt = asked.set
    for name, value in attributes.items():
        setattr(interrupt, name, value)
    os.kill(os.getpid(), number)
    await asyncio.wait_for(asked.wait(), 5)
    return interrupt


@pytest.mark.parametrize("number", SIGNALS)
async def test_it_says_how_to_go_on(number: signal.Signals, capsys: Capsys) -> None:
    """Where it is saved, and the command that goes on, on stderr."""
    await interrupted(number, saved="/a b", onward="bdpl-async resume '/a b'")
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        "bdpl-async: stopping; what is known is saved in /a b\n"
        "  go on with: bdpl-async resume '/a b'\n"
    )


async def test_it_is_honest_where_nothing_is_saved(capsys: Capsys) -> None:
    """Before a run has begun nobody is sent to a folder that does not exist."""
    await interrupted(signal.SIGINT)
    assert capsys.readouterr().err == "bdpl-async: stopping; nothing is saved\n"


async def test_the_second_leaves_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It restores what must be restored, then ends the process, whatever that restoring does."""
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    interrupt = await interrupted(signal.SIGINT)
    restored: list[int] = []

    def leaving() -> None:
        restored.append(len(codes))
        raise OSError("no terminal")

    interrupt.leaving = leaving
    later(monkeypatch)
    with pytest.raises(OSError, match="no terminal"):
        os.kill(os.getpid(), signal.SIGINT)
    assert (restored, codes) == ([0], [INTERRUPTED])


def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time passes."""
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 1)


async def test_an_echo_is_no_second(monkeypatch: pytest.MonkeyPatch, capsys: Capsys) -> None:
    """`timeout` sends its signal twice, a terminal that closes twice and more: that is one."""
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    interrupt = await interrupted(signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGTERM)
    interrupt.first()
    later(monkeypatch)
    os.kill(os.getpid(), signal.SIGHUP)
    assert codes == []
    assert capsys.readouterr().err.count("stopping") == 1
    os.kill(os.getpid(), signal.SIGTERM)
    assert codes == [INTERRUPTED]


async def test_nohup_outlives_the_terminal() -> None:
    """Where the closing of the terminal is ignored, it stays so."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    interrupt = Interrupt()
    interrupt.halt = lambda: pytest.fail("was stopped")
    os.kill(os.getpid(), signal.SIGHUP)
    await asyncio.sleep(0.01)


async def test_nobody_to_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    """A closed stderr keeps nothing from being stopped."""

    class Closed:
        def write(self, text: str) -> int:
            raise BrokenPipeError

        def flush(self) -> None:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Closed())
    await interrupted(signal.SIGINT)


def test_cancelled_is_interrupted() -> None:
    """A signal before there was anything to save is no error of ours."""

    async def work() -> None:
        raise asyncio.CancelledError

    with pytest.raises(KeyboardInterrupt):
        finish(work())


def test_a_signal_before_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    """What never began is closed, so Python has nothing to warn of."""

    async def work() -> None:
        pytest.fail("began")

    def run(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(asyncio, "run", run)
    with pytest.raises(KeyboardInterrupt):
        finish(work())


def test_before_anything_listens(capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while the task is read ends with 130 and a word, not in silence."""

    def press(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("bdpl_async.task.Task.from_toml", press)
    done = command(capsys, "run", "reviews")
    assert (done.code, done.out) == (130, "")
    assert done.err == f"bdpl-async: stopping; {UNSAVED}\n"
