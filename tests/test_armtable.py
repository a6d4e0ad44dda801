"""The table of a comparison: it fits a terminal, hides nothing, and obeys no escape."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bdpl_async.result import Totals
from bdpl_async.studies.arms import Wanted
from bdpl_async.studies.comparison import Difference
from bdpl_async.studies.scoreboard import Scoreboard
from bdpl_cli.armtable import table
from tests.test_scoreboard import board

MODELS = ("simulated/a", "simulated/b")
METHODS = ("bdpl", "random", "empty")


@pytest.fixture
async def several(tmp_path: Path) -> Scoreboard:
    """Two models, three methods, two seeds."""
    return await board(tmp_path, Wanted(MODELS, METHODS, (0, 1)))


async def test_it_fits_eighty_columns(several: Scoreboard) -> None:
    """No line of a usual comparison is wider than the terminal; a wider one shows more prompt."""
    assert max(map(len, table(several, 80))) <= 80
    wide = "\n".join(table(several, 200))
    assert all(row.best.result.prompt in wide for row in several.rows)


async def test_every_arm_stands_below_its_model(several: Scoreboard) -> None:
    """With several models each has a heading; with one it stands in the title."""
    lines = table(several, 80)
    headings = [line for line in lines if line in MODELS]
    assert headings[:2] == list(MODELS)
    assert headings == list(MODELS) * (len(headings) // 2)
    alone = replace(several, rows=several.rows[:3])
    assert "on simulated/a:" in table(alone, 80)[0]
    assert not set(table(alone, 80)) & set(MODELS)


async def test_the_numbers_are_the_documents(several: Scoreboard) -> None:
    """Scores and differences are those of comparison.json, in percent; a star is `real`."""
    text = "\n".join(table(several, 80))
    document = several.to_json()
    for row in document["summary"]:
        low, high = (100 * end for end in row["ci95"])
        assert f"{100 * row['mean']:.1f} [{low:.1f} to {high:.1f}]" in text
    for found in document["differences"]:
        low, high = (100 * end for end in found["ci95"])
        assert f"{100 * found['score']:+.1f} [{low:+.1f} to {high:+.1f}]" in text
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
    tables = sum(line.startswith("arm ") for line in lines)
    assert sum(line.startswith("bdpl ") for line in lines) == 2 * tables
    assert not any(line.rstrip().endswith(" -") for line in lines if line.startswith("bdpl "))


async def test_a_wide_terminal_has_one_table(several: Scoreboard) -> None:
    """All numbers of an arm stand in one line where there is room, and the same are shown."""
    wide, narrow = table(several, 300), table(several, 80)
    assert sum(line.startswith("arm ") for line in wide) == 2  # the other one is of prompts
    assert sum(line.startswith("arm ") for line in narrow) > 2

    def heads(lines: list[str]) -> list[str]:
        return [word for line in lines if line.startswith("arm ") for word in line.split()[1:]]

    assert heads(wide) == [word for word in heads(narrow) if word != "arm"]


async def test_without_a_test_split_dev_is_shown(tmp_path: Path) -> None:
    """There is no column without a number: differences are on dev, and the legend says so."""
    found = await board(tmp_path, Wanted(("simulated/a",), ("bdpl", "empty")), test=False)
    text = "\n".join(table(found, 80))
    assert "test %" not in text
    assert "over empty" in text
    assert "in points on dev" in " ".join(text.split())
    (against,) = (row.against for row in found.rows if row.against)
    assert f"{100 * against.score:+.1f} [" in text


async def test_a_prompt_that_was_not_learned_is_called_fixed(several: Scoreboard) -> None:
    """Only searches learn a prompt."""
    lines = table(several, 80)
    prompts = lines[[line.split() for line in lines].index(["arm", "prompt"]) :]
    kinds = {line.split()[0]: line.split()[1] for line in prompts if line.startswith(METHODS)}
    assert kinds == {"bdpl": "learned", "random": "learned", "empty": "fixed"}


def priced(board: Scoreboard, usd: float) -> Scoreboard:
    rows = [
        replace(
            row,
            runs=tuple(
                replace(run, result=replace(run.result, usage=Totals(usd=usd), spending=None))
                for run in row.runs
            ),
        )
        for row in board.rows
    ]
    gain = Difference("arm", "empty prompt", 0.05, (0.01, 0.09), 0.01, 0.02)
    return replace(board, rows=(replace(rows[0], gain=gain), *rows[1:]))


async def test_a_point_is_priced_where_it_was_gained(several: Scoreboard) -> None:
    """USD of a run over points gained, and a legend that says when; else a dash."""
    text = "\n".join(table(priced(several, 0.5), 300))
    assert "USD a point" in text
    assert "0.1000" in text  # 0.5 USD for 5 points
    assert "where that is above zero" in " ".join(text.split())
    assert "USD a point" not in "\n".join(table(several, 300))


async def test_small_sums_keep_their_digits(several: Scoreboard) -> None:
    """What is less than a tenth of a cent is not shown as nothing."""
    assert "0.000012" in "\n".join(table(priced(several, 0.000012), 300))


async def test_other_prompts_with_the_same_answers_are_said_to_be(several: Scoreboard) -> None:
    """A prompt that changes no answer has no gain to show, and is not mistaken for none."""
    rows = tuple(replace(row, gain=None) for row in several.rows)
    lines = [line for line in table(replace(several, rows=rows), 300) if "[" in line]
    assert all(("same answers" in line) == (not line.startswith("empty")) for line in lines[:6])
