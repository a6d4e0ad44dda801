"""The screen on a real pseudo-terminal: entered, drawn, resized, and always left again."""

from __future__ import annotations

import asyncio
import codecs
import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.text import Text

from bdpl_cli.screen.aside import Aside
from bdpl_cli.screen.live import PERIOD, SHARE, Live
from bdpl_cli.screen.terminal import Terminal, unfit
from tests.workbench import write_task

ROOT = Path(__file__).parents[1]
PATHS = [ROOT, ROOT / "providers", ROOT / "cli"]
DRAG = """
import asyncio
from dataclasses import replace
from bdpl_providers.simulated import Simulated

class Drag(Simulated):
    def __init__(self, connection):
        super().__init__(connection.model)
        self.capabilities = replace(self.capabilities, batch=4)
        self.seconds = float(connection.model)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        pass

    async def score(self, request):
        await asyncio.sleep(self.seconds)
        return await super().score(request)
"""
CODE = re.compile(r"\x1b(?:\[(\??[\d;]*)([A-Za-z])|\]0;[^\x07]*\x07)")


class Emulator:
    """What a terminal shows of what it is sent: two screens, of which one is seen."""

    def __init__(self, columns: int, rows: int) -> None:
        self.size = columns, rows
        self.main: list[str] = [""]
        self.other: dict[int, str] = {}
        self.away = False
        self.raw = ""
        self._row = 0
        self._decode = codecs.getincrementaldecoder("utf-8")().decode
        self._rest = ""

    @property
    def text(self) -> str:
        """What is seen now."""
        lines = [self.other[row] for row in sorted(self.other)] if self.away else self.main
        return "\n".join(lines)

    def feed(self, data: bytes) -> None:
        """Obey, up to a sequence that is not whole yet."""
        text = self._decode(data)
        self.raw += text
        text = self._rest + text
        whole = len(text) if "\x1b" not in text[-16:] else text.rindex("\x1b")
        self._rest = text[whole:]
        place = 0
        for found in CODE.finditer(text, 0, whole):
            self._put(text[place : found.start()])
            self._obey(found[1] or "", found[2] or "")
            place = found.end()
        self._put(text[place:whole])

    def _obey(self, numbers: str, kind: str) -> None:
        if kind in "hl" and numbers == "?1049":
            self.away = kind == "h"
        elif kind == "J":
            self.other = {}
        elif kind == "H":
            self._row = int(numbers.partition(";")[0] or 1)
            self.other[self._row] = ""

    def _put(self, text: str) -> None:
        if not self.away:
            before, *lines = text.replace("\r", "").split("\n")
            self.main[-1] += before
            self.main += lines
        elif text:
            self.other[self._row] = self.other.get(self._row, "") + text


