"""The rules of `bdpl_async.data.datafile`."""

from __future__ import annotations

import csv
import io
import json
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bdpl_async.data import datafile
from bdpl_async.data.datafile import read_rows, sha256_of
from bdpl_async.errors import DataError

SHARED = Path(__file__).parents[2] / "shared" / "data"
KINDS = ["tsv", "csv", "jsonl"]

printable = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\t\r\n"))
no_break = printable.filter(bool)


def write(folder: Path, name: str, content: bytes | str) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def refusal(path: Path, *columns: str) -> str:
    """The message with which `path` is refused; every one has a hint and a single line before."""
    with pytest.raises(DataError) as caught:
        read_rows(path, columns or ("text", "label"))
    message = str(caught.value)
    assert str(path) in message
    assert len(message.split("\n")) == 2
    return message


# What is read


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tsv", "text\tidx\tlabel\nfine\t7\t1\nbad\t8\t0\n"),
        ("a.tsv", "\ufefftext\tlabel\r\nfine\t1\r\nbad\t0"),
        ("a.TSV", "label\ttext\n1\tfine\n0\tbad\n\n\n"),
        ("a.csv", 'text,label\r\n"fine",1\r\nbad,"0"\r\n\r\n'),
        ("a.jsonl", '{"text": "fine", "label": 1}\n{"text": "bad", "label": "0", "x": null}\n\n'),
    ],
)
def test_formats_give_the_same_rows(tmp_path: Path, name: str, content: str) -> None:
    """Each format gives the columns asked for as text, in file order."""
    rows = read_rows(write(tmp_path, name, content), ["text", "label"])
    assert rows == [{"text": "fine", "label": "1"}, {"text": "bad", "label": "0"}]


def test_tsv_knows_no_quotes(tmp_path: Path) -> None:
    """A quote in a tsv is a character; only tab and newline part anything."""
    odd = '"a, b\x0b\x0c\x1c\x85\u2028c\rd'
    path = write(tmp_path, "a.tsv", f"text\tlabel\n{odd}\t1\n")
    assert read_rows(path, ["text"]) == [{"text": odd}]


@given(st.lists(st.tuples(printable, no_break), min_size=1, max_size=5))
def test_tsv_returns_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]
) -> None:
    """Any text without tab and line end comes back from a tsv as it was."""
    body = "".join(f"{text}\t{label}\n" for text, label in rows)
    path = write(tmp_path_factory.mktemp("tsv"), "a.tsv", f"text\tlabel\n{body}")
    assert [(row["text"], row["label"]) for row in read_rows(path, ["text", "label"])] == rows


@given(st.lists(st.tuples(st.text(st.sampled_from('ab",\n \u2028')), no_break), min_size=1))
def test_csv_returns_what_the_csv_module_wrote(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]
) -> None:
    """Commas, quotes and line breaks within quoted fields survive."""
    out = io.StringIO()
    csv.writer(out).writerows([("text", "label"), *rows])
    path = write(tmp_path_factory.mktemp("csv"), "a.csv", out.getvalue())
    assert [(row["text"], row["label"]) for row in read_rows(path, ["text", "label"])] == rows


def test_a_value_may_be_long_in_csv_too(tmp_path: Path) -> None:
    """The csv module's own limit of 131,072 characters is lifted, and put back after."""
    before = csv.field_size_limit()
    path = write(tmp_path, "a.csv", f"text,label\n{'x' * 500_000},1\n")
    assert len(read_rows(path, ["text"])[0]["text"]) == 500_000
    assert csv.field_size_limit() == before


def test_json_values_become_text(tmp_path: Path) -> None:
    """Booleans read as JSON writes them, numbers as Python does, so 1 and 1.0 differ."""
    values = [True, False, 1, -2, 1.0, 0.5, "x"]
    path = write(tmp_path, "a.jsonl", "\n".join(json.dumps({"label": v}) for v in values))
    found = [row["label"] for row in read_rows(path, ["label"])]
    assert found == ["true", "false", "1", "-2", "1.0", "0.5", "x"]


