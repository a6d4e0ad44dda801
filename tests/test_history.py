"""The rules of `bdpl_async.history`."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from bdpl_async.events import Event, to_json
from bdpl_async.history import from_json, read_events
from tests.test_events import EVENTS, STEP

FULL = replace(STEP, tokens=("a", "b"), odds=(0.5, 0.25), spread=(1.0, 2.0), lowest=0.25, drawn="a")


@pytest.mark.parametrize("event", [*EVENTS, FULL], ids=lambda event: event.type)
def test_round_trip(event: Event) -> None:
    """What was written is read back as the same event."""
    assert from_json(orjson.loads(orjson.dumps(to_json(event)))) == event


def lines(*events: Event) -> bytes:
    return b"".join(orjson.dumps(to_json(event)) + b"\n" for event in events)


def test_a_log_that_was_cut_off(tmp_path: Path) -> None:
    """A killed run's last line, unknown kinds, and lines that are no events are left out."""
    log = tmp_path / "events.jsonl"
    odd = b'{"type": "later", "t": 1}\n[]\n{"type": "step", "t": 1}\n\xff\n'
    log.write_bytes(lines(EVENTS[0]) + odd + lines(STEP) + lines(EVENTS[-1])[:-20])
    assert read_events(log) == [EVENTS[0], STEP]


def test_a_log_of_an_earlier_release(tmp_path: Path) -> None:
    """Fields that came later may be absent."""
    document = {k: v for k, v in to_json(FULL).items() if k not in ("tokens", "odds", "lowest")}
    log = tmp_path / "events.jsonl"
    log.write_bytes(orjson.dumps(document) + b"\n")
    assert read_events(log) == [replace(FULL, tokens=(), odds=(), lowest=None)]


@pytest.mark.parametrize(
    "change",
    [
        {"tokens": ["a", None]},
        {"odds": ["x", 1.0]},
        {"usage": {"usd": "x"}},
        {"loss": "much"},
        {"step": 1.5},
        {"prompt": 5},
    ],
)
def test_values_of_another_type_are_left_out(tmp_path: Path, change: dict[str, object]) -> None:
    """A line that was edited is no event, as its reader would break on it."""
    log = tmp_path / "events.jsonl"
    log.write_bytes(orjson.dumps(to_json(FULL) | change) + b"\n" + lines(STEP))
    assert read_events(log) == [STEP]


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """What is no file has no events."""
    os.mkfifo(tmp_path / "events.jsonl")
    assert read_events(tmp_path / "events.jsonl") == []


def test_no_log(tmp_path: Path) -> None:
    """Where there is no file, there are no events."""
    assert read_events(tmp_path / "events.jsonl") == []