class Session:
    """A process on a pseudo-terminal."""

    def __init__(self, process: subprocess.Popen[bytes], master: int, screen: Emulator) -> None:
        self.process, self.master, self.screen = process, master, screen

    def until(self, there: Callable[[Emulator], bool]) -> None:
        """Read until the screen is as wanted, or the process has ended."""
        deadline = time.monotonic() + 30
        while not there(self.screen):
            assert time.monotonic() < deadline, self.screen.text
            if not self._read(0.1):
                assert there(self.screen), self.screen.text
                return

    def end(self) -> int:
        """Read to the end; the exit code."""
        while self._read(0.1):
            pass
        return self.process.wait(20)

    def resize(self, columns: int, rows: int) -> None:
        self.screen.size = columns, rows
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    @property
    def echoes(self) -> bool:
        return bool(termios.tcgetattr(self.master)[3] & termios.ECHO)

    def _read(self, seconds: float) -> bool:
        if select.select([self.master], [], [], seconds)[0]:
            try:
                data = os.read(self.master, 65_536)
            except OSError:  # the other side was closed
                return False
            self.screen.feed(data)
            return bool(data)
        return self.process.poll() is None


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a task, in which we are, and a slow provider `drag/SECONDS`."""
    write_task(tmp_path)
    monkeypatch.chdir(tmp_path)
    info = tmp_path / "site" / "drag-1.0.dist-info"
    info.mkdir(parents=True)
    (tmp_path / "site" / "drag_provider.py").write_text(DRAG)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: drag\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[bdpl_async.providers]\ndrag = drag_provider:Drag\n")
    return tmp_path / "site"


@contextmanager
def session(site: Path, *arguments: str, **environment: str) -> Iterator[Session]:
    """``run task.toml`` on a terminal of 80x24; killed in the end."""
    master, slave = os.openpty()
    command = [sys.executable, "-m", "bdpl_cli", "run", "task.toml", "--out", "my run"]
    known = {"TERM": "xterm-256color", "PYTHONPATH": os.pathsep.join(map(str, [*PATHS, site]))}
    passed = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "COLUMNS")}
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(
        [*command, "--cache", "none", *arguments],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**passed, **known, **environment},
        start_new_session=True,
    )
    os.close(slave)
    try:
        yield Session(process, master, Emulator(80, 24))
    finally:
        process.kill()
        process.wait()
        os.close(master)


def searching(screen: Emulator) -> bool:
    return screen.away and "search " in screen.text and "entropy" in screen.text


@pytest.mark.parametrize("environment", [{}, {"NO_COLOR": "1"}, {"TERM": "xterm-mono"}])
def test_entered_and_left(site: Path, environment: dict[str, str]) -> None:
    """A run is drawn on the other screen; on the usual one remains what plain prints at its end."""
    arguments = ("--model", "drag/0.02", "--steps", "40", "--max-prompts", "2000")
    with session(site, *arguments, **environment) as running:
        running.until(searching)
        assert not running.echoes
        assert running.end() == 0
        screen = running.screen
        assert running.echoes
    assert (screen.raw.count("\x1b[?1049h"), screen.raw.count("\x1b[?1049l")) == (1, 1)
    assert not screen.away
    for part in ("tiny: bdpl on ", "learned prompt on dev: ", "learned prompt: ", "saved in "):
        assert part in screen.text
    assert "step " not in screen.text
    coloured = re.search(r"\x1b\[[\d;]*\b(3[0-8]|9\d);?[\d;]*m", screen.raw) is not None
    assert coloured == (not environment)
    assert "\x1b[1m" in screen.raw


def test_resized_and_interrupted(site: Path) -> None:
    """Another size is filled exactly; Ctrl-C says on the usual screen how to go on: 130."""
    with session(site, "--model", "drag/0.02", "--steps", "100000") as running:
        running.until(searching)
        for columns, rows in ((150, 40), (60, 16), (100, 30)):
            running.resize(columns, rows)
            running.until(fills)
        running.process.send_signal(signal.SIGINT)
        assert running.end() == 130
        assert running.echoes
        screen = running.screen
    assert not screen.away
    assert "done (interrupted)" in screen.text
    assert "stopping; what is known is saved in " in screen.text
    folder = Path("my run").absolute()
    assert f"  go on with: bdpl-async resume '{folder}'" in screen.text.splitlines()
    assert Path("my run", "result.json").is_file()


def fills(screen: Emulator) -> bool:
    """Whether there are as many lines as the terminal has, each as wide, the clock at the end."""
    columns, rows = screen.size
    lines = [screen.other.get(row, "") for row in range(1, rows + 1)]
    clock = re.fullmatch(r"tiny .* \d+:\d\d", lines[0]) is not None
    return clock and max(screen.other) == rows and {cell_len(line) for line in lines} == {columns}


def test_interrupted_twice(site: Path) -> None:
    """The second signal leaves at once, and the terminal is as it was."""
    with session(site, "--model", "drag/60") as running:
        running.until(lambda screen: screen.away and "baseline" in screen.text)
        running.process.send_signal(signal.SIGTERM)
        running.until(lambda screen: "stopping " in screen.text)
        running.process.send_signal(signal.SIGTERM)
        assert running.end() == 130
        assert running.echoes
        assert not running.screen.away
        assert "go on with: bdpl-async resume" in running.screen.text


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [((), {"TERM": "dumb"}), (("--ui", "plain"), {}), (("--ui", "rich"), {"TERM": "dumb"})],
)
def test_no_screen(site: Path, arguments: tuple[str, ...], environment: dict[str, str]) -> None:
    """A dumb terminal, or --ui plain, gets plain lines, and is told why if it wanted more."""
    with session(site, "--model", "drag/0", *arguments, **environment) as running:
        assert running.end() == 0
        assert "\x1b" not in running.screen.raw
        assert "saved in " in running.screen.text
        wanted = "instead of --ui rich: the terminal is dumb" in running.screen.text
    assert wanted == ("rich" in arguments)


class Fixed(Terminal):
    """A terminal of a settable size that keeps what it is sent."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        super().__init__(sys.__stdout__ or StringIO(), self.sent.append)
        self.now = (20, 3)

    @property
    def size(self) -> tuple[int, int]:
        return self.now

    @property
    def in_front(self) -> bool:
        return self.now != (0, 0)


def raised(error: Exception) -> None:
    raise error


async def soon(seconds: float) -> None:
    """No time passes."""
    await asyncio.sleep(0)


class Work:
    """A clock that goes on by what a frame costs."""

    def __init__(self, cost: float) -> None:
        self.now, self.cost, self.frames = 0.0, cost, 0

    def __call__(self) -> float:
        return self.now

    def draw(self, state: str, width: int, height: int) -> list[Text]:
        self.now += self.cost
        self.frames += 1
        return [Text(f"{state} {row}".ljust(width)) for row in range(height)]


