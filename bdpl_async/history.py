"""The events of a run, read back from its events.jsonl.

A log may end in the middle of a line, since a run may be killed; lines of later releases are left
out. So whatever can be read is given, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

import orjson

from bdpl_async.evaluation import Evaluation
from bdpl_async.events import (
    Checkpoint,
    Evaluated,
    Event,
    Finished,
    Note,
    Probed,
    Resumed,
    Retry,
    Started,
    Step,
)
from bdpl_async.result import Result, Totals
from bdpl_async.typed import typed

__all__ = ["from_json", "read_events"]

TOLD: Final = (Started, Probed, Retry, Step, Evaluated, Checkpoint, Resumed, Note)
KINDS: Final = {kind.type: kind for kind in TOLD}
LONGEST: Final = 50_000_000  # bytes of one line


def read_events(path: Path) -> list[Event]:
    """The events in the file, in order; none where there is no such file.

    Args:
        path: an events.jsonl.
    """
    try:
        if not path.is_file():  # a pipe would be waited for
            return []
        with path.open("rb") as file:
            return list(_events(iter(lambda: file.readline(LONGEST), b"")))
    except OSError:
        return []


def _events(lines: Iterator[bytes]) -> Iterator[Event]:
    for line in lines:
        try:
            event = from_json(orjson.loads(line))
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError):
            continue
        if event is not None:
            yield event


def from_json(document: Mapping[str, Any]) -> Event | None:
    """The event that a line holds; None for a kind that this release does not know.

    Raises:
        KeyError, TypeError, ValueError: it is no such document.
    """
    if document["type"] == Finished.type:
        return Finished(float(document["t"]), Result.from_json(document["result"]))
    kind = KINDS.get(document["type"])
    if kind is None:
        return None
    known = {field.name for field in fields(kind)}
    given = {key: _value(key, value) for key, value in document.items() if key in known}
    if kind is Step:  # not every update of a long run is told whole, see `bdpl_async.thinning`
        given.setdefault("prompt", "")
    event: Event = kind(**given)
    return typed(event)


def _value(key: str, value: Any) -> Any:
    match key:
        case "t" | "entropy" | "kl":
            return float(value)
        case "loss":
            return float("nan") if value is None else float(value)
        case "usage":
            return Totals(**value)
        case "result":
            return Evaluation(**{**value, "ci95": tuple(value["ci95"])})
    return tuple(value) if isinstance(value, list) else value
