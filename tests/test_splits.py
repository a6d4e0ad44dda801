"""Splits: the paper's protocol, and what it does where it cannot be kept."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bdpl_async.data.splits import Split, Terms, divide
from bdpl_async.errors import DataError
from bdpl_async.records import Example

VALUES = ("a", "b")


@dataclass
class Memory:
    """A source that remembers which splits were read."""

    splits: dict[str, list[Example]]
    seen: list[str] = field(default_factory=list)

    def name(self, split: str) -> str:
        return f"{split}.here"

    def read(self, split: str) -> list[Example]:
        self.seen.append(split)
        return self.splits[split]


def source(**sizes: tuple[int, int]) -> Memory:
    """Splits with so many rows of class 0 and of class 1, every text once."""
    return Memory(
        {
            split: [
                Example({"text": f"{split} {label} {i}"}, label)
                for label in (0, 1)
                for i in range(counts[label])
            ]
            for split, counts in sizes.items()
        }
    )


def texts(split: Split) -> set[str]:
    return {example.columns["text"] for example in split.examples}


def terms(k: int | None = 4, seed: int = 0, *, paper: bool = True) -> Terms:
    return Terms(VALUES, k, seed, paper)


@settings(max_examples=60)
@given(
    k=st.integers(1, 6),
    seed=st.integers(0, 99),
    more=st.tuples(st.integers(0, 20), st.integers(0, 20)),
)
def test_the_official_layout(k: int, seed: int, more: tuple[int, int]) -> None:
    """From a large train k a class are drawn for train and for dev; none is in both."""
    given_ = source(train=(2 * k + more[0], 2 * k + more[1]), dev=(5, 3))
    parts = divide(given_, terms(k, seed))
    for name in ("train", "dev"):
        assert Counter(parts[name].labels.tolist()) == {0: k, 1: k}
        assert all(text.startswith("train") for text in texts(parts[name]))
    assert not texts(parts["train"]) & texts(parts["dev"])
    assert len(parts["test"]) == 8
    assert all(text.startswith("dev") for text in texts(parts["test"]))


def test_a_test_file_is_the_test_set_and_dev_is_not_read() -> None:
    """Where there is a test set the official dev set is neither used nor read."""
    memory = source(train=(9, 9), dev=(5, 5), test=(2, 3))
    assert len(divide(memory, terms())["test"]) == 5
    assert memory.seen == ["train", "test"]


def test_without_dev_and_test() -> None:
    """A large train alone gives train and dev, and no test set."""
    parts = divide(source(train=(9, 9)), terms())
    assert [len(parts[name]) for name in ("train", "dev", "test")] == [8, 8, 0]


def test_k_shot_splits_are_kept() -> None:
    """A train of k a class and a dev split are taken as they are; dev is not the test set."""
    memory = source(train=(4, 4), dev=(4, 4))
    parts = divide(memory, terms())
    assert texts(parts["train"]) == {e.columns["text"] for e in memory.splits["train"]}
    assert texts(parts["dev"]) == {e.columns["text"] for e in memory.splits["dev"]}
    assert len(parts["test"]) == 0


def test_small_classes_give_what_they_have() -> None:
    """In k-shot splits a small class is taken whole, and of a large one k are drawn."""
    parts = divide(source(train=(3, 50), dev=(1, 50), test=(7, 7)), terms())
    assert Counter(parts["train"].labels.tolist()) == {0: 3, 1: 4}
    assert Counter(parts["dev"].labels.tolist()) == {0: 1, 1: 4}
    assert len(parts["test"]) == 14


def test_a_small_train_without_dev_is_refused() -> None:
    """Neither layout: the file, the class and what k_shot needs are named."""
    with pytest.raises(DataError, match=r"train\.here: class 'a' has 5 rows, k_shot needs 8"):
        divide(source(train=(5, 50), test=(5, 5)), terms())


def test_an_absent_class_is_refused() -> None:
    """A class without a row in train is refused whatever the protocol."""
    for paper in (True, False):
        with pytest.raises(DataError, match=r"train\.here: no row has the label 'b'"):
            divide(source(train=(9, 0), dev=(4, 4)), terms(paper=paper))


def test_repeated_texts_are_drawn_once() -> None:
    """A text that stands in train several times is never both in train and in dev."""
    memory = source(train=(9, 9))
    memory.splits["train"] += memory.splits["train"] * 3
    parts = divide(memory, terms())
    assert len(texts(parts["train"]) | texts(parts["dev"])) == 16
    with pytest.raises(DataError, match="class 'a' has 9 rows"):
        divide(memory, terms(5))


@pytest.mark.parametrize("test", ["dev", "test"])
def test_draws_avoid_the_texts_of_the_test_set(test: str) -> None:
    """A train text that test repeats is not learned from; a draw that met none stays as it was."""
    memory = source(train=(12, 12), **{test: (5, 5)})
    before = divide(memory, terms(2))
    drawn = texts(before["train"]) | texts(before["dev"])
    others = [e for e in memory.splits["train"] if e.columns["text"] not in drawn]
    memory.splits[test] += others[:4]
    assert [divide(memory, terms(2))[part] for part in ("train", "dev")] == [
        before[part] for part in ("train", "dev")
    ]
    memory.splits[test] += [e for e in memory.splits["train"] if e.columns["text"] in drawn][:6]
    after = divide(memory, terms(2))
    assert not (texts(after["train"]) | texts(after["dev"])) & texts(after["test"])
    assert len(after["test"]) == 20


def test_where_all_is_repeated_draws_take_what_there_is() -> None:
    """A class without enough other texts gives those, too: it is still k a class."""
    memory = source(train=(8, 8), test=(1, 1))
    memory.splits["test"] += memory.splits["train"]
    parts = divide(memory, terms(4))
    assert [len(parts[name]) for name in ("train", "dev", "test")] == [8, 8, 18]


def test_a_seed_names_a_draw() -> None:
    """The same seed draws the same rows, another seed others; the test set is always the same."""
    found = [divide(source(train=(90, 90), dev=(9, 9)), terms(seed=s)) for s in (0, 0, 1)]
    assert found[0] == found[1]
    assert texts(found[0]["train"]) != texts(found[2]["train"])
    assert found[0]["test"] == found[2]["test"]


def test_without_k_all_of_train_is_divided() -> None:
    """The paper's protocol without k_shot keeps its test set and divides all of train."""
    parts = divide(source(train=(20, 20), dev=(3, 3)), terms(None))
    assert len(parts["train"]) + len(parts["dev"]) == 40
    assert len(parts["test"]) == 6


def test_plainly_dev_stays_dev() -> None:
    """Without the paper's protocol splits are what they are called."""
    parts = divide(source(train=(20, 20), dev=(6, 6)), terms(4, paper=False))
    assert all(text.startswith("dev") for text in texts(parts["dev"]))
    assert len(parts["test"]) == 0
