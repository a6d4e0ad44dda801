"""Small text files: whole, within a limit, or refused in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from bdpl_async.data.textfile import exists, read_text
from bdpl_async.errors import ConfigError


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    """Editors on Windows write one; it does not reach the parser."""
    path = tmp_path / "a"
    path.write_bytes(b"\xef\xbb\xbfabc")
    assert read_text(path, most=10, hint="") == "abc"


def test_the_limit_is_the_most_that_is_read(tmp_path: Path) -> None:
    """A file of exactly the limit is taken, one byte more is refused."""
    path = tmp_path / "a"
    path.write_bytes(b"x" * 10)
    assert len(read_text(path, most=10, hint="")) == 10
    with pytest.raises(ConfigError, match="larger than 9 bytes"):
        read_text(path, most=9, hint="")


def test_an_endless_file_is_refused_at_once() -> None:
    """No more than the limit is read, whatever the file claims to be."""
    with pytest.raises(ConfigError, match="larger than"):
        read_text(Path("/dev/zero"), most=1000, hint="")


@pytest.mark.parametrize("name", ["missing", "\0", "x" * 5000])
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    """The message has the path, the reason and the hint, never a traceback of the system's."""
    with pytest.raises(ConfigError, match="cannot be read") as caught:
        read_text(tmp_path / name, most=10, hint="take another")
    assert caught.value.hint == "take another"
    assert not exists(tmp_path / name)
