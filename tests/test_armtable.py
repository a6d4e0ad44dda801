"""The table of a comparison: it fits a terminal, hides nothing, and obeys no escape."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bdpl_async.studies.arms import Wanted
from bdpl_async.studies.scoreboard import Scoreboard
from bdpl_cli.armtable import table
from tests.test_scoreboard import board

MODELS = ("simulated/a", "simulated/b")


@pytest.fixture
async def several(tmp_path: Path) -> Scoreboard:
    """Two models, three methods, two seeds."""
    return await board(tmp_path, Wanted(MODELS, ("bdpl", "random", "empty"), (0, 1)))


async def test_it_fits_eighty_columns(several: Scoreboard) -> None:
    """No line of a usual comparison is wider than the terminal; a wider one shows more prompt."""
    assert max(map(len, table(several, 80))) <= 80
    wide = "\n".join(table(several, 200))
    assert all(row.best.result.prompt in wide for row in several.rows)


async def test_every_arm_stands_below_its_model(several: Scoreboard) -> None:
    """With several models each has a heading; with one it stands in the title."""
    lines = table(several, 80)
    assert [line for line in lines if line in MODELS] == [*MODELS, *MODELS]
    alone = replace(several, rows=several.rows[:3])
    assert "on simulated/a:" in table(alone, 80)[0]
    assert not set(table(alone, 80)) & set(MODELS)


async def test_the_numbers_are_the_documents(several: Scoreboard) -> None:
    """Scores and differences are those of comparison.json, in percent; a star is `real`."""
    text = "\n".join(table(several, 80))
    document = several.to_json()
    for row in document["summary"]:
        assert f"{100 * row['mean']:.1f} [" in text
    for found in document["differences"]:
        assert f"{100 * found['score']:+.1f} [" in text
    stars = sum(line.count("]*") for line in table(several, 80))
    assert stars == sum(d["real"] for d in document["differences"])
    assert "reference" in text


async def test_notes_are_printed(several: Scoreboard) -> None:
    """What a reader should know stands below the table."""
    noted = replace(several, notes=("mind the \x1b[2J gap",))
    assert table(noted, 80)[-1] == "note: mind the \N{REPLACEMENT CHARACTER}[2J gap"


async def test_a_prompt_is_printed_safely(several: Scoreboard) -> None:
    """Escapes in a learned prompt are shown, and a long prompt is cut."""
    row = several.rows[0]
    runs = tuple(
        replace(run, result=replace(run.result, prompt="\x1b[2J" + 90 * "x")) for run in row.runs
    )
    lines = table(replace(several, rows=(replace(row, runs=runs), *several.rows[1:])), 80)
    assert "\x1b" not in "\n".join(lines)
    assert any(line.endswith("x...") and len(line) == 80 for line in lines)


async def test_without_any_score(several: Scoreboard) -> None:
    """Arms without scores are still listed."""
    rows = tuple(replace(row, dev=None, test=None, gain=None, against=None) for row in several.rows)
    lines = table(replace(several, rows=rows, split=None, n=0), 80)
    assert sum(line.startswith("bdpl ") for line in lines) == 4
