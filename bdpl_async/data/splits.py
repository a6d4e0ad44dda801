"""Which examples are train, dev and test: as given, cut from train, or the paper's k-shot protocol.

Everything follows from the examples and the seed. This module knows neither files nor columns.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bdpl_async.data.sampling import k_shot, k_shot_pair, minibatch, split
from bdpl_async.errors import DataError
from bdpl_async.records import Example

__all__ = ["Source", "Split", "Terms", "divide"]

DEV_FRACTION = 0.5
LARGEST_OWN_DEV = 200
SPLITS = 0x5B117  # names the random stream of splits, apart from those of a run

Rows = list[Example]


class Source(Protocol):
    """Where the examples come from; a split is read when it is needed, and not before."""

    @property
    def splits(self) -> Container[str]:
        """Which of train, dev and test there are."""

    def name(self, split: str) -> str:
        """What messages call a split: its file."""

    def read(self, split: str) -> Rows:
        """All examples of a split."""


@dataclass(frozen=True, slots=True)
class Split:
    """Examples of one split, in a fixed order in which every prefix is a fair sample."""

    examples: tuple[Example, ...] = ()

    def __len__(self) -> int:
        return len(self.examples)

    @property
    def labels(self) -> NDArray[np.int64]:
        """(n,) label indices."""
        return np.array([example.label for example in self.examples], np.int64)

    def rows(self) -> list[dict[str, str]]:
        """The rows as text, for a fingerprint."""
        return [{**example.columns, "": str(example.label)} for example in self.examples]


@dataclass(frozen=True, slots=True)
class Terms:
    """How to divide.

    Attributes:
        values: the label values, for messages and so that none is absent.
        k: examples of each class for train and for dev; None takes all.
        seed: of every draw.
        paper: whether the paper's protocol holds.
    """

    values: Sequence[str]
    k: int | None
    seed: int
    paper: bool = False


def divide(source: Source, terms: Terms) -> dict[str, Split]:
    """train, dev and test.

    Plainly: the splits as they are, `k` of each class for train and dev if `k` is given; a dev
    split is cut from train where none is given.

    By the paper: train and dev are `k` of each class out of train, without a text in common, and
    what the data set calls dev is the test set, unless there is a test set. Where some class has
    fewer than 2 `k` different rows in train, and there is a dev split, both are k-shot splits
    already: they are kept, less what is beyond `k` of a class, a smaller class whole, and the test
    set is the given one or none. A test row whose text is in train is not dropped; the draws of k
    leave such texts alone where a class has enough others.

    Raises:
        DataError: a class is absent from train, or too small.
    """
    rng = np.random.default_rng([terms.seed, SPLITS])
    train = source.read("train")
    counts = Counter(example.label for example in train)
    absent = [value for i, value in enumerate(terms.values) if not counts[i]]
    if absent:
        raise DataError(
            f"{source.name('train')}: no row has the label {', '.join(map(repr, absent))}",
            hint="every label of task.labels needs examples in train",
        )
    parts = (_by_paper if terms.paper else _plainly)(source, train, terms, rng)
    return {name: Split(_fair(rows)) for name, rows in parts.items()}


def _plainly(
    source: Source, train: Rows, terms: Terms, rng: np.random.Generator
) -> dict[str, Rows]:
    dev, test = _given(source, "dev"), _given(source, "test")
    if not dev:
        with _naming(source.name("train")):
            train, dev = _own_dev(train, terms, rng, ())
    elif terms.k is not None:
        train = _drawn(source.name("train"), train, terms, rng)
        dev = _drawn(source.name("dev"), dev, terms, rng)
    return {"train": train, "dev": dev, "test": test}


def _by_paper(
    source: Source, train: Rows, terms: Terms, rng: np.random.Generator
) -> dict[str, Rows]:
    distinct = _distinct(train)
    counts = Counter(example.label for example in distinct)
    smallest = min(counts[i] for i in range(len(terms.values)))
    if "dev" in source.splits and terms.k is not None and smallest < 2 * terms.k:
        dev = source.read("dev")
        train, dev = _at_most(train, terms.k, rng), _at_most(dev, terms.k, rng)
        return {"train": train, "dev": dev, "test": _given(source, "test")}
    test = _given(source, "test") or _given(source, "dev")
    with _naming(source.name("train")):
        train, dev = _own_dev(distinct, terms, rng, test)
    return {"train": train, "dev": dev, "test": test}


def _distinct(rows: Rows) -> Rows:
    """The rows less those whose texts stood before, or one might be in train and in dev."""
    first: dict[tuple[str, ...], Example] = {}
    for row in rows:
        first.setdefault(_texts(row), row)
    return list(first.values())


def _texts(row: Example) -> tuple[str, ...]:
    return tuple(row.columns.values())


def _given(source: Source, split: str) -> Rows:
    return source.read(split) if split in source.splits else []


def _drawn(file: str, rows: Rows, terms: Terms, rng: np.random.Generator) -> Rows:
    with _naming(file):
        labels = [row.label for row in rows]
        return [rows[i] for i in k_shot(labels, terms.k or 0, rng, terms.values)]


def _at_most(rows: Rows, k: int, rng: np.random.Generator) -> Rows:
    """`k` rows of each class, or all that it has; in file order."""
    labels = np.array([row.label for row in rows])
    classes = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    kept = [place for found in classes for place in rng.permutation(found)[:k].tolist()]
    return [rows[i] for i in sorted(kept)]


@contextmanager
def _naming(file: str) -> Iterator[None]:
    """Put the file's name before the message of a `DataError` about its rows."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{file}: {error.args[0]}", hint=error.hint) from None


def _own_dev(
    rows: Rows, terms: Terms, rng: np.random.Generator, test: Sequence[Example]
) -> tuple[Rows, Rows]:
    """Two stratified parts of the training rows: `k` a class each, or about half and half.

    Of `k` a class none has a text of `test`, if there are enough others.
    """
    labels = [example.label for example in rows]
    if terms.k is not None:
        known = set(map(_texts, test))
        last = [i for i, row in enumerate(rows) if _texts(row) in known]
        kept, held = k_shot_pair(labels, terms.k, rng, terms.values, last)
    else:
        kept, held = split(labels, 1 - min(DEV_FRACTION, LARGEST_OWN_DEV / len(rows)), rng)
    if not held:
        raise DataError(
            f"{len(rows)} rows are too few to cut a dev split from",
            hint="add rows, or give task.dev a file of its own",
        )
    return [rows[i] for i in kept], [rows[i] for i in held]


def _fair(examples: Rows) -> tuple[Example, ...]:
    """The examples shuffled so that every prefix holds each class in its share."""
    if not examples:
        return ()
    labels = [example.label for example in examples]
    return tuple(examples[i] for i in minibatch(labels, len(labels), 0, SPLITS))