def test_control_characters_are_kept(tmp_path: Path) -> None:
    """A bell or an escape within a text is the text's own business."""
    path = write(tmp_path, "a.tsv", "text\tlabel\na\x07\x1b[0m\t1\n")
    assert read_rows(path, ["text"]) == [{"text": "a\x07\x1b[0m"}]


# What is refused


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.tsv", "text\tlabel\nfine\t1\nbad\n", "line 3: 1 instead of 2 fields"),
        ("a.tsv", "text\tlabel\nfine\t1\t2\n", "line 2: 3 instead"),
        ("a.tsv", "text\tlabel\nfine\t1\n\nbad\t0\n", "line 3: 1 instead"),
        ("a.tsv", "text\tlabel\ttext\n", "line 1: two columns 'text'"),
        ("a.tsv", "text\t\tlabel\n", "line 1: column 2 has no name"),
        ("a.tsv", "\n\nx\ty\n", "line 1: column 1 has no name"),
        ("a.tsv", "", "is empty"),
        ("a.tsv", "\n\n", "is empty"),
        ("a.tsv", "text\tlabel\n", "has no rows"),
        ("a.csv", "text,label\n", "has no rows"),
        ("a.jsonl", "\n\n", "has no rows"),
        ("a.csv", 'text,label\n"a\nb",1\nbad\n', "line 4: 1 instead"),
        ("a.csv", 'text,label\nx,1\n"open,2\ny,3\n', "line 3: not valid CSV"),
        ("a.csv", 'text,label\n"a"b,1\n', "line 2: not valid CSV"),
        ("a.csv", "text,label\rfine,1\r", "line 1: not valid CSV"),
        ("a.jsonl", '{"text": "x", "label": 1}\n{"text": \n', "line 2: not valid JSON"),
        ("a.jsonl", '{"text": "x", "label": 1}\n\n{"text": "y", "label": 1}', "line 2: not valid"),
        ("a.jsonl", "[1, 2]\n", "line 1: not a JSON object"),
        ("a.jsonl", '{"text": null, "label": 1}', "line 1: column 'text' holds null"),
        ("a.jsonl", '{"text": ["a"], "label": 1}', "column 'text' holds list"),
        ("a.jsonl", '{"text": {"a": 1}, "label": 1}', "column 'text' holds dict"),
        ("a.jsonl", '{"text": "x", "label": NaN}', "column 'label' holds float"),
        ("a.jsonl", '{"text": "x", "label": 1e999}', "column 'label' holds float"),
        ("a.jsonl", '{"text": "x", "text": "y", "label": 1}', "stands twice"),
        ("a.jsonl", '{"text": "\\ud800", "label": 1}', "half a surrogate pair"),
        ("a.jsonl", '{"text": "\\u0000", "label": 1}', "NUL character"),
        ("a.jsonl", "[" * 100_000, "line 1: not valid JSON"),
        ("a.jsonl", '{"text": "x", "label": ' + "1" * 5000 + "}", "line 1: not valid JSON"),
        ("a.txt", "x", "unknown file ending '.txt'"),
        ("a", "x", "unknown file ending ''"),
    ],
)
def test_each_problem_names_its_place(
    tmp_path: Path, name: str, content: str, problem: str
) -> None:
    """Every problem says in which file and line it is, and the next line what to do."""
    assert problem in refusal(write(tmp_path, name, content))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("junk", "problem"),
    [
        (b"\xff\xfet\x00e\x00", "NUL byte at byte 3"),
        (b"abc\xe9\n", "line 1: not UTF-8 at byte 3"),
        (b"\xef\xbb\xbfab\xff", "line 1: not UTF-8 at byte 5"),
        (b"\x89PNG\r\n\x1a\n", "line 1: not UTF-8 at byte 0"),
    ],
)
def test_what_is_no_text_is_named_by_its_byte(
    tmp_path: Path, kind: str, junk: bytes, problem: str
) -> None:
    """Binary files and other encodings are refused with the offset where text ends."""
    assert problem in refusal(write(tmp_path, f"a.{kind}", junk))


