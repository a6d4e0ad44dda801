"""The rules of `bdpl_cli.page.classes`."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_fscore_support

from bdpl_async.answers import Answers
from bdpl_async.markup import html
from bdpl_async.metrics import confusion
from bdpl_cli.page.classes import class_scores, classes
from tests.pagereader import Page, material_of, run_with_test

CLASSES = 4
LABELS = st.integers(0, CLASSES - 1)


@given(st.lists(st.tuples(LABELS, st.integers(-1, CLASSES - 1)), min_size=1, max_size=40))
def test_scores_are_scikit_learns(pairs: list[tuple[int, int]]) -> None:
    """Precision, recall and F1 of each class; NaN where scikit-learn divides by zero."""
    truth, said = (list(side) for side in zip(*pairs, strict=True))
    found = class_scores(confusion(said, truth, CLASSES))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = precision_recall_fscore_support(
            truth, said, labels=range(CLASSES), zero_division=np.nan
        )
    for c, one in enumerate(found):
        for value, known in zip(
            (one.precision, one.recall, one.f1), (row[c] for row in expected[:3]), strict=True
        ):
            assert (math.isnan(value) and math.isnan(known)) or value == pytest.approx(known)
        assert one.support == expected[3][c]


def test_the_section_counts_what_was_answered(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both matrices, with a column for no answer where there was none, and scores side by side."""
    monkeypatch.chdir(tmp_path)
    material = material_of(run_with_test(capsys, tmp_path))
    labels = np.array([0, 0, 1, 1])
    rows = np.log(np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.3, 0.7]]))
    silent = rows.copy()
    silent[0] = np.nan
    roles = {"empty": Answers(labels, silent), "learned": Answers(labels, rows)}
    kept = replace(material.kept, answers={"test": roles})
    drawn = classes(replace(material, explained=replace(material.explained, kept=kept)))
    assert drawn is not None
    page = Page(html(drawn))
    assert page.text.count("no answer") == 1
    assert "On 4 test examples" in page.text
    assert "Precision before" in page.text
    assert "terrible" in page.text  # the label word, as the value is a mere number
    assert page.text.count("150 %") == 4  # one example, half of its row: in two cells of either
    alone = replace(kept, answers={"test": {"empty": roles["learned"]}})
    one = classes(replace(material, explained=replace(material.explained, kept=alone)))
    assert one is not None
    assert "empty prompt" in Page(html(one)).text
    assert "before" not in Page(html(one)).text
    none = replace(kept, answers={})
    assert classes(replace(material, explained=replace(material.explained, kept=none))) is None
