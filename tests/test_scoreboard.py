"""The outcome of a comparison: comparison.json holds what the contract says, and honest notes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest

from bdpl_async.studies.arms import Wanted, plan_arms
from bdpl_async.studies.boardsheet import ARMS, RUNS, sheets
from bdpl_async.studies.scoreboard import FILE, Scoreboard, scoreboard
from bdpl_async.studies.sidebyside import SideBySide
from bdpl_cli.connecting import connected
from tests.workbench import rows, write_task

TEST = ('dev = "dev.tsv"', 'dev = "dev.tsv"\ntest = "test.tsv"')
ARM = {"model", "method", "seed", "dev", "test", "usage", "latency", "prompt"}


async def board(
    folder: Path, wanted: Wanted, *, test: bool = True, **keys: int | str
) -> Scoreboard:
    """A finished comparison on the simulated model."""
    path = write_task(folder, *([TEST] if test else []))
    (folder / "test.tsv").write_text(rows(40, 300))
    overrides = {key.replace("__", "."): value for key, value in keys.items()}
    arms = plan_arms(path, overrides, wanted, folder / "out")
    runs: dict[str, list[Any]] = {arm.name: [] for arm in arms}
    async for arm, kept in SideBySide(arms, connected).runs():
        runs[arm.name].append(kept)
    return scoreboard(arms, runs)


async def test_the_contract(tmp_path: Path) -> None:
    """Every key of the contract is there, a run an entry; the file is strict JSON, and private."""
    found = await board(tmp_path, Wanted(("simulated/a",), ("bdpl", "empty"), (0, 1)))
    found.write(tmp_path)
    file = tmp_path / FILE
    assert file.stat().st_mode & 0o777 == 0o600

    def refuse(constant: str) -> float:
        raise AssertionError(constant)

    document = json.loads(file.read_bytes(), parse_constant=refuse)
    assert [(arm["method"], arm["seed"]) for arm in document["arms"]] == [
        ("bdpl", 0),
        ("bdpl", 1),
        ("empty", 0),
        ("empty", 1),
    ]
    for arm in document["arms"]:
        assert set(arm) >= ARM
        assert set(arm["latency"]) == {"p50", "p95"}
        assert arm["test"]["n"] == 40
        result = orjson.loads((tmp_path / "out" / arm["run"] / "result.json").read_bytes())
        assert all(result[key] == arm[key] for key in ARM - {"model"})
    for row in document["summary"]:
        low, high = row["ci95"]
        assert low <= row["mean"] <= high
        assert row["test"]["mean"] == row["mean"]
    assert len(document["examples_sha256"]) == 64
    keys = {"arm", "reference", "score", "ci95", "p_value", "p_adjusted", "real"}
    assert {frozenset(d) for d in document["differences"]} == {frozenset(keys)}


async def test_a_mean_is_of_the_runs(tmp_path: Path) -> None:
    """The mean is that of the runs' own scores where all have answered all examples."""
    found = await board(tmp_path, Wanted(("simulated/a",), ("bdpl",), (0, 1, 2)))
    document = found.to_json()
    for split in ("dev", "test"):
        scores = [arm[split]["score"] for arm in document["arms"]]
        assert document["summary"][0][split]["mean"] == pytest.approx(sum(scores) / 3)


async def test_the_examples_name_the_data_and_the_seeds(tmp_path: Path) -> None:
    """The same examples have the same fingerprint, whatever was run on them; others another."""
    one = await board(tmp_path, Wanted(("simulated/a",), ("empty",), (0,)))
    other = await board(tmp_path, Wanted(("simulated/b",), ("bdpl",), (0,)))
    assert one.examples_sha256 == other.examples_sha256
    folder = tmp_path / "cut"
    folder.mkdir()
    without = await board(folder, Wanted(("simulated/a",), ("empty",), (0,)), test=False)
    assert without.examples_sha256 != one.examples_sha256


async def test_without_a_test_split_dev_is_compared_and_said_to_be(tmp_path: Path) -> None:
    """Differences on the split that prompts were chosen on come with a warning."""
    found = await board(tmp_path, Wanted(("simulated/a",), ("bdpl", "empty")), test=False)
    assert found.split == "dev"
    assert found.rows[0].test is None
    assert found.rows[1].against is not None
    assert any("no test split" in note for note in found.notes)