def test_byte_offsets_count_from_the_start_of_the_file(tmp_path: Path) -> None:
    """The offset of a bad byte in a later line counts the lines before it."""
    path = write(tmp_path, "a.tsv", b"text\tlabel\r\nfine\t1\r\nb\xffd\t0\r\n")
    assert "line 3: not UTF-8 at byte 21" in refusal(path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_column_is_met_with_the_nearest(tmp_path: Path, kind: str) -> None:
    """The message names the column, what was probably meant and what there is."""
    header = {"tsv": "sentence\tlabel\nx\t1", "csv": "sentence,label\nx,1"}
    content = header.get(kind, '{"sentence": "x", "label": 1}')
    message = refusal(write(tmp_path, f"a.{kind}", content), "sentense")
    assert "line 1: no column 'sentense'" in message
    assert "did you mean 'sentence'? columns there are: 'sentence', 'label'" in message


def test_paths_that_are_no_files_are_refused(tmp_path: Path) -> None:
    """A missing file, a folder and a name that no file can have are DataErrors."""
    assert "No such file" in refusal(tmp_path / "none.tsv")
    (tmp_path / "folder.tsv").mkdir()
    assert "Is a directory" in refusal(tmp_path / "folder.tsv")
    assert "cannot be read" in refusal(tmp_path / ("a\0b.tsv"))
    assert "cannot be read" in refusal(tmp_path / ("x" * 300 + ".tsv"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_line_without_end_is_never_read_whole(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading stops at the limit of a line, wherever the line would end."""
    monkeypatch.setattr(datafile, "MAX_LINE", 1000)
    starts = {"tsv": "text\tlabel\n", "csv": "text,label\n"}
    path = write(tmp_path, f"a.{kind}", starts.get(kind, "") + "x" * 5000)
    assert "longer than 1,000 bytes" in refusal(path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_value_has_a_longest_length(tmp_path: Path, kind: str) -> None:
    """A value of more than a million characters is refused."""
    long = "x" * 1_000_001
    contents = {"tsv": f"text\tlabel\n{long}\t1\n", "csv": f"text,label\n{long},1\n"}
    content = contents.get(kind, json.dumps({"text": long, "label": 1}))
    message = refusal(write(tmp_path, f"a.{kind}", content))
    assert "longer than 1,000,000" in message or "field larger than field limit" in message


def test_an_endless_device_is_refused_at_once() -> None:
    """Even a device file that never ends gives an error within one bounded read."""
    if not Path("/dev/zero").exists():
        pytest.skip("needs /dev/zero")
    with pytest.raises(DataError, match="longer than"):
        list(datafile._lines(Path("/dev/zero")))


@pytest.mark.parametrize("kind", KINDS)
@given(raw=st.one_of(st.binary(max_size=200), st.text('ab",\t\n\r{}:[]1\\', max_size=60)))
@settings(max_examples=150)
def test_random_content_never_crashes(
    tmp_path_factory: pytest.TempPathFactory, kind: str, raw: bytes | str
) -> None:
    """Any content gives rows with the columns asked for, or a DataError."""
    path = write(tmp_path_factory.getbasetemp(), f"random.{kind}", raw)
    with suppress(DataError):
        assert all(set(row) == {"a"} for row in read_rows(path, ["a"]))


# Parquet


def test_parquet_without_pyarrow_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where pyarrow is not installed the message names the extra."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    message = refusal(write(tmp_path, "a.parquet", b"PAR1"))
    assert "bdpl-async[hub]" in message


def test_parquet_gives_the_same_rows(tmp_path: Path) -> None:
    """Parquet values become text as JSON's do; nulls and nested values are refused by row."""
    pyarrow = pytest.importorskip("pyarrow", reason="needs the extra hub")
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra hub")
    path = tmp_path / "a.parquet"
    columns = {"text": ["fine", "bad"], "label": [1, 0], "ok": [True, False], "n": ["x", None]}
    parquet.write_table(pyarrow.table(columns), path)
    found = read_rows(path, ["text", "label", "ok"])
    assert found[0] == {"text": "fine", "label": "1", "ok": "true"}
    assert "row 2: column 'n' holds null" in refusal(path, "n")
    assert "did you mean 'text'?" in refusal(path, "txt")
    path.write_bytes(b"PAR1 no parquet at all PAR1")
    assert "not readable parquet" in refusal(path)


def test_parquet_of_the_hub_names_its_classes(tmp_path: Path) -> None:
    """Class numbers become names where the metadata has them; other metadata change nothing."""
    pyarrow = pytest.importorskip("pyarrow", reason="needs the extra hub")
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra hub")
    path = tmp_path / "a.parquet"
    table = pyarrow.table({"text": ["a", "b", "c"], "label": [1, 0, -1]})
    classes = {"info": {"features": {"label": {"names": ["bad", "fine"], "_type": "ClassLabel"}}}}
    for meta, labels in (
        (json.dumps(classes), ["fine", "bad", "-1"]),
        ("{}", ["1", "0", "-1"]),
        ("no json", ["1", "0", "-1"]),
        ('{"info": {"features": {"label": {"names": [1]}}}}', ["1", "0", "-1"]),
        ('{"info": []}', ["1", "0", "-1"]),
    ):
        parquet.write_table(table.replace_schema_metadata({"huggingface": meta}), path)
        assert [row["label"] for row in read_rows(path, ["label"])] == labels


# Other names, and fewer rows


@pytest.mark.parametrize("kind", KINDS)
def test_other_names(tmp_path: Path, kind: str) -> None:
    """A column may go by another name; its own comes first, then the others in their order."""
    contents = {"tsv": "b\ta\tlabel\nB\tA\t1\n", "csv": "b,a,label\nB,A,1\n"}
    path = write(tmp_path, f"x.{kind}", contents.get(kind, '{"b": "B", "a": "A", "label": 1}'))
    for others, found in ((["a", "b"], "A"), (["b", "a"], "B"), (["c", "b"], "B")):
        rows = read_rows(path, ["text", "label"], others={"text": others})
        assert rows == [{"text": found, "label": "1"}]
    assert read_rows(path, ["a"], others={"a": ["b"]}) == [{"a": "A"}]
    with pytest.raises(DataError, match=r"no column 'text' \(nor 'c', 'd'\)"):
        read_rows(path, ["text"], others={"text": ["c", "d"]})


def test_no_more_rows_than_asked_for(tmp_path: Path) -> None:
    """With `most` reading stops there: what is broken behind it is not seen."""
    path = write(tmp_path, "a.tsv", "text\tlabel\nfine\t1\nbad\n")
    assert read_rows(path, ["text"], most=1) == [{"text": "fine"}]


# The hash


def test_the_hash_sees_values_order_and_splits() -> None:
    """Another value, row order or split border is another hash; column order is not."""
    a, b = {"x": "1", "y": "2"}, {"x": "3", "y": "4"}
    base = sha256_of([a, b], [])
    assert base == sha256_of([{"y": "2", "x": "1"}, b], [])
    assert len({base, sha256_of([b, a], []), sha256_of([a], [b]), sha256_of([a, a], [])}) == 4
    assert len(base) == 64


def test_the_hash_never_changes() -> None:
    """Results of years ago stay comparable: this value is part of the format."""
    known = "c676d8967e2e49fc32754fdabd7b137b626d2169"
    found = sha256_of([{"text": "été", "label": "1"}])
    assert found.startswith(known)


def test_the_shared_data_are_read() -> None:
    """A public few-shot file gives its 32 rows."""
    path = SHARED / "k-shot/SST-2/16-13/train.tsv"
    if not path.exists():
        pytest.skip(f"needs the shared data set {path}")
    assert len(read_rows(path, ["text", "label"])) == 32


@pytest.mark.parametrize("kind", ["tsv", "jsonl"])
def test_one_column_is_not_two(tmp_path: Path, kind: str) -> None:
    """Two wanted columns never come from one of the file: a text could be the label itself."""
    content = {"tsv": "label\n1\n", "jsonl": '{"label": 1}\n'}[kind]
    path = tmp_path / f"x.{kind}"
    path.write_text(content)
    with pytest.raises(DataError, match="line 1: column 'label' would be both 'text' and 'label'"):
        read_rows(path, ["text", "label"], others={"text": ["label"]})
