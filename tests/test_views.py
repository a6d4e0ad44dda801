"""What `run` prints: calm lines, events as JSON, or nothing; never what a terminal would obey."""

from __future__ import annotations

import asyncio
import unicodedata
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bdpl_async.evaluation import Evaluation, Gain
from bdpl_async.events import Event, Finished, Note, Retry, Step
from bdpl_async.pulse import Pulse
from bdpl_async.result import Baseline, Totals
from bdpl_cli.interrupts import Interrupt
from bdpl_cli.plaintext import clean
from bdpl_cli.views import make_view, watching
from tests.test_events import EVALUATED, EVENTS, STARTED, STEP
from tests.test_result import RESULT

EVIL = "\x1b]0;owned\x07\x1b[31mred\r\n\x9b2J\x7f"
ALL: list[Event] = [*EVENTS, Finished(5.0, RESULT)]


class Stop(Interrupt):
    """Listens to no signals."""

    def __init__(self) -> None:
        pass


def printed(ui: str, events: list[Event], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    view = make_view(ui, Path("there"))
    for event in events:
        view(event)
    return capsys.readouterr().out


OBEYED = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff"
"""Beside controls and the ends of lines and paragraphs: what turns the direction of writing."""


@given(text=st.text(st.characters() | st.sampled_from([*OBEYED, "\u2028", "\u2029", "\x1b"])))
def test_clean(text: str) -> None:
    """What is obeyed instead of shown does not pass; everything else does, one for one."""
    cleaned = clean(text)
    assert len(cleaned) == len(text)
    for before, after in zip(text, cleaned, strict=True):
        obeyed = unicodedata.category(before) in ("Cc", "Zl", "Zp", "Cs") or before in OBEYED
        assert after == ("\N{REPLACEMENT CHARACTER}" if obeyed else before)


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
    assert sum("owned" in line for line in lines) == 4


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
    assert "learned prompt on dev: 50.0 % (95 %: 25.0 to 75.0, n=8)\n" in text


def test_the_prompt_is_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    """A long prompt stands whole on one line at the end, to be copied, and nowhere else."""
    long = "word " * 60 + "end"
    events: list[Event] = [
        STARTED,
        replace(STEP, prompt=long),
        replace(EVALUATED, prompt=long),
        Finished(5.0, replace(RESULT, prompt=long)),
    ]
    lines = printed("plain", events, capsys).splitlines()
    assert [line for line in lines if "end" in line] == [f"learned prompt: {long}"]


def test_no_line_is_too_long_for_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a terminal only a prompt may take more than 80 columns; notes go on below."""
    events: list[Event] = [
        replace(STARTED, task="t" * 30, model="m/" + "x" * 30),
        Retry(0.75, attempt=2, wait=0.25, reason="the server is busy " * 9),
        replace(STEP, prompt="word " * 60),
        Note(4.0, "something to know " * 20),
        Finished(5.0, replace(RESULT, usage=Totals(10**6, 10**7, 10**8, 10**8, 9.5, 10**6, 99))),
    ]
    lines = printed("plain", events, capsys).splitlines()
    assert max(map(len, lines)) <= 80
    assert sum("something" in line for line in lines) > 3


@pytest.mark.parametrize("method", ["manual", "empty", "calibration"])
def test_what_was_not_learned_is_not_called_so(
    method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A method that does not search has a prompt, not a learned prompt."""
    events: list[Event] = [
        replace(STARTED, method=method),
        EVALUATED,
        Finished(5.0, replace(RESULT, steps_done=0)),
    ]
    said = printed("plain", events, capsys)
    assert "\nprompt on dev: 50.0 %" in said
    assert "\nprompt: good day" in said
    assert "learned" not in said


def test_what_is_not_known_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    """A method without distributions shows no entropy of zero, and no empty prompt."""
    bare = replace(STEP, entropy=0.0, spread=(), prompt="")
    assert "entropy" not in printed("plain", [bare], capsys)
    sure = replace(STEP, entropy=-1e-9, spread=(0.0,))
    assert "entropy 0.00" in printed("plain", [sure], capsys)


def test_one_is_singular(capsys: pytest.CaptureFixture[str]) -> None:
    """One update, one request, one prompt."""
    result = replace(RESULT, steps_done=1, usage=Totals(requests=1, prompts=1))
    said = printed("plain", [Finished(5.0, result)], capsys)
    assert "done (steps): 1 update, 1 prompt in 1 request, 0.0 s" in said


def test_a_screen_needs_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """--ui rich without one gives plain lines, and one line on stderr that says why."""
    monkeypatch.delenv("COLUMNS", raising=False)

    async def told(ui: str) -> None:
        async with watching(
            ui, Path("there"), lambda: Pulse(0.0, "search", 0, None), Stop()
        ) as view:
            view(STARTED)

    for ui, lines in (("rich", 1), ("auto", 0), ("plain", 0)):
        asyncio.run(told(ui))
        out, err = capsys.readouterr()
        assert out.startswith("t: bdpl on m")
        assert len(err.splitlines()) == lines
        assert ("no terminal" in err) == bool(lines)


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


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    """--ui json prints each event as one line of JSON and nothing else."""
    lines = printed("json", ALL, capsys).splitlines()
    assert [orjson.loads(line)["type"] for line in lines] == [event.type for event in ALL]


def test_none(capsys: pytest.CaptureFixture[str]) -> None:
    """--ui none prints nothing."""
    assert printed("none", ALL, capsys) == ""


def test_a_gain_that_may_be_none_is_called_so(capsys: pytest.CaptureFixture[str]) -> None:
    """An interval that holds zero is told in words; one that does not is left to speak."""
    some = Evaluation("accuracy", 0.5, (0.0, 1.0), 8)
    for gain, doubtful in (
        (Gain(0.25, (-0.25, 0.6), 0.5), True),
        (Gain(0.2, (0.1, 0.3), 0.001), False),
        (Gain(-0.2, (-0.3, -0.1), 0.001), False),
    ):
        result = replace(RESULT, test=some, baseline=Baseline(test=some), gain=gain)
        said = printed("plain", [Finished(5.0, result)], capsys)
        assert ("too few examples to be sure" in said) == doubtful


def test_without_a_test_split_the_dev_score_is_not_praised(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The examples that chose a prompt flatter it, and the reader is told."""
    dev = Evaluation("accuracy", 0.5, (0.0, 1.0), 8)
    result = replace(RESULT, dev=dev, test=None, gain=None, steps_done=3)
    assert "flatters" in printed("plain", [Finished(5.0, result)], capsys)


def test_a_run_without_updates_or_scores_learned_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The argmax of a policy that never moved is not passed off as a learned prompt."""
    result = replace(RESULT, dev=None, test=None, gain=None, steps_done=0, losses=())
    said = printed("plain", [Finished(5.0, result)], capsys)
    assert "nothing was learned" in said
    assert "learned prompt" not in said


def test_a_step_stays_on_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long prompt is cut to the width of the terminal."""
    monkeypatch.setenv("COLUMNS", "60")
    step = Step(9.0, 1, 0.5, 1.0, 0.01, "word " * 50, Totals())
    line = printed("plain", [step], capsys).rstrip("\n")
    assert len(line) == 60
    assert line.endswith("...")


def test_what_to_do_next_can_be_copied(capsys: pytest.CaptureFixture[str]) -> None:
    """The last line of a run that came to its end; one that was cut off has a line of its own."""
    view = make_view("plain", Path("my runs/" + "x" * 90))
    view(Finished(5.0, RESULT))
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2].startswith("saved in my runs/x")
    assert lines[-1] == f"next: bdpl-async report 'my runs/{'x' * 90}'"
    view(Finished(5.0, replace(RESULT, stop_reason="interrupted")))
    assert "next:" not in capsys.readouterr().out


def test_a_doubt_comes_with_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    """Where the empty prompt scored higher, and where there are no test rows at all."""
    half = Evaluation("accuracy", 0.5, (0.4, 0.6), 10)
    worse = replace(
        RESULT,
        dev=half,
        baseline=Baseline(replace(half, score=0.9), None),
        test=None,
        gain=None,
        steps_done=3,
    )
    text = " ".join(
        printed("plain", [replace(STARTED, test=0), Finished(5.0, worse)], capsys).split()
    )
    assert "on dev the empty prompt scored higher: try more examples" in text
    assert "a file named by task.test gives one" in text
    text = " ".join(
        printed("plain", [replace(STARTED, test=9), Finished(5.0, worse)], capsys).split()
    )
    assert "task.test" not in text
