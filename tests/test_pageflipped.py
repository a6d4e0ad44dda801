"""The rules of `bdpl_cli.page.flipped` and `certainty`: single answers, and how sure they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bdpl_async.answers import Answers
from bdpl_async.calibration import Offsets
from bdpl_async.markup import html
from bdpl_async.studies.explanation import flips
from bdpl_cli.page.certainty import certainty
from bdpl_cli.page.flipped import flipped
from bdpl_cli.page.material import Material
from tests.pagereader import Page, material_of, run_with_test

Capsys = pytest.CaptureFixture[str]


@pytest.fixture
def material(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capsys) -> Material:
    monkeypatch.chdir(tmp_path)
    return material_of(run_with_test(capsys, tmp_path))


def answered(material: Material, empty: list[float], learned: list[float]) -> Material:
    """The 16 test examples, answered with these probabilities of the right label."""
    labels = material.answers["empty"].labels
    roles = {}
    for role, right in {"empty": empty, "learned": learned}.items():
        shares = np.array(right)
        rows = np.where(labels[:, None] == np.arange(2), shares[:, None], 1 - shares[:, None])
        with np.errstate(divide="ignore"):
            roles[role] = Answers(labels, np.log(rows))
    kept = replace(material.kept, answers={"test": roles})
    explained = replace(material.explained, kept=kept, flips=flips(roles))
    return replace(material, explained=explained, events=())


def test_both_ways_are_told_with_their_texts(material: Material) -> None:
    """Text, truth, both answers and their probabilities; how many of each."""
    empty, learned = [0.2, 0.7] + [0.9] * 14, [0.8, 0.4] + [0.9] * 14
    drawn = flipped(answered(material, empty, learned))
    assert drawn is not None
    page = Page(html(drawn))
    assert "1 became right with the prompt and 1 became wrong; 14 are right" in page.text
    right, wrong = page.text.split("Became right: 1")[1].split("Became wrong: 1")
    assert "truthterriblebeforegreat 80.0 %afterterrible 80.0 %" in right
    assert "truthgreatbeforegreat 70.0 %afterterrible 60.0 %" in wrong
    columns = material.explained.task.test.examples[0].columns if material.explained.task else {}
    assert columns["text"] in right
    assert "test row 1" in right


def test_a_missing_answer_is_called_one(material: Material) -> None:
    """An example that got no answer before is no label."""
    found = answered(material, [0.9] * 16, [0.9] * 16)
    empty = found.answers["empty"].logprobs.copy()
    empty[0] = np.nan
    roles = {**found.answers, "empty": Answers(found.answers["empty"].labels, empty)}
    kept = replace(found.kept, answers={"test": roles})
    explained = replace(found.explained, kept=kept, flips=flips(roles))
    drawn = flipped(replace(found, explained=explained))
    assert drawn is not None
    assert "beforeno answer" in Page(html(drawn)).text


def test_a_model_that_only_says_labels_shows_no_probabilities(material: Material) -> None:
    """Zero and one are no probabilities: neither cards nor calibration tell them."""
    found = answered(material, [0.0, *[1.0] * 15], [1.0] * 16)
    assert found.decided
    drawn = flipped(found)
    assert drawn is not None
    assert "100.0 %" not in Page(html(drawn)).text
    assert certainty(found) is None
    assert not material.decided


def test_examples_beyond_the_first_are_folded(material: Material) -> None:
    """All sixteen are there, six of them at once."""
    drawn = flipped(answered(material, [0.1] * 16, [0.9] * 16))
    assert drawn is not None
    page = Page(html(drawn))
    assert len(page.all("li")) == 16
    assert "10 more that became right" in page.text


def test_the_calibration_error_is_told_for_both(material: Material) -> None:
    """Right every time at 90 % is ten points off; offsets are told label by label."""
    found = answered(material, [0.9] * 16, [0.75] * 16)
    drawn = certainty(found)
    assert drawn is not None
    text = Page(html(drawn)).text
    assert "10.0 points for the empty prompt, 25.0 points for the learned prompt" in text
    assert "much of it is chance" in text
    result = replace(found.result, calibration=Offsets("batch", (-0.5, -1.25)))
    kept = replace(found.kept, result=result)
    drawn = certainty(replace(found, explained=replace(found.explained, kept=kept)))
    assert drawn is not None
    assert "terrible-0.500" in Page(html(drawn)).text
