"""What `run` prints: calm lines, events as JSON, or nothing; never what a terminal would obey."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bdpl_async.evaluation import Evaluation, Gain
from bdpl_async.events import Event, Finished, Note
from bdpl_async.result import Baseline
from bdpl_cli.plaintext import clean
from bdpl_cli.stdout import until_closed
from bdpl_cli.views import make_view, percent
from tests.test_events import EVALUATED, EVENTS, STARTED, STEP
from tests.test_result import RESULT

EVIL = "\x1b]0;owned\x07\x1b[31mred\r\n\x9b2J\x7f"
ALL: list[Event] = [*EVENTS, Finished(5.0, RESULT)]


def printed(ui: str, events: list[Event], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    view = make_view(ui, Path("there"))
    for event in events:
        view(event)
    return capsys.readouterr().out


@given(text=st.text())
def test_clean(text: str) -> None:
    """No control character passes; everything else does, character for character."""
    cleaned = clean(text)
    assert len(cleaned) == len(text)
    for before, after in zip(text, cleaned, strict=True):
        controls = ord(before) < 0x20 or 0x7F <= ord(before) < 0xA0
        assert after == ("\N{REPLACEMENT CHARACTER}" if controls else before)


def test_plain_is_safe(capsys: pytest.CaptureFixture[str]) -> None:
    """Names, prompts and notes from files cannot move the cursor or colour the terminal."""
    evaluated = replace(EVALUATED, prompt=EVIL)
    events: list[Event] = [
        replace(STARTED, task=EVIL, model=EVIL),
        replace(STEP, prompt=EVIL),
        evaluated,
        Note(4.0, EVIL),
        Finished(5.0, replace(RESULT, prompt=EVIL)),
    ]
    lines = printed("plain", events, capsys).splitlines()
    assert all(line.isprintable() for line in lines)
    assert sum("owned" in line for line in lines) == 5


def test_plain(capsys: pytest.CaptureFixture[str]) -> None:
    """A plain run tells task, model, seed, scores, the learned prompt and where it is saved."""
    text = printed("plain", ALL, capsys)
    for part in (
        "t: bdpl on m, seed 0",
        "note: a note",
        "learned prompt: good day",
        "saved in there",
    ):
        assert part in text
    assert "learned prompt on dev: 50.0 % (95 %: 25.0 to 75.0, n=8)  a b" in text


def test_plain_is_calm(capsys: pytest.CaptureFixture[str]) -> None:
    """Of many steps within two seconds one is printed; the next after two seconds is again."""
    steps: list[Event] = [replace(STEP, step=i, t=i / 64) for i in range(1, 130)]
    lines = printed("plain", steps, capsys).splitlines()
    assert [line.split("step ")[1].split()[0] for line in lines] == ["1", "129"]


def test_gain(capsys: pytest.CaptureFixture[str]) -> None:
    """The gain on test over the empty prompt is told in points, losses with their sign."""
    low, high = (Evaluation("accuracy", score, (0.0, 1.0), 8) for score in (0.5, 0.625))
    gain = Gain(-0.125, (-0.2, 0.05), 0.3)
    result = replace(RESULT, test=low, baseline=Baseline(test=high), gain=gain)
    assert "-12.5 points" in printed("plain", [Finished(5.0, result)], capsys)


def test_percent() -> None:
    """A metric that can be negative keeps its sign."""
    assert (
        percent(Evaluation("mcc", -0.125, (-0.5, 0.25), 8)) == "-12.5 % (95 %: -50.0 to 25.0, n=8)"
    )


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    """--ui json prints each event as one line of JSON and nothing else."""
    lines = printed("json", ALL, capsys).splitlines()
    assert [orjson.loads(line)["type"] for line in lines] == [event.type for event in ALL]


def test_none(capsys: pytest.CaptureFixture[str]) -> None:
    """--ui none prints nothing."""
    assert printed("none", ALL, capsys) == ""


def test_reader_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """When nobody reads on, the view says so once and is silent; other errors stay errors."""
    monkeypatch.setattr("bdpl_cli.stdout.silence", lambda: None)
    closed: list[str] = []

    def failing(error: OSError) -> Callable[[str], None]:
        def show(line: str) -> None:
            raise error

        return until_closed(show, lambda: closed.append("closed"))

    failing(BrokenPipeError())("line")
    assert closed == ["closed"]
    with pytest.raises(OSError, match="full"):
        failing(OSError("full"))("line")
