"""The rules of `bdpl_async.accord`: what was changed in a run's folder is refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

import bdpl_async as bdpl
from bdpl_async.errors import ConfigError
from bdpl_async.kept import read_run
from bdpl_async.task import Task
from bdpl_providers.simulated import Simulated
from tests.workbench import write_task

Change = Callable[[dict[str, Any]], object]


@pytest.fixture
async def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    await bdpl.tune(Task.from_toml(write_task(tmp_path)), Simulated(), out=folder)
    return folder


def test_an_untouched_run_is_read(run: Path) -> None:
    """All of it."""
    kept = read_run(run)
    assert kept.result.dev is not None
    assert set(kept.answers["dev"]) == {"learned", "empty"}


def put(key: str, value: object) -> Change:
    return lambda document: document.__setitem__(key, value)


def relabelled(label: int) -> Change:
    return lambda document: document["dev"]["labels"].__setitem__(0, label)


def cut(document: dict[str, Any]) -> None:
    document["dev"]["learned"] = [row[:1] for row in document["dev"]["learned"]]


CHANGES: list[tuple[str, Change, str]] = [
    ("result.json", put("prompt", 5), "prompt"),
    ("result.json", put("tokens", [1, 2]), "tokens"),
    ("result.json", put("chosen_from", "x"), "chosen_from"),
    ("result.json", put("labels", None), "labels"),
    ("result.json", put("labels", {"0": " terrible"}), "task.labels"),
    ("result.json", put("method", "random"), "optimizer.method"),
    ("result.json", put("seed", 7), "run.seed"),
    ("result.json", lambda document: document["usage"].update(usd="x"), "usage.usd"),
    ("result.json", lambda document: document["dev"].update(score="x"), "dev.score"),
    ("result.json", lambda document: document["dev"].update(metric="mcc"), "metric of dev"),
    ("result.json", lambda document: document["dev"].update(unanswered="x"), "dev.unanswered"),
    ("result.json", lambda document: document["spending"]["dev"].update(usd=None), "dev.usd"),
    ("result.json", put("template", {}), "template"),
    ("result.json", put("versions", ["1"]), "versions"),
    ("result.json", put("calibration", {"kind": "batch", "offsets": [1.0]}), "number of labels"),
    ("answers.json", relabelled(9), "answers.json: dev"),
    ("answers.json", relabelled(-1), "answers.json: dev"),
    ("answers.json", relabelled(2**63), "too large"),
    ("answers.json", cut, "answers.json: dev, learned"),
]


@pytest.mark.parametrize(("name", "change", "part"), CHANGES)
def test_what_was_changed_is_refused(run: Path, name: str, change: Change, part: str) -> None:
    """Naming the folder and what does not fit."""
    document = orjson.loads((run / name).read_bytes())
    change(document)
    (run / name).write_text(json.dumps(document))
    with pytest.raises(ConfigError) as caught:
        read_run(run)
    assert str(run) in str(caught.value)
    assert part in str(caught.value)
