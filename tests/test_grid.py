"""Points of a grid: how many, in which order, and in which folders they live."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from bdpl_async.overrides import Value
from bdpl_async.studies.grid import Point, Sweep

VALUES = st.one_of(st.integers(), st.booleans(), st.text(), st.floats(allow_nan=False))


def sweep(
    grid: dict[str, list[Value]], *picked: dict[str, Value], name: str = "s", task: str = "reviews"
) -> Sweep:
    return Sweep(
        source=Path("s.toml"),
        name=name,
        task=task,
        out=None,
        shared={},
        grid=grid,
        cells=picked,
        x="a.b",
        series=None,
    )


def test_every_combination_is_a_point_and_the_last_key_varies_fastest() -> None:
    """The points come in the order in which a person reads the grid."""
    points = sweep({"a.b": [1, 2], "run.seed": [0, 1]}).points
    assert [tuple(point.values.values()) for point in points] == [(1, 0), (1, 1), (2, 0), (2, 1)]
    assert [point.label for point in points][:2] == ["b=1 seed=0", "b=1 seed=1"]


def test_combinations_picked_by_hand_are_each_crossed_with_the_grid() -> None:
    """Two of [[cells]] and two seeds are four points, of just these combinations."""
    found = sweep({"run.seed": [0, 1]}, {"a.b": 1, "a.c": 5}, {"a.b": 2, "a.c": 6})
    assert found.keys == ("a.b", "a.c", "run.seed")
    assert [tuple(p.values.values()) for p in found.points] == [
        (1, 5, 0),
        (1, 5, 1),
        (2, 6, 0),
        (2, 6, 1),
    ]


@given(st.lists(VALUES, min_size=2, max_size=4, unique_by=repr))
def test_points_have_folders_of_their_own_and_plain_names(values: list[Value]) -> None:
    """Other values, another folder; the name is one part of a path, short enough for any disk."""
    folders = [Point({"a.b": value}).folder for value in values]
    assert len(set(folders)) == len(folders)
    for folder in folders:
        assert folder not in (".", "..")
        assert not set(folder) & set("/\\\0 \n'\"$")
        assert len(folder.encode()) <= 255


def test_the_folder_does_not_depend_on_the_order_of_the_keys() -> None:
    """The hash in a folder's name is of what is varied, not of how the file was written."""
    one = Point({"a.b": 1, "c.d": 2}).folder
    other = Point({"c.d": 2, "a.b": 1}).folder
    assert one.rpartition("-")[2] == other.rpartition("-")[2]


def test_a_sweep_is_within_one_that_has_more_cells() -> None:
    """A grid may grow, whatever is drawn of it; other tasks, settings or keys are another sweep."""
    small = sweep({"a.b": [1, 2]})
    assert small.within(sweep({"a.b": [1, 2, 3]}, name="other"))
    assert not sweep({"a.b": [1, 2, 3]}).within(small)
    assert not small.within(sweep({"a.b": [1, 2]}, task="sst2"))
    assert not small.within(sweep({"a.b": [1, 2], "run.seed": [0]}))
