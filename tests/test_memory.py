"""The rules of `bdpl_async.memory`: answers stand, failures are not asked again, all is bounded."""

from __future__ import annotations

import pytest

from bdpl_async.caching.cache import Entry
from bdpl_async.errors import RequestFailed
from bdpl_async.memory import Memory
from bdpl_async.records import Score, Text


def test_what_was_answered_or_failed_is_known() -> None:
    """An answer, an error, or nothing known."""
    memory, error = Memory(), RequestFailed("too long")
    memory.keep({Text("a"): Entry(Score((-1.0,)))})
    memory.fail(Text("b"), error)
    assert memory.recall(Text("a")) == Score((-1.0,))
    assert memory.recall(Text("b")) is error
    assert memory.recall(Text("c")) is None


def test_label_mass_is_the_mean_of_what_is_told() -> None:
    """A model that tells no mass is not one of mass 0."""
    memory = Memory()
    memory.keep({Text("a"): Entry(Score((-1.0,)))})
    assert memory.mass is None
    memory.keep({Text("b"): Entry(Score((-1.0,), mass=0.2))})
    memory.keep({Text("c"): Entry(Score((-1.0,), mass=0.4))})
    assert memory.mass == pytest.approx(0.3)


def test_what_was_asked_longest_ago_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run with ever new texts stays flat, and forgets ask by ask: the order of answers is moot."""
    monkeypatch.setattr("bdpl_async.memory.CAPACITY", 3)
    memory = Memory()
    for number in range(5):
        first, second = Text(f"{number}a"), Text(f"{number}b")
        memory.ask([first, second], 0.0)
        memory.fail(second, RequestFailed("no"))
        memory.keep({first: Entry(Score((-1.0,)))})
        memory.done([first, second])
    known = [n for n in range(5) for c in "ab" if memory.recall(Text(f"{n}{c}")) is not None]
    assert known == [3, 3, 4, 4]
    assert memory.asked == 10


def test_a_failed_text_keeps_no_frames() -> None:
    """What is remembered of a failure is its words, not the reply that its frames hold."""

    def failed() -> RequestFailed:
        try:
            raise RequestFailed("no")
        except RequestFailed as error:
            return error

    memory, text = Memory(), Text("a")
    memory.fail(text, failed())
    known = memory.recall(text)
    assert isinstance(known, RequestFailed)
    assert known.__traceback__ is None
