"""Which rows: few-shot draws, stratified splits and minibatches, as lists of row indices.

Everything follows from the labels and the random generator given, so that a seed names one draw
on every machine. Labels are class indices; `names`, where taken, only serves messages.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bdpl_async.errors import DataError

__all__ = ["k_shot", "k_shot_pair", "minibatch", "split"]

_MINIBATCHES = 0xBDB1
"""Keeps this module's random stream apart from others that start from the same seed."""

Indices = NDArray[np.intp]


def k_shot(
    labels: Sequence[int], k: int, rng: np.random.Generator, names: Sequence[str] | None = None
) -> list[int]:
    """`k` rows of each class, drawn without replacement; sorted.

    Raises:
        DataError: a class has fewer than `k` rows; with `names`, one without rows counts.
    """
    drawn = _draw(labels, k, f"{k}", rng, names)
    return _sorted(drawn)


def k_shot_pair(
    labels: Sequence[int],
    k: int,
    rng: np.random.Generator,
    names: Sequence[str] | None = None,
    last: Sequence[int] = (),
) -> tuple[list[int], list[int]]:
    """Two draws of `k` rows of each class that share no row: train and dev; each sorted.

    The rows in `last` are drawn only where a class has not enough others.

    Raises:
        DataError: a class has fewer than ``2 k`` rows.
    """
    drawn = _draw(labels, 2 * k, f"{2 * k}, {k} for train and {k} for dev", rng, names, last)
    return _sorted([rows[:k] for rows in drawn]), _sorted([rows[k:] for rows in drawn])


def split(
    labels: Sequence[int], fraction: float, rng: np.random.Generator
) -> tuple[list[int], list[int]]:
    """All rows on two sides, `fraction` of each class on the first; each side sorted.

    A class of two or more rows stands on both sides; one of a single row on the first.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"fraction must lie between 0 and 1, not {fraction}")
    first: list[Indices] = []
    second: list[Indices] = []
    for rows in _classes(labels, None):
        cut = min(max(round(fraction * len(rows)), 1), max(len(rows) - 1, 1))
        shuffled = rng.permutation(rows)
        first.append(shuffled[:cut])
        second.append(shuffled[cut:])
    return _sorted(first), _sorted(second)


def minibatch(labels: Sequence[int], size: int, step: int, seed: int) -> list[int]:
    """The rows of update number `step`, from 0, as balanced over classes as the data are.

    Batches are consecutive slices of a shuffled epoch, so within an epoch no row comes twice; what
    is left at its end and does not fill a batch sits that epoch out. With `size` rows or fewer in
    all, every batch is all of them. The arguments alone decide: a resumed run needs no state.
    """
    if size < 1 or step < 0 or not len(labels):
        raise ValueError("minibatch needs rows, a size of at least 1 and a step of at least 0")
    per_epoch = max(len(labels) // size, 1)
    epoch, place = divmod(step, per_epoch)
    order = _interleaved(labels, np.random.default_rng([seed, epoch, _MINIBATCHES]))
    return [int(row) for row in order[place * size : (place + 1) * size]]


def _interleaved(labels: Sequence[int], rng: np.random.Generator) -> Indices:
    """A shuffle in which each class is spread evenly, so that every slice holds its share.

    The j-th of a class's n rows stands at (j + u) / n of the way through, u random per class.
    """
    rows = [rng.permutation(group) for group in _classes(labels, None)]
    places = [(np.arange(len(group)) + rng.random()) / len(group) for group in rows]
    return np.concatenate(rows)[np.argsort(np.concatenate(places), kind="stable")]


def _draw(
    labels: Sequence[int],
    count: int,
    wanted: str,
    rng: np.random.Generator,
    names: Sequence[str] | None,
    last: Sequence[int] = (),
) -> list[Indices]:
    """`count` random rows of each class; `wanted` says in the error what they are for."""
    if count < 1:
        raise ValueError("k must be at least 1")
    drawn = []
    for index, rows in enumerate(_classes(labels, names)):
        if len(rows) < count:
            name = repr(names[index]) if names is not None else f"number {labels[int(rows[0])]}"
            raise DataError(
                f"class {name} has {len(rows)} rows, k_shot needs {wanted}",
                hint="lower k_shot or add rows of that class",
            )
        shuffled = rng.permutation(rows)
        drawn.append(shuffled[np.argsort(np.isin(shuffled, last), kind="stable")][:count])
    return drawn


def _classes(labels: Sequence[int], names: Sequence[str] | None) -> list[Indices]:
    """The rows of each class: one array for each name, else for each label that occurs."""
    array = np.asarray(labels, dtype=np.intp)
    present = np.unique(array) if names is None else np.arange(len(names))
    return [np.flatnonzero(array == label) for label in present]


def _sorted(groups: Sequence[Indices]) -> list[int]:
    """All indices of all groups in ascending order."""
    return sorted(int(row) for group in groups for row in group)
