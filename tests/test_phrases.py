"""The rules of `bdpl_async.studies.phrases`."""

from __future__ import annotations

from bdpl_async.studies.phrases import PLAIN, phrases_for


def test_each_phrase_is_tried_once() -> None:
    """Given ones first, then the task's own, other tasks', plain ones; none empty, none twice."""
    found = phrases_for("mine", ["given", "mine", "", "given", PLAIN[0]])
    assert found[:3] == ("given", "mine", PLAIN[0])
    assert len(set(found)) == len(found)
    assert set(PLAIN) < set(found)
    assert "a film review:" in found  # the built-in example's
    assert "" not in found


def test_a_task_needs_no_manual_prompt() -> None:
    """Without one the rest is tried."""
    assert None not in phrases_for(None)
    assert len(phrases_for(None)) > len(PLAIN) >= 12
