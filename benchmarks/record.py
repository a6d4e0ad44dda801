"""Run a command in a terminal of 100 x 30 and keep what it shows as one animated SVG picture.

    python benchmarks/record.py examples/run.svg bdpl-async run --seed 0

The terminal is tmux, asked for its screen every second or two. The frames stand below each other
in the picture and are moved past a window by CSS, so it moves in an <img> too; the text stays text.
Lines that stay as they were are stored once. Whoever wants no motion sees the last frame.
"""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.ansi import AnsiDecoder
from rich.color import Color
from rich.console import Console
from rich.style import Style
from rich.terminal_theme import TerminalTheme
from rich.text import Text

WIDTH, HEIGHT = 100, 30
CELL, LINE, BASE, FONT = 8.4, 19, 14, 14  # pixels; BASE: where letters stand in a line
EDGE, TOP = 12, 36  # pixels around the text, and above it
LAST = 5.0  # seconds that the last frame stays
LONGEST = 600.0  # seconds of a recording
THEME = TerminalTheme(
    (24, 26, 31),
    (214, 217, 224),
    [
        (62, 67, 77), (240, 113, 120), (135, 190, 110), (229, 192, 105),
        (97, 160, 230), (198, 134, 220), (86, 182, 194), (200, 204, 212),
    ],
    [
        (118, 126, 140), (255, 140, 146), (160, 215, 135), (245, 212, 135),
        (130, 185, 250), (215, 160, 240), (115, 205, 215), (245, 247, 250),
    ],
)  # fmt: skip
BLOCKS = {chr(0x2580 + n): (1 - n / 8, 1.0, n / 8) for n in range(1, 9)} | {
    chr(0x2590 - n): (0.0, n / 8, 1.0) for n in range(1, 8)
}
"""Characters that are drawn, for fonts leave gaps between them: top, width and height in a cell."""
RUNS = re.compile(f"[{''.join(BLOCKS)}]+|[^{''.join(BLOCKS)}]+")
STYLE = """\
text{font:%dpx ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;\
white-space:pre;fill:%s}
.b{font-weight:700}.i{font-style:italic}.u{text-decoration:underline}
#film{transform:translateY(-%dpx);animation:film %.1fs step-end infinite}
@keyframes film{%s}
@media (prefers-reduced-motion:reduce){#film{animation:none}}
%s"""

Line = tuple[tuple[str, Style], ...]
Frame = tuple[Line, ...]


class Terminal:
    """A tmux of its own, without anybody's configuration.

    Args:
        command: runs in it; the screen outlives it.
        folder: for its socket and the mark that the command is over.
    """

    def __init__(self, command: list[str], folder: Path) -> None:
        self._over = folder / "over"
        settings = folder / "settings"
        settings.write_text("set -g default-terminal tmux-256color\nset -g status off\n")
        self._tmux = ["tmux", "-S", str(folder / "socket"), "-f", str(settings)]
        typed = f"printf '\\033[32m$\\033[0m \\033[1m%s\\033[0m\\n' {shlex.quote(shown(command))}"
        then = f"touch {self._over}; sleep {LONGEST:.0f}"
        line = f"{typed}; COLORTERM=truecolor {shlex.join(command)}; {then}"
        size = ["-x", str(WIDTH), "-y", str(HEIGHT)]
        self._ask("new-session", "-d", *size, "sh", "-c", line)

    @property
    def over(self) -> bool:
        """Whether the command has ended."""
        return self._over.exists()

    def screen(self) -> Frame:
        """What it shows now."""
        decode = AnsiDecoder().decode_line  # one for all: styles go on over the ends of lines
        lines = self._ask("capture-pane", "-p", "-e", "-N").splitlines()
        return tuple(_spans(decode(line)) for line in lines[:HEIGHT])

    def close(self) -> None:
        """End it."""
        self._ask("kill-server")

    def _ask(self, *words: str) -> str:
        asked = [*self._tmux, *words]
        return subprocess.run(asked, check=True, capture_output=True, text=True).stdout  # noqa: S603


def shown(command: list[str]) -> str:
    """The command as a reader would type it."""
    return shlex.join(command).replace(f"{command[0]} -m bdpl_cli", "bdpl-async")


def record(command: list[str], every: float) -> Iterator[Frame]:
    """The screens of a command, `every` so many seconds, and the one that it leaves."""
    with TemporaryDirectory() as folder:
        terminal = Terminal(command, Path(folder))
        try:
            began = time.monotonic()
            while not terminal.over and time.monotonic() - began < LONGEST:
                time.sleep(every)
                yield terminal.screen()
            time.sleep(0.5)
            yield terminal.screen()
        finally:
            terminal.close()


def _spans(text: Text) -> Line:
    console = Console(width=WIDTH)
    found = [(part.text, part.style or Style()) for part in text.render(console) if part.text]
    while found and not found[-1][0].strip() and found[-1][1].bgcolor is None:
        found.pop()
    return tuple((part.rstrip("\n"), style) for part, style in found if part.rstrip("\n"))


