"""A comparison read back: its document and its runs in one order, or refused by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from bdpl_async.errors import ConfigError
from bdpl_async.studies.arms import Wanted
from bdpl_async.studies.boardfile import is_comparison, read_comparison
from bdpl_async.studies.scoreboard import FILE
from tests.test_scoreboard import board


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    """A comparison of two arms with two seeds."""
    found = await board(tmp_path, Wanted(("simulated/a",), ("bdpl", "empty"), (0, 1)))
    found.write(tmp_path / "out")
    return tmp_path / "out"


def changed(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    document = orjson.loads((folder / FILE).read_bytes())
    change(document)
    (folder / FILE).write_bytes(orjson.dumps(document))


def test_the_document_and_the_runs_are_in_one_order(folder: Path) -> None:
    """Run i is that of entry i; the document is what was written."""
    kept = read_comparison(folder)
    assert kept.path == folder
    assert kept.document == orjson.loads((folder / FILE).read_bytes())
    told = [(arm["method"], arm["seed"], arm["run"]) for arm in kept.document["arms"]]
    assert told == [(r.result.method, r.result.seed, r.path.name) for r in kept.runs]
    assert all("test" in run.answers for run in kept.runs)


def test_a_folder_that_is_none(folder: Path) -> None:
    """A run's folder is no comparison, nor is one that does not exist."""
    assert is_comparison(folder)
    for other in (folder / "simulated-a-bdpl-0", folder / "nowhere", folder / ("x" * 300)):
        assert not is_comparison(other)
        with pytest.raises(ConfigError, match="no comparison"):
            read_comparison(other)


CHANGES: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (lambda d: d.update(schema=2), "not the document"),
    (lambda d: d.pop("notes"), "notes"),
    (lambda d: d.update(arms=[]), "arms"),
    (lambda d: d.update(arms="x"), "arms"),
    (lambda d: d["arms"][1].update(seed=True), r"arms\[1\].seed"),
    (lambda d: d["arms"].append(3), r"arms\[4\]"),
    (lambda d: d["summary"][0].update(mean="high"), r"summary\[0\].mean"),
    (lambda d: d["differences"][0].pop("real"), r"differences\[0\].real"),
    (lambda d: d["arms"][0].update(run="../elsewhere"), "no folder beside it"),
    (lambda d: d["arms"][0].update(run="gone"), "gone"),
    (lambda d: d["arms"][0].update(run=d["arms"][1]["run"]), "another run"),
    (lambda d: d["arms"][0].update(prompt="other words"), "another run"),
]


@pytest.mark.parametrize(("change", "part"), CHANGES)
def test_what_was_edited_is_refused_by_name(
    folder: Path, change: Callable[[dict[str, Any]], object], part: str
) -> None:
    """Nothing is guessed, and nothing outside the folder is read."""
    changed(folder, change)
    with pytest.raises(ConfigError, match=part):
        read_comparison(folder)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff", b"null"])
def test_what_is_no_document(folder: Path, content: bytes) -> None:
    """A file that was cut off is refused with what to do next."""
    (folder / FILE).write_bytes(content)
    with pytest.raises(ConfigError, match=FILE) as refused:
        read_comparison(folder)
    assert refused.value.hint


def test_keys_of_later_releases_are_no_trouble(folder: Path) -> None:
    """More keys than we know are read over."""
    changed(folder, lambda d: d.update(later=1))
    assert read_comparison(folder).document["later"] == 1
