"""The rules of `bdpl_cli.columns`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bdpl_cli.columns import aligned, unbroken, wrapped


def test_a_number_and_its_unit_stay_together() -> None:
    """No line begins with the unit of the number before."""
    text = "done: 200 updates, 871,883 tokens, 39.3 s"
    for width in range(12, len(text)):
        lines = wrapped(text, width)
        assert not any(line.strip() == "s" for line in lines)
        assert " ".join(line.strip() for line in lines) == text


@given(st.text("ab 1%s\x1b\x00\n", max_size=60), st.integers(10, 40))
def test_wrapped_text_is_safe_and_fits(text: str, width: int) -> None:
    """Lines hold no character that a terminal obeys, and none is longer than asked for."""
    for line in wrapped(text, width):
        assert len(line) <= width
        assert not set(line) & set("\x1b\x00\n")


def test_a_path_is_never_broken() -> None:
    """What must be copied stays whole, however long."""
    path = "/a-very/" + "long-" * 40 + "path"
    assert path in "\n".join(unbroken(f"  give {path} instead")).split()


def test_columns_end_together() -> None:
    """Words start together, numbers end together."""
    assert aligned([("a", "1"), ("bcd", "22")]) == ["a     1", "bcd  22"]