@dataclass
class Picture:
    """Frames as SVG.

    Attributes:
        classes: a colour of text -> its class.
        lines: a line -> where it is stored.
    """

    title: str
    classes: dict[str, str] = field(default_factory=dict)
    lines: dict[Line, int] = field(default_factory=dict)

    def drawn(self, frames: list[Frame], each: float) -> str:
        """The whole document; every frame stays for `each` seconds."""
        high = HEIGHT * LINE
        film = "\n".join(
            f'<use href="#l{self._stored(line)}" y="{number * high + row * LINE + BASE}"/>'
            for number, frame in enumerate(frames)
            for row, line in enumerate(frame)
            if line
        )
        stored = "\n".join(self._line(line, number) for line, number in self.lines.items())
        width, height = round(WIDTH * CELL + 2 * EDGE), high + TOP + EDGE
        ink, paper = THEME.foreground_color.hex, THEME.background_color.hex
        colours = "\n".join(f".{name}{{fill:{colour}}}" for colour, name in self.classes.items())
        last, moving = (len(frames) - 1) * high, _keyframes(len(frames), each)
        style = STYLE % (FONT, ink, last, *moving, colours)
        title = escape(self.title)
        return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" \
height="{height}" role="img" aria-label="{title}">
<title>{title}</title>
<style>
{style}
</style>
<defs>
{stored}
</defs>
<rect width="{width}" height="{height}" rx="8" fill="{paper}"/>
<circle cx="20" cy="18" r="6" fill="#f07178"/><circle cx="40" cy="18" r="6" fill="#e5c069"/>\
<circle cx="60" cy="18" r="6" fill="#87be6e"/>
<svg x="{EDGE}" y="{TOP}" width="{WIDTH * CELL:.1f}" height="{high}"><g id="film">
{film}
</g></svg>
</svg>
"""

    def _stored(self, line: Line) -> int:
        return self.lines.setdefault(line, len(self.lines))

    def _line(self, line: Line, number: int) -> str:
        parts, column = [], 0
        for whole, style in line:
            for text in RUNS.findall(whole):
                wide = Text(text).cell_len
                parts.append(self._part(text, style, column, wide))
                column += wide
        return f'<g id="l{number}">{"".join(parts)}</g>'

    def _part(self, text: str, style: Style, column: int, wide: int) -> str:
        ink, paper = _colours(style)
        x, width = f"{round(column * CELL, 1):g}", f"{round(wide * CELL, 1):g}"
        back = ""
        if paper is not None:
            back = f'<rect x="{x}" y="-{BASE}" width="{width}" height="{LINE}" fill="{paper}"/>'
        if not text.strip():
            return back
        if text[0] in BLOCKS:
            ink = ink or THEME.foreground_color.hex
            name = self.classes.setdefault(ink, f"c{len(self.classes)}")
            return f'{back}<path class="{name}" d="{_outline(text, column)}"/>'
        names = [name for name, on in zip("biu", _manner(style), strict=True) if on]
        if ink is not None:
            names.append(self.classes.setdefault(ink, f"c{len(self.classes)}"))
        known = f' class="{" ".join(names)}"' if names else ""
        drawn = "" if text.isascii() else ' lengthAdjust="spacingAndGlyphs"'
        size = f'x="{x}" textLength="{width}"{drawn}'
        return f"{back}<text {size}{known}>{escape(text, quote=False)}</text>"


def _outline(text: str, column: int) -> str:
    """The path of a text of blocks; like ones that touch are one rectangle."""
    parts = []
    for sign, group in groupby(text):
        count = len(list(group))
        top, wide, high = BLOCKS[sign]
        x, width = round(column * CELL, 1), round((count - 1 + wide) * CELL, 1)
        y, height = round(top * LINE - BASE, 1), round(high * LINE, 1)
        parts.append(f"M{x:g} {y:g}h{width:g}v{height:g}h-{width:g}z")
        column += count
    return "".join(parts)


def _manner(style: Style) -> tuple[bool, bool, bool]:
    return bool(style.bold), bool(style.italic), bool(style.underline)


def _colours(style: Style) -> tuple[str | None, str | None]:
    """Of text and ground, as the page has them; None where they are the terminal's own."""
    ink, paper = _hex(style.color), _hex(style.bgcolor)
    if style.reverse:
        ink, paper = (
            paper or THEME.background_color.hex,
            ink or THEME.foreground_color.hex,
        )
    if style.dim:
        ink = _mixed(ink or THEME.foreground_color.hex, paper or THEME.background_color.hex)
    return ink, paper


def _hex(colour: Color | None) -> str | None:
    return None if colour is None or colour.is_default else colour.get_truecolor(THEME).hex


def _mixed(first: str, second: str) -> str:
    """A colour three fifths of the way from the second to the first."""
    pairs = ((int(first[i : i + 2], 16), int(second[i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{round(0.6 * a + 0.4 * b):02x}" for a, b in pairs)


def _keyframes(count: int, each: float) -> tuple[float, str]:
    """Seconds of a round, and where the film stands from when on."""
    seconds = (count - 1) * each + LAST
    steps = (
        f"{100 * number * each / seconds:.2f}%{{transform:translateY(-{number * HEIGHT * LINE}px)}}"
        for number in range(count)
    )
    return seconds, "".join(steps)


def main() -> None:
    """Record, draw, write."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--every", type=float, default=1.5, help="seconds between two frames")
    options.add_argument("--shown", type=float, default=0.75, help="seconds that a frame stays")
    options.add_argument("picture", type=Path)
    options.add_argument("command", nargs=argparse.REMAINDER)
    given = options.parse_args()
    frames: list[Frame] = []
    for frame in record(given.command, given.every):
        if not frames or frame != frames[-1]:
            frames.append(frame)
    title = f"The terminal while {shown(given.command)} runs"
    given.picture.write_text(Picture(title).drawn(frames, given.shown), encoding="utf-8")
    size = given.picture.stat().st_size / 1000
    print(f"{given.picture}: {len(frames)} frames, {size:.0f} kB")


if __name__ == "__main__":
    main()