@pytest.mark.parametrize("cost", [0.0, 0.001, 0.02, 0.5])
def test_pace(cost: float) -> None:
    """At most four frames a second, and at most three parts in a hundred of a core."""
    work = Work(cost)
    states = iter(range(100))
    live = Live(Fixed(), lambda: str(next(states)), work.draw, over=raised, clock=work)
    pause = live.beat()
    assert pause >= PERIOD or cost + pause >= PERIOD
    assert cost / (cost + pause) <= SHARE + 1e-9
    assert pause == pytest.approx(max(PERIOD, cost / SHARE - cost))


def test_nothing_is_drawn_where_nothing_changed() -> None:
    """Equal states draw once; a new one sends only the lines that differ; a new size all."""
    work, terminal = Work(0.0), Fixed()
    state = ["a"]
    live = Live(terminal, lambda: state[0], work.draw, over=raised, clock=work)
    for _ in range(3):
        live.beat()
    assert work.frames == 1
    state[0] = "b"
    live.beat()
    assert work.frames == 2
    terminal.now = (30, 2)
    live.beat()
    assert work.frames == 3
    assert terminal.sent[-1].count("\x1b[2J") == 1
    assert [text.count(";1H") for text in terminal.sent[1:]] == [3, 3, 2]


def test_in_the_background_nothing_is_drawn() -> None:
    """A shell that put us into the background has the terminal to itself; then we come back."""
    work, terminal = Work(0.0), Fixed()
    live = Live(terminal, lambda: "a", work.draw, over=raised, clock=work)
    terminal.now = (0, 0)
    live.beat()
    assert terminal.sent == []
    terminal.now = (20, 3)
    live.beat()
    assert work.frames == 1


async def test_a_terminal_that_is_gone() -> None:
    """It ends the drawing, is told once, and is no error."""
    told: list[Exception] = []
    error = OSError(5, "gone")

    def draw(state: str, width: int, height: int) -> list[Text]:
        raise error

    async with Live(Fixed(), lambda: "gone", draw, over=told.append, sleep=soon).shown():
        await asyncio.sleep(0.01)
    assert told == [error]


async def broken(live: Live[str], terminal: Terminal, error: Exception | None = None) -> None:
    """Shown for a moment; whether the screen was up in the end is told by `terminal`."""
    async with live.shown():
        await asyncio.sleep(0.01)
        if error is not None:
            assert terminal.entered
            raise error
        assert not terminal.entered


async def test_a_fault_in_drawing_is_told() -> None:
    """The screen is left at once, whoever shows it is told, and what is shown goes on."""
    told: list[Exception] = []
    error = ZeroDivisionError()

    def draw(state: str, width: int, height: int) -> list[Text]:
        raise error

    terminal = Fixed()
    await broken(Live(terminal, lambda: "fault", draw, over=told.append, sleep=soon), terminal)
    assert told == [error]


async def test_what_is_over_at_once_is_not_drawn() -> None:
    """A replay from the cache does not flicker."""
    terminal = Fixed()
    async with Live(terminal, lambda: "a", Work(0).draw, over=raised).shown():
        await asyncio.sleep(0.01)
    assert terminal.sent == []


async def test_left_whatever_happens() -> None:
    """An error in what is shown leaves the screen first, and goes on."""
    terminal = Fixed()
    live = Live(terminal, lambda: "a", Work(0).draw, over=raised, sleep=soon)
    with pytest.raises(ValueError, match="wrong"):
        await broken(live, terminal, ValueError("wrong"))
    assert not terminal.entered
    assert terminal.sent[-1].endswith("\x1b[?1049l")


def test_unfit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal too small for the least screen gets plain lines, and is told both sizes."""
    master, slave = os.openpty()
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 10, 50, 0, 0))
    with os.fdopen(slave, "w") as out:
        monkeypatch.setattr(sys, "stdout", out)
        small = unfit((60, 16), {"TERM": "xterm"})
        assert small == "the terminal has 50x10 characters, it takes 60x16"
        assert unfit((50, 10), {"TERM": "xterm"}) == ""
        assert "TERM" in unfit((50, 10), {"TERM": "dumb"})
        assert "TERM" in unfit((50, 10), {})
    os.close(master)


def test_aside_keeps_what_others_print() -> None:
    """It takes all that is written, gives it once, and of very much keeps the newest."""
    aside = Aside(StringIO())
    print("a warning", file=aside)
    assert aside.taken() == "a warning\n"
    assert aside.taken() == ""
    for n in range(30_000):
        print(f"line {n}", file=aside)
    kept = aside.taken()
    assert kept.endswith("line 29999\n")
    assert len(kept) <= 100_000
