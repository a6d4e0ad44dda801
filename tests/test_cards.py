"""What notebooks show: every number that matters, and text as text, whatever it holds."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from math import nan
from pathlib import Path

import numpy as np
import pytest

import bdpl_async as bdpl
from bdpl_async.estimate import estimate
from bdpl_async.evaluation import Evaluation, Gain
from bdpl_async.events import Evaluated, Event, Finished, Note, Probed, Retry, Started, Step
from bdpl_async.kept import Kept
from bdpl_async.result import Baseline, Result, Totals
from bdpl_async.session import Session
from bdpl_async.studies.arms import Wanted, plan_arms
from bdpl_async.studies.cells import run_cell
from bdpl_async.studies.scoreboard import scoreboard
from bdpl_cli.connecting import connected
from bdpl_providers.simulated import Simulated
from tests.workbench import write_task

EVIL = "<script>alert(1)</script>&amp;\"'\x1b[2J\u202e"
DEV = Evaluation("accuracy", 0.712, (0.66, 0.759), 320)
GAIN = Gain(0.031, (0.01, 0.052), 0.004)
USED = Totals(requests=1, prompts=1234, usd=0.0123, cache_hits=3, seconds=12.34)


class Tags(HTMLParser):
    """The elements and the text of a page as a browser reads it."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.open.append(tag)
        assert not any(name.startswith("on") for name, _ in attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(shown: object) -> Tags:
    """What a notebook makes of it."""
    found = Tags()
    source = shown._repr_html_()  # type: ignore[attr-defined]
    found.feed(source)
    assert "\x1b" not in source
    assert "\u202e" not in source
    assert not re.search(r"(?<![-\w])(color|background):\s*(#|black|white)", source)
    return found


def result(**changes: object) -> Result:
    given: dict[str, object] = {
        "task": EVIL,
        "model": EVIL,
        "method": "bdpl",
        "seed": 0,
        "prompt": EVIL,
        "tokens": (EVIL,),
        "template": "{prompt} {text}{mask}",
        "labels": {"0": " no", "1": " yes"},
        "dev": DEV,
        "test": DEV,
        "baseline": Baseline(dev=DEV, test=None),
        "usage": USED,
        "steps_done": 1,
        "stop_reason": "budget",
        "losses": (nan,),
        "data_sha256": "",
        "gain": GAIN,
        "chosen_from": 8,
    }
    return Result(**{**given, **changes})  # type: ignore[arg-type]


EVENTS: list[Event] = [
    Started(0.0, EVIL, EVIL, "bdpl", 0, 12, 8, 0, None),
    Probed(0.1, 1, (EVIL, " no"), None),
    Retry(0.2, 2, 1.5, EVIL, EVIL),
    Step(0.3, 7, 0.5, 2.25, 0.01, EVIL, USED, (EVIL, "a"), (0.9, 0.1), (1.0, 2.0), 0.4, EVIL),
    Step(0.3, 8, nan, nan, nan, EVIL, USED),
    Evaluated(0.4, EVIL, "learned", EVIL, DEV),
    Note(0.5, EVIL),
    Finished(0.6, result()),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.type)
def test_no_text_becomes_markup(event: Event) -> None:
    """Whatever stands in names, prompts and messages is shown, and obeyed by nobody."""
    found = read(event)
    assert "script" not in found.tags
    assert "<script>alert(1)</script>&amp;" in found.text


def test_a_result_shows_what_a_person_asks_first() -> None:
    """Prompt, scores beside those of the empty prompt, gain, cost, and what to be wary of."""
    text = read(result(prompt="film", task="reviews", model="m")).text
    for part in (
        "Learned prompt: film",
        "71.2 % (95 %: 66.0 to 75.9, n=320)",
        "+3.1 points (95 %: +1.0 to +5.2), p = 0.004",
        "Chosen on dev from 8",
        "1,234 prompts in 1 request, 3 from the cache, $0.0123, 12.3 s",
        "1 update, ended by budget",
    ):
        assert part in text
    assert "cut off" not in text


def test_a_method_that_searches_nothing_has_learned_nothing() -> None:
    """Its prompt is not called learned; an empty one is named, and missing scores leave no row."""
    empty = result(method="empty", prompt="", dev=None, test=None, baseline=Baseline(), gain=None)
    found = read(empty)
    assert "Prompt: the empty prompt" in found.text
    assert "table" not in found.tags
    assert "cut off" in read(result(stop_reason="interrupted")).text


def test_a_step_is_shaded_by_its_odds() -> None:
    """The likelier a token, the stronger its shade; the number stands in the title."""
    step = Step(0.3, 7, 0.5, 2.25, 0.01, "a b", USED, ("a", "b"), (0.9, 0.1))
    source = step._repr_html_()
    shades = [float(found) for found in re.findall(r"217,119,6,([\d.]+)\)\" title", source)]
    assert shades == pytest.approx([0.54, 0.06])
    assert 'title="probability 0.900"' in source
    assert "update 7: loss 0.5000, entropy 2.250 nats" in read(step).text


def test_scores_alone_have_cards() -> None:
    """An evaluation and a gain at the end of a cell are read at a glance."""
    assert read(DEV).text == "accuracy: 71.2 % (95 %: 66.0 to 75.9, n=320)"
    assert read(GAIN).text.startswith("gain: +3.1 points")


def test_a_policy_shows_each_position() -> None:
    """The likeliest candidate, its probability and the entropy; long ones are cut."""
    policy = bdpl.Policy(length=60, size=4, start=[2])
    found = read(policy)
    assert "60 positions, 4 candidates; the first 50 are shown" in found.text
    assert found.tags.count("tr") == 51
    assert "120.500" in found.text  # position 1, candidate 2, a half
    assert np.allclose(policy.probabilities[0], [1 / 6, 1 / 6, 1 / 2, 1 / 6])


async def test_an_estimate_shows_its_parts(tmp_path: Path) -> None:
    """Probe, train, dev and test, and all of it; what has no price has none."""
    task = bdpl.Task.from_toml(write_task(tmp_path))
    session = Session.prepare(task, Simulated(), task.config)
    await session.expect()
    found = read(await estimate(session, task.vocabulary(), 2))
    for part in ("2 updates", "probe", "train", "in all"):
        assert part in found.text


async def test_a_comparison_is_a_table(tmp_path: Path) -> None:
    """One line an arm, the differences in points, the notes beneath."""
    wanted = Wanted(("simulated/x",), ("random", "empty"), (0,))
    arms = plan_arms(write_task(tmp_path), {}, wanted, tmp_path / "out")
    runs: dict[str, list[Kept]] = {arm.name: [] for arm in arms}
    for arm in arms:
        runs[arm.name].append(await run_cell(arm.cells[0], connected))
    board = scoreboard(arms, runs)
    found = read(board)
    assert found.tags.count("tr") == 3
    for part in ("random", "empty", "differences on dev", "the empty prompt", "points,"):
        assert part in found.text
    assert all(note in found.text for note in board.notes)


def test_cards_are_whole() -> None:
    """Every element is closed: a card cannot swallow what a notebook shows after it."""
    for event in EVENTS:
        found = read(event)
        assert found.tags
        assert found.open == []
