"""The frame: exactly as large as the terminal, whatever stands in it, and readable everywhere."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.color import Color
from rich.console import Console
from rich.text import Text

from bdpl_async.budget import Amount, Budget
from bdpl_async.events import Event, Note, Retry
from bdpl_async.latency import Latency
from bdpl_async.limits.standing import Level, Standing
from bdpl_async.pulse import Pulse
from bdpl_async.result import Totals
from bdpl_cli.screen.bar import divided
from bdpl_cli.screen.figures import brief, clock, money, number, span
from bdpl_cli.screen.line import cut
from bdpl_cli.screen.look import ACCENT, ALERT, GOOD, WARM, Look
from bdpl_cli.screen.panel import Panel, shares
from bdpl_cli.screen.shading import shade, wrapped
from bdpl_cli.screen.shape import frame
from bdpl_cli.screen.sparkline import plot, sparkline
from bdpl_cli.screen.view import View, fold
from tests.test_events import EVALUATED, STARTED, STEP

BLOCKS, PLAIN = Look.of("utf-8"), Look.of("ascii")
EVIL = (
    "\x1b[2J\x1b]0;x\x07[red]bold[/] \u202eabc\u2066 漢字テスト 👩\u200d🚀❤\ufe0f\r\n\t\x9b5n" * 3
)
ODDS = (0.9, 0.3, 0.01, 0.6)
FULL = Pulse(
    34.5,
    "search",
    57,
    203,
    Budget(800, 8_000, 2_000_000, 5.0, 600),
    Amount(448, 4_480, 672_000, 1.736),
    Amount(8, 64, 9_000, 0.02),
    Amount(80, 1_200, 180_000, 0.4),
    Totals(448, 4_480, 616_000, 56_000, 1.736, 672, 9, 3, 34.5),
    Latency(0.12, 0.31),
    Standing(8, 64, 12, (Level("requests", 310, 500, 61.0),), "the limit of requests", 13.2),
)


def seen(text: str = "word", events: int = 40) -> View:
    """A run in full swing, with `text` wherever text comes from outside."""
    view = fold(View(), replace(STARTED, task=text, model=text))
    said: list[Event] = [
        replace(EVALUATED, role="empty"),
        Note(3.0, f"note {text}"),
        Retry(4.0, 2, 1.0, f"reason {text}", f"cause {text}"),
    ]
    step = replace(STEP, prompt=" ".join([text] * 4), tokens=(text,) * 4, odds=ODDS, spread=ODDS)
    step = replace(step, lowest=0.5, drawn=text)
    said += [replace(step, t=n / 2, step=n + 1, loss=1 + n % 5) for n in range(events)]
    for event in said:
        view = fold(view, event)
    return fold(view, FULL)


def plainly(lines: list[Text]) -> str:
    return "\n".join(line.plain for line in lines)


@pytest.mark.parametrize("width", [*range(60, 201, 7), 131, 132, 133])
def test_every_size(width: int) -> None:
    """From 60x16 to 200x60 a frame has as many lines as the terminal, each as wide."""
    views = [View(), seen(), seen(EVIL), seen("w" * 400)]
    for view in views:
        for height in (16, 17, 20, 24, 31, 48, 60):
            lines = frame(view, width, height, BLOCKS)
            assert [line.cell_len for line in lines] == [width] * height


@given(width=st.integers(1, 300), height=st.integers(1, 100), text=st.text(max_size=30))
def test_any_size(width: int, height: int, text: str) -> None:
    """Smaller or larger, with any text at all, it is never wider or higher than it may be."""
    lines = frame(seen(text, 2), width, height, PLAIN)
    assert [line.cell_len for line in lines] == [width] * height


def test_all_that_matters_is_there_on_80_by_24() -> None:
    """Limits, prompt, draw, score, curves, traffic, retries and a note are on the usual screen."""
    text = plainly(frame(seen(), 80, 24, BLOCKS))
    for part in (
        *("word  bdpl on word, seed 0", "57 of about 203 updates", "65 %"),
        *("requests  ", "prompts   ", "tokens    ", "USD       ", "seconds   "),
        *("4,480", "64", "1,200", "8,000", "$1.7360", "$0.0200", "$0.4000", "$5.0000"),
        *("prompt    word word word word", "luckiest  loss 0.500 in update 1", "dev  empty"),
        *("loss      ", "entropy   ", "1.000 to 5.000", "8 of 64 in flight"),
        *("p50  120 ms", "p95  310 ms", "672 known already", "9 sent again: cause word 1"),
        *("12 requests wait 14 s for the limit of requests", "310 of 500 requests a minute"),
        "note word",
    ):
        assert part in text


def test_it_grows() -> None:
    """A large terminal shows more: the probability of each token, and taller plots."""
    small, large = (frame(seen(), *size, BLOCKS) for size in ((80, 24), (160, 48)))
    assert "30.0 %" not in plainly(small)
    assert "30.0 %" in plainly(large)
    assert "lowest" not in plainly(small)
    assert "1.000 lowest" in plainly(large)
    assert sum("█" in line.plain for line in large) > 20


def test_stopping_is_told() -> None:
    """Once it was asked to stop, the screen says so."""
    stopping = fold(seen(), replace(FULL, stopping=True))
    text = plainly(frame(stopping, 80, 24, BLOCKS))
    assert "stopping  8 in flight" in text


def test_nothing_jumps() -> None:
    """What comes to be known takes a place that was kept: labels stay where they are."""
    pulse = replace(FULL, steps=0)
    before = fold(fold(View(), STARTED), pulse)
    after = fold(fold(before, replace(EVALUATED, role="empty", prompt="")), replace(pulse, t=36.0))
    labels = [[line.plain[:10] for line in frame(view, 80, 24, BLOCKS)] for view in (before, after)]
    assert labels[0] == labels[1]


def test_a_method_that_does_not_search_has_no_curves() -> None:
    """Where nothing is planned, nothing is said of loss, entropy or draws."""
    view = fold(fold(View(), replace(STARTED, method="manual")), replace(FULL, planned=0, steps=0))
    text = plainly(frame(view, 80, 24, BLOCKS))
    assert not any(word in text for word in ("loss", "entropy", "luckiest", "none yet"))


def rendered(lines: list[Text], **more: object) -> str:
    out = io.StringIO()
    console = Console(file=out, width=80, force_terminal=True, **more)  # type: ignore[arg-type]
    console.print(Text("\n").join(lines), soft_wrap=True, end="")
    return out.getvalue()


def test_hostile_text_is_shown_and_not_obeyed() -> None:
    """Escapes, markup and turns of direction from files reach the terminal as characters."""
    lines = frame(seen(EVIL), 80, 24, BLOCKS)
    text = rendered(lines, color_system=None)
    assert all(line.isprintable() for line in text.split("\n"))
    assert "[red]bold[/]" in text
    assert not set("\u202e\u2066\u200d\ufe0f") & set(text)


def test_without_colour_weight_remains() -> None:
    """NO_COLOR gives bold and dim, and not one colour."""
    lines = frame(seen(), 80, 24, BLOCKS)
    codes = set(re.findall(r"\x1b\[([\d;]*)m", rendered(lines, no_color=True)))
    coloured = rendered(lines, color_system="256")
    assert {"1", "2"} <= codes
    assert codes <= {"0", "1", "2"}
    assert any("38;5" in code for code in re.findall(r"\x1b\[([\d;]*)m", coloured))


def test_shading_is_by_weight() -> None:
    """Sure tokens are bold, open ones dim, others normal: on any background, without colour."""
    styles = {chance: shade(chance) for chance in (0.0, 0.05, 0.3, 0.5, 1.0)}
    assert ["bold" in style for style in styles.values()] == [False, False, False, True, True]
    assert ["dim" in style for style in styles.values()] == [True, True, False, False, False]


@pytest.mark.parametrize("style", [ACCENT, WARM, GOOD, ALERT])
def test_colours_read_on_light_and_dark(style: str) -> None:
    """Each colour has a contrast of at least 3.5 to white and to black."""
    triplet = Color.parse(style.rsplit(maxsplit=1)[-1]).get_truecolor()
    parts = [part / 255 for part in triplet]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    light = sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
    assert 1.05 / (light + 0.05) >= 3.5
    assert (light + 0.05) / 0.05 >= 3.5


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "cp437", None, "no-such-encoding"])
def test_ascii(encoding: str | None) -> None:
    """Where the encoding has no blocks, all we draw is ASCII, and what it cannot say is a ?."""
    look = Look.of(encoding)
    lines = frame(seen("é漢"), 80, 24, look)
    known = encoding if encoding in ("cp1252", "cp437") else "ascii"
    plainly(lines).encode(known)
    assert "###" in plainly(lines)


def test_the_linux_console_gets_ascii() -> None:
    """Its font lacks most blocks."""
    assert Look.of("utf-8", "linux").spent == "#"
    assert BLOCKS.spent == "█"


@given(text=st.text(), width=st.integers(0, 40))
def test_cut(text: str, width: int) -> None:
    """Never wider than it may be, and whole where it fits."""
    text = BLOCKS.safe(text)
    found = cut(text, width, BLOCKS)
    assert cell_len(found) <= width
    assert (found == text) == (cell_len(text) <= width) or found == text


@given(
    parts=st.lists(st.floats(0, 1e6), max_size=4),
    whole=st.floats(0, 1e6),
    width=st.integers(0, 200),
)
def test_divided(parts: list[float], whole: float, width: int) -> None:
    """The parts of a bar and what is free are together the bar."""
    cells = divided(parts, whole, width)
    assert sum(cells) == width
    assert len(cells) == len(parts) + 1
    assert min(cells) >= 0


def test_divided_does_not_push() -> None:
    """A part that grows leaves the border before it where it was."""
    assert [divided([30, held], 100, 50)[0] for held in (0, 1, 7, 60, 900)] == [15] * 5


def test_sparkline() -> None:
    """The lowest number is the lowest character, the highest the highest, and none is no fault."""
    assert sparkline([0, 7, 3.5], 10, "▁▂▃▄▅▆▇█") == "▁█▅"
    assert sparkline([], 10, "▁█") == ""
    assert sparkline([2, 2], 10, "▁▂▃") == "▂▂"


@given(
    numbers=st.lists(st.floats(-1e9, 1e9), max_size=300),
    width=st.integers(1, 90),
    height=st.integers(1, 20),
)
def test_plot(numbers: list[float], width: int, height: int) -> None:
    """As many rows as asked for, none too long, and the bottom row is filled throughout."""
    rows = plot(numbers, width, height, "▁▂▃▄▅▆▇█")
    assert len(rows) == height
    assert len({len(row) for row in rows}) == 1
    assert len(rows[-1]) <= width
    assert " " not in rows[-1]


@given(
    words=st.lists(st.text(min_size=1, max_size=20).map(BLOCKS.safe).filter(str.strip)),
    width=st.integers(2, 60),
    rows=st.integers(1, 6),
)
def test_wrapped(words: list[str], width: int, rows: int) -> None:
    """As many lines as there are rows at most, and no more than one cell too wide, to be cut."""
    lines = wrapped([(word, "") for word in words], width, rows, BLOCKS)
    assert len(lines) <= rows
    assert all(cell_len("".join(text for text, _ in line)) <= width + 1 for line in lines)


SIZES = st.tuples(st.integers(0, 4), st.integers(0, 6), st.integers(0, 9))


@given(sizes=st.lists(SIZES, min_size=1, max_size=8), rows=st.integers(0, 60))
def test_shares(sizes: list[tuple[int, int, int]], rows: int) -> None:
    """Rows are given once, no panel gets more than it can use, and the first in rank wins."""
    panels = [Panel(lambda n: [], *size, rule="") for size in sizes]
    given_rows, rules = shares(panels, range(len(panels)), rows)
    assert sum(given_rows) + rules <= rows
    for panel, got in zip(panels, given_rows, strict=True):
        least, _, most = panel.sizes
        assert got == 0 or least <= got <= most
    if panels[0].sizes[0] <= rows:
        assert given_rows[0] >= panels[0].sizes[0]


def test_figures() -> None:
    """Numbers are short, in thousands with commas, dollars finer than a cent, never minus zero."""
    assert [brief(n) for n in (0, 1_234, 9_999_999, 12_345_678)] == [
        *("0", "1,234", "9,999,999", "12.3M")
    ]
    assert [money(x) for x in (0.0123, 5, 123.456)] == ["$0.0123", "$5.0000", "$123.46"]
    assert [number(x) for x in (0.1234, -0.00001, 12.345, 123.45, 1e9)] == [
        *("0.123", "0.000", "12.35", "123.5", "1.0e+09")
    ]
    assert [clock(s) for s in (0, 7.9, 754, 3723)] == ["0:00", "0:07", "12:34", "1:02:03"]
    assert [span(s) for s in (None, 0.0021, 0.123, 1.234, 45)] == [
        *("", "2.1 ms", "123 ms", "1.23 s", "45.0 s")
    ]
