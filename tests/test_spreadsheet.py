"""Cells of a CSV file."""

from __future__ import annotations

import pytest

from bdpl_async.studies.spreadsheet import shown


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\tx", "\uff1d1+1", " =1", "\ufeff=1", '"=1']
)
def test_a_formula_is_shown(text: str) -> None:
    """Text that a spreadsheet would compute gets an apostrophe."""
    assert shown(text) == f"'{text}"


@pytest.mark.parametrize(
    ("text", "safe"),
    [("a;=1", "a;'=1"), ("a; -1", "a;' -1"), ("a\n=1", "a\n'=1"), ("\r=1", "'\r'=1")],
)
def test_a_formula_is_shown_where_a_cell_may_begin(text: str, safe: str) -> None:
    """A spreadsheet whose columns end at semicolons begins cells in the midst of ours."""
    assert shown(text) == safe


@pytest.mark.parametrize("value", [-0.5, 3, None, "a =b", "a;b", "a,-b", ""])
def test_all_else_is_left_alone(value: object) -> None:
    """Numbers stay numbers, negative ones too."""
    assert shown(value) is value


def test_truth_is_spelled_as_in_toml() -> None:
    """A spreadsheet reads both spellings; the file has one."""
    assert (shown(True), shown(False)) == ("true", "false")
