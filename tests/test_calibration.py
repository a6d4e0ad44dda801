"""The rules of `bdpl_async.calibration`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bdpl_async.calibration import (
    CONTENT_FREE,
    LEAST,
    Calibration,
    Offsets,
    calibrated,
    kind_of,
    offsets_of,
)
from bdpl_async.evaluation import predictions
from bdpl_async.losses import cross_entropy, log_softmax
from bdpl_async.task import Task
from tests.workbench import write_task

LOGS = arrays(np.float64, (3, 5, 4), elements=st.floats(-40, 0) | st.just(-np.inf))


def calibration(folder: Path, kind: str, method: str = "bdpl") -> Calibration:
    overrides = {"optimizer.calibration": kind, "optimizer.method": method}
    task = Task.from_toml(write_task(folder), overrides=overrides)
    return Calibration.of(task.config, task.template.columns)


def test_offsets_are_the_log_of_the_mean_distribution() -> None:
    """The mean is one of probabilities among the labels, per prompt, not of logarithms."""
    shares = np.array([[[0.9, 0.1], [0.5, 0.5]], [[0.2, 0.8], [0.4, 0.6]]])
    with_others = np.log(0.3 * shares)  # the rest of the model's belief is in other words
    assert np.exp(offsets_of(with_others)) == pytest.approx(np.array([[0.7, 0.3], [0.3, 0.7]]))


@given(LOGS)
def test_what_is_calibrated_is_a_distribution(logprobs: Any) -> None:
    """Whatever is ruled out, calibrated rows are finite and sum to one."""
    found = calibrated(logprobs, offsets_of(logprobs)[:, np.newaxis])
    assert np.isfinite(found).all()
    assert np.exp(found).sum(axis=-1) == pytest.approx(1.0)


@given(LOGS, st.integers(0, 4))
def test_a_row_without_an_answer_has_no_part(logprobs: Any, row: int) -> None:
    """Rows of NaN stay so, and the others are as if they had never been asked."""
    broken = logprobs.copy()
    broken[:, row] = np.nan
    rest = np.delete(logprobs, row, axis=1)
    assert np.allclose(offsets_of(broken), offsets_of(rest))
    found = calibrated(broken, offsets_of(broken)[:, np.newaxis])
    assert np.isnan(found[:, row]).all()
    assert not np.isnan(np.delete(found, row, axis=1)).any()


def test_without_any_answer_nothing_is_taken_off() -> None:
    """No row that was answered, or no row at all: all labels alike, and no warning."""
    for rows in (np.full((2, 3), np.nan), np.zeros((0, 3))):
        assert np.exp(offsets_of(rows)) == pytest.approx(np.full(3, 1 / 3))
    logprobs = np.log([[0.5, 0.3, 0.2]])
    assert calibrated(logprobs, offsets_of(np.zeros((0, 3)))) == pytest.approx(logprobs)


def test_a_label_that_is_never_said_is_not_lifted_to_the_others() -> None:
    """The offset of a label that the model rules out has a floor."""
    logprobs = np.array([[-0.1, -2.0, -np.inf], [-2.0, -0.1, -np.inf]])
    offsets = offsets_of(logprobs)
    assert offsets[2] == pytest.approx(np.log(LEAST))
    assert predictions(calibrated(logprobs, offsets)).tolist() == [0, 1]


def test_a_prejudice_is_taken_off() -> None:
    """A label that the prompt favours whatever the row says no longer wins for that."""
    evidence = np.array([[1.0, 0.0], [0.0, 1.0]] * 4)
    prejudiced = log_softmax(evidence + np.array([0.0, 4.0]))
    assert set(predictions(prejudiced)) == {1}
    empty = log_softmax([[0.0, 4.0]] * 3)
    for one in (Calibration("batch"), Calibration("contextual")):
        offsets = one.offsets(prejudiced, empty)
        assert offsets is not None
        assert predictions(calibrated(prejudiced, offsets)).tolist() == [0, 1] * 4


def test_none_changes_no_bit(tmp_path: Path) -> None:
    """Without calibration the very array comes back, and nothing is asked beside the rows."""
    plain = calibration(tmp_path, "none")
    answers = np.random.default_rng(0).normal(size=(3, 4, 2))
    assert plain.extra == ()
    assert np.array_equal(plain.applied(answers), answers)
    assert plain.offsets(answers, answers[:, :0]) is None
    assert plain.frozen(None) is None


def test_contextual_asks_texts_without_content(tmp_path: Path) -> None:
    """Every column is filled alike; the offsets are those of these texts and no others."""
    contextual = calibration(tmp_path, "contextual")
    assert [set(row.columns.values()) for row in contextual.extra] == [{f} for f in CONTENT_FREE]
    assert all(set(row.columns) == {"text"} for row in contextual.extra)
    answers = np.random.default_rng(0).normal(size=(3, 4 + len(CONTENT_FREE), 2))
    expected = calibrated(answers[:, :4], offsets_of(answers[:, 4:])[:, np.newaxis])
    assert np.array_equal(contextual.applied(answers), expected)


def test_batch_takes_the_rows_of_the_ask(tmp_path: Path) -> None:
    """Each prompt by its own rows; nothing more is asked."""
    batch = calibration(tmp_path, "batch")
    assert batch.extra == ()
    answers = np.random.default_rng(0).normal(size=(3, 4, 2))
    for prompt, found in zip(answers, batch.applied(answers), strict=True):
        assert np.array_equal(found, calibrated(prompt, offsets_of(prompt)))


def test_the_loss_of_a_balanced_batch_ignores_a_constant_lean() -> None:
    """Two rows that mirror each other lose nothing, however strongly the prompt leans."""
    for lean in (0.0, 2.0, 5.0):
        rows = log_softmax(np.array([[1.0, -1.0 + lean], [-1.0, 1.0 + lean]]))
        losses = cross_entropy(calibrated(rows, offsets_of(rows)), [0, 1])
        assert losses.mean() < 0.35


def test_the_method_calibration_calibrates(tmp_path: Path) -> None:
    """By the batch unless the key says otherwise; every other method does what the key says."""
    for method, kind, expected in [
        ("calibration", "none", "batch"),
        ("calibration", "contextual", "contextual"),
        ("calibration", "batch", "batch"),
        ("manual", "none", "none"),
        ("bdpl", "batch", "batch"),
    ]:
        overrides = {"optimizer.calibration": kind, "optimizer.method": method}
        assert kind_of(Task.from_toml(write_task(tmp_path), overrides=overrides).config) == expected


def test_frozen_offsets_come_back() -> None:
    """What `result.json` keeps is what is applied again."""
    frozen = Calibration("batch").frozen(np.array([-0.5, -1.0]))
    assert frozen == Offsets("batch", (-0.5, -1.0))
    assert Offsets.of({"kind": "batch", "offsets": [-0.5, -1]}) == frozen
    logprobs = np.log([[0.5, 0.5], [0.9, 0.1]])
    assert np.array_equal(frozen.applied(logprobs), calibrated(logprobs, np.array([-0.5, -1.0])))


@pytest.mark.parametrize(
    "document",
    [
        [],
        {},
        {"kind": "batch"},
        {"kind": "batch", "offsets": 3},
        {"kind": "batch", "offsets": [None]},
        {"kind": "batch", "offsets": [float("nan"), 0.0]},
    ],
)
def test_what_is_no_offsets_is_refused(document: Any) -> None:
    """A result that was edited is told by an error that readers of results expect."""
    with pytest.raises((KeyError, TypeError, ValueError)):
        Offsets.of(document)
