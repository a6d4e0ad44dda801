"""Data files as an enemy would write them: rows, or a message that names the file and the place."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bdpl_async.data.datafile import raw_rows, read_lines, read_rows
from bdpl_async.errors import DataError
from bdpl_async.vocabulary import MAX_LENGTH, pmi_vocabulary
from tests.hostile import ALL, SPELLS, TEXTS, examples, mutated, plain
from tests.workbench import command, rows, write_task

Capsys = pytest.CaptureFixture[str]
KINDS = ("tsv", "csv", "jsonl")
GOOD = {
    "tsv": b"text\tlabel\none\t0\ntwo\t1\n",
    "csv": b'text,label\n"one, ""and""\nmore",0\r\ntwo,1\n',
    "jsonl": b'{"text": "one", "label": 0}\n{"text": "two", "label": "1"}\n',
}
PIECES = st.sampled_from(
    [
        *(b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"),
        *(b"\t", b",", b";", b'"', b'""', b"\n", b"\r", b"\r\n", b"\x1a", b"\x85", b"\x0c"),
        *(b"{", b"[", b"}", b"]", b":", b"\\", b"\\u0000", b"\\ud800", b"\\ud83d\\ude00"),
        *(b"NaN", b"-Infinity", b"1e400", b"null", b"true", b"9" * 5000, b"0" * 30),
        *(b"[" * 100_000, b'{"a":' * 100_000, b"x" * 150_000, b'"text": 1, '),
        *(b"text\tlabel\n", b"text,label\n", b"\xe2\x80\xae"),
        *[spell.encode() for spell in SPELLS],
    ]
) | st.binary(max_size=5)
PAIRS = (("soup", "chair"), ("chair", "music"), ("garden", "bread"), ("letter", "story"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=3,
)


def read(path: Path) -> None:
    """Each way to read the file gives text that can be sent, or a message as it should be."""
    for reader in (lambda: read_rows(path, ["text", "label"]), lambda: list(raw_rows(path))):
        try:
            found = reader()
        except DataError as error:
            refused(path, error)
        else:
            for row in found:
                for text in (*row, *row.values()):
                    assert text is None or ("\0" not in text and text.encode() is not None)


def refused(path: Path, error: DataError) -> None:
    """The message names the file, in a few lines without any control character of the file's."""
    assert str(error).startswith(str(path))
    assert plain(str(error), lines=4, longest=2000), str(error)


@pytest.mark.parametrize("kind", KINDS)
@examples(120)
@given(data=st.data())
def test_any_bytes_are_rows_or_a_message(tmp_path: Path, kind: str, data: st.DataObject) -> None:
    """Bytes of any kind, random or worked into a good file, bring rows or a `DataError`."""
    path = tmp_path / f"a.{kind}"
    path.write_bytes(data.draw(mutated(GOOD[kind], PIECES) | st.binary(max_size=200)))
    read(path)


@examples(100)
@given(
    table=st.lists(st.lists(TEXTS, max_size=4), max_size=5), kind=st.sampled_from(["tsv", "csv"])
)
@example(table=[["text", "label"], [ALL, ALL]], kind="csv")
def test_ragged_tables(tmp_path: Path, table: list[list[str]], kind: str) -> None:
    """Rows of all lengths under headers of every character are rows or a `DataError`."""
    path = tmp_path / f"a.{kind}"
    if kind == "csv":
        out = io.StringIO()
        csv.writer(out).writerows([["text", "label"], *table])
        path.write_bytes(out.getvalue().encode())
    else:
        path.write_bytes("\n".join("\t".join(row) for row in table).encode())
    read(path)


@examples(100)
@given(st.lists(st.dictionaries(TEXTS | st.sampled_from(["text", "label"]), JSON, max_size=3)))
def test_objects_of_all_kinds(tmp_path: Path, found: list[dict[str, object]]) -> None:
    """JSON values of every type, under names of every character, are rows or a `DataError`."""
    path = tmp_path / "a.jsonl"
    path.write_text("".join(f"{json.dumps(one)}\n" for one in found))
    read(path)


@examples(60)
@given(raw=st.binary(max_size=200) | mutated(b"one\ntwo\n", PIECES))
def test_any_vocabulary(tmp_path: Path, raw: bytes) -> None:
    """A file of candidates or of a corpus is read as lines of text, or refused by name."""
    path = tmp_path / "words.txt"
    path.write_bytes(raw)
    try:
        assert read_lines(path)
    except DataError as error:
        refused(path, error)


def test_no_candidate_is_endless() -> None:
    """A word without an end in the midst of a phrase does not make a candidate without an end."""
    texts = [f"{one} and {two} {n}" for n, (one, two) in enumerate(PAIRS)]
    made = pmi_vocabulary([*texts, f"music {'9' * 5000}and cup"], 20)
    assert max(map(len, made)) <= MAX_LENGTH
    assert "music" in made


@pytest.mark.parametrize("words", [("estimate", "task.toml"), ("vocab", "task.toml"), ("init",)])
@examples(25)
@given(raw=mutated(rows(6).encode(), PIECES) | st.binary(max_size=100))
def test_commands_say_what_is_the_matter(
    tmp_path: Path,
    capsys: Capsys,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    raw: bytes,
) -> None:
    """Commands that read such a file end in 0 or 2, and print nothing that a terminal obeys."""
    monkeypatch.chdir(tmp_path)
    write_task(tmp_path)
    Path("train.tsv").write_bytes(raw)
    Path("made.toml").unlink(missing_ok=True)
    more = ("train.tsv", "--out", "made.toml") if words == ("init",) else ()
    done = command(capsys, *words, *more)
    assert done.code in (0, 2), done
    assert plain(done.err), done.err
    assert plain(done.out, lines=300, longest=2000), done.out
    if done.code:
        assert "train.tsv" in done.err
        assert not done.out


@examples(40)
@given(data=st.data())
def test_any_parquet(tmp_path: Path, data: st.DataObject) -> None:
    """A parquet file with damage anywhere is rows or a `DataError`, where pyarrow is there."""
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "a.parquet"
    columns = {"text": ["one", "two", ALL], "label": [0, 1, None]}
    parquet.write_table(pyarrow.table(columns), path)
    path.write_bytes(data.draw(mutated(path.read_bytes(), PIECES)))
    read(path)
