"""Answers kept beside a run: what was scored can be counted again without asking again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import orjson
import pytest

from bdpl_async.answers import Answers, answers_document
from bdpl_async.records import Prompt
from bdpl_async.task import Task
from bdpl_async.tuning import tune
from bdpl_providers.simulated import Simulated
from tests.workbench import write_task


def test_a_row_without_an_answer_is_no_prediction_and_null_on_disk() -> None:
    """NaN is -1 among the predictions, and null in the document, never a number."""
    rows = np.array([[-0.1, -2.0], [np.nan, np.nan], [-3.0, -0.2]])
    answers = Answers(np.array([0, 1, 1]), rows)
    assert answers.predictions.tolist() == [0, -1, 1]
    document = orjson.loads(orjson.dumps(answers_document(("a", "b"), {"dev": {"empty": answers}})))
    assert document["values"] == ["a", "b"]
    assert document["dev"]["labels"] == [0, 1, 1]
    assert document["dev"]["empty"] == [[-0.1, -2.0], [None, None], [-3.0, -0.2]]


async def test_the_scores_of_a_run_follow_from_its_answers(tmp_path: Path) -> None:
    """result.json's scores are those of answers.json, and the files are private."""
    path = write_task(tmp_path, ('dev = "dev.tsv"', 'dev = "dev.tsv"\ntest = "dev.tsv"'))
    out = tmp_path / "run"
    result = await tune(Task.from_toml(path), Simulated(), out=out)
    document = orjson.loads((out / "answers.json").read_bytes())
    sides = {"learned": result, "empty": result.baseline}
    for split in ("dev", "test"):
        truth = np.array(document[split]["labels"])
        for role, side in sides.items():
            right = np.array(document[split][role]).argmax(axis=1) == truth
            assert right.mean() == pytest.approx(getattr(side, split).score)
    assert (out / "answers.json").stat().st_mode & 0o777 == 0o600


async def test_the_learned_distributions_are_kept(tmp_path: Path) -> None:
    """policy.json has a row on the simplex for each position, over the candidates as named."""
    out = tmp_path / "run"
    task = Task.from_toml(write_task(tmp_path))
    await tune(task, Simulated(), out=out)
    document = orjson.loads((out / "policy.json").read_bytes())
    assert document["vocabulary"] == list(task.vocabulary())
    rows = np.array(document["probabilities"])
    assert rows.shape == (3, len(document["vocabulary"]))
    np.testing.assert_allclose(rows.sum(axis=1), 1.0)


async def test_a_method_without_distributions_keeps_none(tmp_path: Path) -> None:
    """A prompt that is not searched for has no policy.json."""
    out = tmp_path / "run"
    await tune(Task.from_toml(write_task(tmp_path)), Simulated(), out=out, method="empty")
    assert (out / "answers.json").exists()
    assert not (out / "policy.json").exists()
    assert Prompt().text == orjson.loads((out / "result.json").read_bytes())["prompt"]
