"""The pieces of `benchmarks/performance.py`, each as small as can be, so that they do not rot."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from argparse import Namespace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
FAST = ("server", "cpu", "latency", "lists", "steps", "limits", "replay", "files", "policy", "help")


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The command's module; scripts find their neighbours beside them."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return import_module("performance")


def measured(benchmark: Any, parts: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(benchmark, "sizes_of", lambda given: import_module("figures").TINY)
    given = Namespace(peer_python=(), quick=True, out=None)
    return asyncio.run(benchmark.benchmark(given, parts))


@pytest.mark.skipif(sys.platform != "linux", reason="it waits by epoll and reads /proc")
@pytest.mark.parametrize("parts", [FAST, ("memory",)], ids=["parts", "runs"])
def test_every_part_has_figures(
    parts: tuple[str, ...],
    benchmark: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A part opens, has a round, and gives numbers; what is not there is left out and named."""
    found = measured(benchmark, parts, monkeypatch)
    said = capsys.readouterr().out
    assert "failed" not in said
    assert set(found) == set(parts)
    for name, figures in found.items():
        assert figures, name
        for figure, values in figures.items():
            assert len(values) == 1
            assert values[0] >= 0 or "MB more" in figure
            assert f"| {figure.partition(' | ')[0]} |" in said
    if "cpu" in parts:
        assert "LiteLLM is left out" in said


def test_a_part_that_fails_is_told(
    benchmark: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What cannot be measured costs nothing else: the others have their figures."""
    figures = import_module("figures")

    async def broken(setting: object) -> Any:
        raise OSError("no such luck")

    async def sound(setting: object) -> Any:
        async def once() -> dict[str, float]:
            return {"answer | s": 42.0}

        return once

    parts = {"one": figures.Part("breaks", broken), "two": figures.Part("works", sound)}
    monkeypatch.setattr(benchmark, "PARTS", parts)
    found = measured(benchmark, ("one", "two"), monkeypatch)
    assert found == {"one": {}, "two": {"answer | s": [42.0]}}
    assert "- one failed: OSError: no such luck" in capsys.readouterr().out


def test_rounds_of_rare_parts_are_spread(benchmark: Any) -> None:
    """A part with fewer rounds has exactly its share of turns, and at least one."""
    part = import_module("figures").Part
    for share in (1.0, 0.6, 0.4, 0.3, 0.01):
        one = part("", None, share)
        for most in range(1, 12):
            assert sum(one.due(turn, most) for turn in range(most)) == one.rounds(most) >= 1


def test_figures_stand_beside_their_targets(benchmark: Any) -> None:
    """The median counts; every target is met by a figure on its good side and by no other."""
    sheet = import_module("sheet")
    rows = sheet.table({"--help, in a new process | s": [0.1, 0.2, 0.9], "other | s": [2.0]})
    assert "| --help, in a new process | s | 0.2 | 0.1 to 0.9 | 3 | ≤ 0.25 | yes |" in rows
    assert "| other | s | 2 |  | 1 |  |  |" in rows
    slow = sheet.table({"--help, in a new process | s": [0.3]})
    assert "| ≤ 0.25 | **no** |" in slow


def test_the_page_and_its_numbers_are_written(
    benchmark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both tell the same; neither names the machine or its folders."""
    monkeypatch.setattr(benchmark, "sizes_of", lambda given: import_module("figures").TINY)
    given = Namespace(peer_python=(), quick=False, out=tmp_path / "page.md")
    found = asyncio.run(benchmark.benchmark(given, ("files",)))
    text = given.out.read_text()
    assert json.loads((tmp_path / "page.json").read_text())["figures"] == found
    assert "| cache, entries written to the disk | writes/s |" in text
    assert socket.gethostname() not in text.replace("localhost", "")
    assert str(Path.home()) not in text


@pytest.mark.parametrize("kind", ["fixed", "sliding", "bucket", "by the second"])
def test_the_server_keeps_its_limits(kind: str, benchmark: Any) -> None:
    """Whoever comes as often as it can gets the limit, a minute's worth more at most."""
    limit = import_module("limits").made(kind, 60)
    let_in, steps = 0, 4 * 60 * 10
    for step in range(1, steps):
        let_in += limit.wait(1, step / 10) == 0
    assert 4 * 60 - 2 <= let_in <= 5 * 60
    assert limit.wait(61, 1e6) > 0
