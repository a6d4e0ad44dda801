"""Files with other separators than commas: which it is, and a copy that the engine reads."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from bdpl_async.data.datafile import read_rows
from bdpl_async.drafting.commas import separator, write_commas
from bdpl_async.errors import DataError

HEADERS = [
    ("text,label\n", ","),
    ("text;label\n", ";"),
    ("\ufefftext;label\r\n", ";"),
    ("text\tlabel\n", "\t"),
    ('id;"text, in short";label\n', ";"),
    ('"a;b;c",label\n', ","),
    ("text\n", ","),
    ("", ","),
]


@pytest.mark.parametrize(("header", "mark"), HEADERS)
def test_the_header_tells_the_separator(header: str, mark: str, tmp_path: Path) -> None:
    """The separator is the one that parts the header into the most columns; commas by default."""
    file = tmp_path / "t.csv"
    file.write_text(header + "a, b and c, d;1\n", encoding="utf-8", newline="")
    assert separator(file) == mark


@pytest.mark.parametrize("name", ["t.tsv", "t.jsonl", "t.parquet"])
def test_only_csv_is_looked_at(name: str, tmp_path: Path) -> None:
    """What is not called csv is left to its own reader."""
    (tmp_path / name).write_text("a;b\n")
    assert separator(tmp_path / name) == ","


def test_the_copy_says_the_same(tmp_path: Path) -> None:
    """Commas, quotes and line breaks within fields come through, and the source stays as it is."""
    source, copy = tmp_path / "t.csv", tmp_path / "copy.csv"
    content = b'\xef\xbb\xbftext;label\r\n"one; two, three ""four""\nfive";a\r\nplain, text;b\r\n'
    source.write_bytes(content)
    write_commas(source, copy, ";")
    assert read_rows(copy, ["text", "label"]) == [
        {"text": 'one; two, three "four"\nfive', "label": "a"},
        {"text": "plain, text", "label": "b"},
    ]
    assert source.read_bytes() == content


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444])
def test_the_copy_has_the_rights_of_its_source(mode: int, tmp_path: Path) -> None:
    """What only some may read in the source, no others read in the copy."""
    source, copy = tmp_path / "t.csv", tmp_path / "copy.csv"
    source.write_text("text;label\na;b\n")
    source.chmod(mode)
    before = os.umask(0)
    try:
        write_commas(source, copy, ";")
    finally:
        os.umask(before)
    assert stat.S_IMODE(copy.stat().st_mode) == mode


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """A file that is there stays as it is."""
    source, copy = tmp_path / "t.csv", tmp_path / "copy.csv"
    source.write_text("text;label\na;b\n")
    copy.write_text("mine")
    with pytest.raises(DataError, match="cannot be written"):
        write_commas(source, copy, ";")
    assert copy.read_text() == "mine"


BROKEN = [
    (b"text;label\na;b\nc\n", "line 3: 1 instead of 2 fields"),
    (b'text;label\n"a;b\n', "line 2: not valid CSV"),
    (b"text;label\n\xff;b\n", "not UTF-8"),
]


@pytest.mark.parametrize(("content", "part"), BROKEN)
def test_what_is_broken_is_named_in_the_source(content: bytes, part: str, tmp_path: Path) -> None:
    """An error names the file that the person knows, and no half of a copy stays."""
    source, copy = tmp_path / "t.csv", tmp_path / "copy.csv"
    source.write_bytes(content)
    with pytest.raises(DataError, match=part) as error:
        write_commas(source, copy, ";")
    assert str(error.value).startswith(str(source))
    assert not copy.exists()