async def test_one_seed_is_said_to_be_one(tmp_path: Path) -> None:
    """With one seed a difference is between two prompts, and a note says that it is no more."""
    found = await board(tmp_path, Wanted(("simulated/a",), ("bdpl", "empty"), (4,)))
    assert any(note.startswith("one seed") for note in found.notes)
    assert found.seeds == [4]


async def test_a_budget_that_cuts_the_test_split(tmp_path: Path) -> None:
    """Arms that could not answer all of it are compared on what all did, and a note says so."""
    wanted = Wanted(("simulated/a",), ("bdpl", "empty"))
    found = await board(tmp_path, wanted, budget__prompts=100)
    counts = {run["method"]: run["test"]["n"] for run in found.to_json()["arms"]}
    assert counts["bdpl"] < counts["empty"]
    assert found.n == counts["bdpl"]
    assert {row.test.n for row in found.rows if row.test} == {found.n}
    assert any(f"first {found.n} of 40 test" in note for note in found.notes)


async def test_the_best_prompt_is_the_best_on_dev(tmp_path: Path) -> None:
    """What the table shows is the prompt of the seed with the best dev score, not test score."""
    found = await board(tmp_path, Wanted(("simulated/a",), ("bdpl",), (0, 1, 2)))
    (row,) = found.rows
    best = max(run.result.dev.score for run in row.runs if run.result.dev)
    assert row.best.result.dev is not None
    assert row.best.result.dev.score == best


async def test_what_a_run_gained_and_took_stands_beside_its_scores(tmp_path: Path) -> None:
    """Each run has its gain, the empty prompt's scores, its pace; each arm the means of them."""
    found = await board(tmp_path, Wanted(("simulated/a",), ("bdpl", "empty"), (0, 1)))
    document = found.to_json()
    for run in document["arms"]:
        gain, base = run["gain"], run["baseline"]
        assert gain["score"] == pytest.approx(run["test"]["score"] - base["test"]["score"])
        assert set(gain) == {"score", "ci95", "p_value", "split"}
        usage = run["usage"]
        tokens = usage["prompt_tokens"] + usage["completion_tokens"]
        assert run["tokens_per_second"] == pytest.approx(tokens / usage["seconds"])
        assert run["failures"] == usage["failures"] == 0
        assert run["usd_per_point"] is None or gain["score"] > 0
    halves = (document["arms"][:2], document["arms"][2:])
    for row, runs in zip(document["summary"], halves, strict=True):
        assert row["prompts"] == sum(run["usage"]["prompts"] for run in runs) / 2
        assert row["tokens_per_second"] == pytest.approx(
            sum(run["tokens_per_second"] for run in runs) / 2
        )
        assert row["best"]["run"] in {run["run"] for run in runs}
    learned, empty = document["summary"]
    assert (learned["searches"], empty["searches"]) == (True, False)
    assert (empty["gain"], empty["usd_per_point"]) == (None, None)
    (gain,) = (d for d in document["differences"] if d["reference"] == "empty prompt")
    assert {key: learned["gain"][key] for key in ("score", "p_adjusted", "real")} == {
        key: gain[key] for key in ("score", "p_adjusted", "real")
    }


async def test_tables_for_spreadsheets_are_written_beside_it(tmp_path: Path) -> None:
    """comparison.csv and comparison-runs.csv, private; writing again changes nothing."""
    found = await board(tmp_path, Wanted(("simulated/a",), ("bdpl", "empty")))
    found.write(tmp_path)
    files = [tmp_path / name for name in (ARMS, RUNS, FILE)]
    before = [file.read_bytes() for file in files]
    assert [file.stat().st_mode & 0o777 for file in files] == [0o600] * 3
    assert {name: (tmp_path / name).read_bytes() for name in (ARMS, RUNS)} == sheets(
        found.to_json()
    )
    found.write(tmp_path)
    assert [file.read_bytes() for file in files] == before
