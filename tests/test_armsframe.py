"""One frame of a comparison: it fits any terminal, and shows what matters most."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from bdpl_async.events import Note, Step
from bdpl_async.result import Totals
from bdpl_cli.screen.armsframe import frame
from bdpl_cli.screen.armsview import ArmsView, ArmView, begun, broke, ended, told
from bdpl_cli.screen.look import Look
from tests.test_armsview import pulse, result

BLOCKS, ASCII = Look.of("utf-8"), Look.of("ascii")


def arms(*names: tuple[str, str], runs: int = 2) -> ArmsView:
    return ArmsView("tiny", tuple(ArmView(m, method, 0, runs, True) for m, method in names))


@pytest.fixture
def busy() -> ArmsView:
    """Two models, two methods: one run is over, one under way."""
    pairs = [(m, k) for m in ("compatible/a", "vllm/b") for k in ("bdpl", "random")]
    view = ended(arms(*pairs), 0, result(dev=0.5, test=0.75, prompts=1234, usd=0.5, retries=3))
    view = told(begun(view, 2), 2, pulse(3, 7, prompts=40, requests=9))
    for step, loss in enumerate((0.9, 0.5, 0.1)):
        view = told(view, 2, Step(1.0, step, loss, 1.0, 0.0, "x", Totals()))
    return view


def text(view: ArmsView, width: int = 80, height: int = 24, look: Look = BLOCKS) -> str:
    return "\n".join(line.plain.rstrip() for line in frame(view, (width, height), look))


def test_everything_is_there(busy: ArmsView) -> None:
    """Runs done, what is spent in all, and of each arm: state, scores, loss, what it took."""
    shown = text(busy, 160, 48)
    assert "1 of 8 runs done" in shown
    assert "1,274 prompts" in shown
    assert "$0.5000" in shown
    assert "3 sent again" in shown
    lines = shown.splitlines()
    done = next(line for line in lines if line.startswith("bdpl"))
    for part in ("1/2", "waiting", "50.0", "75.0", "1,234", "$0.5000", "3"):
        assert part in done.split()
    runs = [line for line in lines if "step 7/100" in line]
    assert len(runs) == 1
    assert "█" in runs[0]
    assert "▁" in runs[0]


def test_eighty_columns_keep_what_matters(busy: ArmsView) -> None:
    """State, scores, loss, prompts and USD stand in the smallest usual terminal."""
    head = next(line for line in text(busy).splitlines() if line.startswith("arm"))
    for name in ("seeds", "state", "dev %", "test %", "loss", "prompts", "USD"):
        assert name in head


@given(st.integers(1, 200), st.integers(1, 60), st.booleans(), st.integers(1, 40))
def test_a_frame_is_exactly_as_large_as_the_terminal(
    width: int, height: int, blocks: bool, count: int
) -> None:
    """Whatever the size and however many arms, in cells, wide letters too."""
    view = arms(*((f"compatible/模型-{i}", "bdpl") for i in range(count)))
    view = told(begun(view, 0), 0, Note(0.0, "好" * 60))
    lines = frame(view, (width, height), BLOCKS if blocks else ASCII)
    assert len(lines) == height
    assert {cell_len(line.plain) for line in lines} == {width}


def test_too_many_arms_leave_the_ones_that_run() -> None:
    """What runs and what failed is shown first; of the rest there is a count."""
    view = arms(*((f"compatible/{i}", "bdpl") for i in range(40)))
    view = begun(view, 35)
    view = broke(begun(view, 37), 37, "quota used up")
    shown = text(view, 80, 16)
    assert "compatible/35" in shown
    assert "compatible/37" in shown
    assert "quota used up" in shown
    assert "more arms" in shown


def test_one_model_or_one_method_stands_in_the_title() -> None:
    """What all arms have in common is said once."""
    models = text(arms(("vllm/a", "bdpl"), ("vllm/b", "bdpl"))).splitlines()
    assert models[0].startswith("compare tiny, bdpl")
    assert [line.split()[0] for line in models if line.startswith("vllm")] == ["vllm/a", "vllm/b"]
    methods = text(arms(("vllm/a", "bdpl"), ("vllm/a", "empty"))).splitlines()
    assert methods[0].startswith("compare tiny on vllm/a")
    assert sum("vllm/a" in line for line in methods) == 1


def test_long_names_keep_both_ends() -> None:
    """Models differ at their ends as often as at their beginnings."""
    pairs = [(f"compatible/an-organisation/a-model-of-some-size-{i}", "bdpl") for i in "ab"]
    shown = text(arms(*pairs), 60)
    assert "size-a" in shown
    assert "size-b" in shown
    assert "compatible" in shown


def test_nothing_from_elsewhere_moves_the_cursor() -> None:
    """Escapes in names and notes are shown, not obeyed."""
    view = told(begun(arms(("x/\x1b[2J", "bdpl")), 0), 0, Note(0.0, "\x1b]0;title\x07\nnext"))
    assert "\x1b" not in text(view)
    assert "\x07" not in text(view)


def test_a_terminal_without_blocks_gets_ascii(busy: ArmsView) -> None:
    """No character of a frame is beyond what the encoding has."""
    view = told(busy, 2, Note(0.0, "naïve 模型"))
    assert text(view, look=ASCII).isascii()


def test_stopping_is_shown(busy: ArmsView) -> None:
    """After the first signal the rows and the last line say that it ends."""
    shown = text(replace(busy, stopping=True))
    assert "stopping" in next(line for line in shown.splitlines() if "40" in line)
    assert "Ctrl-C again leaves at once" in shown


def test_no_money_no_column() -> None:
    """Where nothing costs USD there is no column of dashes, nor seeds where there is one."""
    head = next(
        line
        for line in text(arms(("simulated/a", "bdpl"), runs=1)).splitlines()
        if line.startswith("arm")
    )
    assert "USD" not in head
    assert "seeds" not in head
