"""A comparison for spreadsheets: a line an arm, a line a run, numbers as they are."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bdpl_async.studies.arms import Wanted
from bdpl_async.studies.boardsheet import ARMS, RUNS, sheets
from bdpl_async.studies.scoreboard import Scoreboard
from tests.test_scoreboard import board

METHODS = ("bdpl", "manual", "empty")


@pytest.fixture
async def found(tmp_path: Path) -> Scoreboard:
    """One model, three methods, two seeds."""
    wanted = Wanted(("simulated/a",), METHODS, (0, 1))
    return await board(tmp_path, wanted, prompt__manual="a film review:")


def read(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode())))


async def test_there_is_a_line_an_arm_and_a_line_a_run(found: Scoreboard) -> None:
    """In the order of the document, with the document's numbers, unformatted."""
    document = found.to_json()
    arms, runs = (read(sheets(document)[name]) for name in (ARMS, RUNS))
    assert [line["method"] for line in arms] == list(METHODS)
    assert [(line["method"], line["seed"]) for line in runs] == [
        (method, seed) for method in METHODS for seed in ("0", "1")
    ]
    for line, row in zip(arms, document["summary"], strict=True):
        assert float(line["test"]) == row["test"]["mean"]
        assert [float(line["dev_low"]), float(line["dev_high"])] == list(row["dev"]["ci95"])
        assert float(line["prompts"]) == row["prompts"]
        assert line["gain"] == ("" if row["gain"] is None else repr(row["gain"]["score"]))
        assert line["searches"] == str(row["searches"]).lower()
    for line, run in zip(runs, document["arms"], strict=True):
        assert float(line["gain"]) == run["gain"]["score"]
        assert float(line["empty_test"]) == run["baseline"]["test"]["score"]
        assert line["run"] == run["run"]
    first = {
        d["arm"]: d
        for d in document["differences"]
        if d["reference"] == document["summary"][0]["arm"]
    }
    assert [line["over_first"] for line in arms] == [
        "",
        *(repr(first[f"simulated/a {method}"]["score"]) for method in METHODS[1:]),
    ]


async def test_a_prompt_is_never_a_formula(found: Scoreboard) -> None:
    """A prompt that begins like a formula is shown; a negative number stays one."""
    document: dict[str, Any] = json.loads(json.dumps(found.to_json()))
    document["summary"][0]["best"]["prompt"] = "=HYPERLINK(1)"
    document["arms"][0]["prompt"] = "@sum"
    document["summary"][0]["gain"] = {
        "score": -0.5, "ci95": [-0.6, -0.4], "p_value": 0.1, "p_adjusted": 0.2, "real": False,
        "split": "test",
    }  # fmt: skip
    arms, runs = (read(sheets(document)[name]) for name in (ARMS, RUNS))
    assert (arms[0]["prompt"], runs[0]["prompt"]) == ("'=HYPERLINK(1)", "'@sum")
    assert (arms[0]["gain"], arms[0]["gain_low"], arms[0]["gain_real"]) == ("-0.5", "-0.6", "false")


async def test_arms_without_scores_have_the_same_columns(found: Scoreboard) -> None:
    """What is not known is an empty cell."""
    rows = tuple(replace(row, dev=None, test=None, gain=None, against=None) for row in found.rows)
    document = replace(found, rows=rows, split=None, n=0).to_json()
    for run in document["arms"]:
        run |= {"dev": None, "test": None, "gain": None, "baseline": {"dev": None, "test": None}}
    full, bare = sheets(found.to_json()), sheets(document)
    for name in (ARMS, RUNS):
        assert read(full[name])[0].keys() == read(bare[name])[0].keys()
        assert read(bare[name])[0]["test"] == ""
