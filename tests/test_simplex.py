"""The rules of `bdpl_async.simplex`."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from bdpl_async.simplex import project

Rows = NDArray[np.float64]
ORDINARY = arrays(
    np.float64,
    array_shapes(min_dims=2, max_dims=2, max_side=12),
    elements=st.floats(-1e3, 1e3),
)
WILD = arrays(
    np.float64,
    array_shapes(min_dims=2, max_dims=2, max_side=12),
    elements=st.floats(-1e300, 1e300),
)


def by_bisection(row: Rows) -> Rows:
    """The projection as max(x - t, 0), with t found by halving an interval that holds it."""
    low, high = float(row.max()) - 1.0, float(row.max())
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if np.maximum(row - middle, 0).sum() > 1 else (low, middle)
    found: Rows = np.maximum(row - high, 0)
    return found


@given(ORDINARY)
def test_projection_equals_a_brute_force_solver(rows: Rows) -> None:
    """The sorted solution is the one that bisection on the threshold finds."""
    expected = np.stack([by_bisection(row) for row in rows])
    # The solver subtracts numbers up to 1e3: it keeps 13 digits, times 12 columns.
    np.testing.assert_allclose(project(rows), expected, rtol=0, atol=1e-11)


@given(ORDINARY)
def test_no_corner_of_the_simplex_lies_on_the_far_side(rows: Rows) -> None:
    """(x - p).(q - p) <= 0 for every corner q: the condition that only the nearest point meets."""
    for row, point in zip(rows, project(rows), strict=True):
        towards = np.eye(len(row)) - point
        assert ((towards @ (row - point)) <= 1e-9).all()


@given(WILD)
def test_rows_lie_on_the_simplex_whatever_goes_in(rows: Rows) -> None:
    """Entries are finite and not negative and rows sum to one, up to inputs of 1e300."""
    points = project(rows)
    assert (points >= 0).all()
    np.testing.assert_allclose(points.sum(axis=1), 1.0, rtol=0, atol=1e-15 * rows.shape[1])


@given(ORDINARY)
def test_projecting_twice_changes_nothing(rows: Rows) -> None:
    """A point of the simplex is its own projection."""
    once = project(rows)
    # Two sums of 12 numbers below one are rounded on the way.
    np.testing.assert_allclose(project(once), once, rtol=0, atol=5e-15)


@given(ORDINARY)
def test_the_input_is_not_changed(rows: Rows) -> None:
    """The caller's array is read only."""
    before = rows.copy()
    project(rows)
    np.testing.assert_array_equal(rows, before)


@pytest.mark.parametrize("total", [0.0, 0.2, 0.999, 1.001, 5.0])
def test_a_row_that_sums_wrongly_is_repaired(total: float) -> None:
    """Rows that sum below one are mended like those above: what is missing is shared equally."""
    row = total * np.array([[0.5, 0.3, 0.2]])
    expected = by_bisection(row[0])
    np.testing.assert_allclose(project(row)[0], expected, atol=1e-14)
    assert project(row).sum() == pytest.approx(1.0, abs=1e-15)


def test_ties_stay_ties() -> None:
    """Equal entries get equal probability, exactly."""
    points = project(np.array([[0.7, 0.7, 0.7, -1.0], [2.0, 2.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]))
    np.testing.assert_array_equal(points[0, :3], points[0, 0])
    np.testing.assert_array_equal(points[1], [0.5, 0.5, 0.0, 0.0])
    np.testing.assert_array_equal(points[2], 0.25)


def test_small_differences_survive_a_large_offset() -> None:
    """Only differences within a row count: an offset of 2^30 loses no digit of them."""
    row = np.array([[0.5, 0.25, 0.125]])
    np.testing.assert_array_equal(project(row + 2.0**30), project(row))
