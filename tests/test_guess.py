"""What is guessed of data: columns, classes, label words, templates; a test set cut from them."""

from __future__ import annotations

import csv
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bdpl_async.data.datafile import read_rows
from bdpl_async.drafting.classes import Classes, classes_of, has_labels
from bdpl_async.drafting.draft import Draft
from bdpl_async.drafting.holdout import hold_out
from bdpl_async.drafting.labelwords import LabelWords, first_word, label_words
from bdpl_async.drafting.phrasing import Phrasing, phrase
from bdpl_async.drafting.proposal import propose
from bdpl_async.drafting.roles import Roles, guess_roles
from bdpl_async.drafting.sheet import Sheet, look_at
from bdpl_async.errors import ConfigError, DataError, UsageError
from bdpl_async.template import Template

DATA = Path(__file__).parents[2] / "shared" / "data"
SETS = {
    "citation_intent": ("label", ("text",)),
    "cola": ("label", ("text",)),
    "csabstruct": ("label", ("text",)),
    "hyperpartisan": ("label", ("title", "text")),
    "mnli": ("label", ("text_a", "text_b")),
    "mrpc": ("label", ("text_a", "text_b")),
    "qnli": ("label", ("text_a", "text_b")),
    "qqp": ("label", ("text_a", "text_b")),
    "rte": ("label", ("text_a", "text_b")),
    "sciie": ("label", ("text",)),
    "sst2": ("label", ("text",)),
}
Rows = Sequence[Mapping[str, object]]


def text(i: int) -> str:
    return f"the parcel number {i} came {i % 7} days late and the box was open"


def sheet(folder: Path, rows: Rows, name: str = "rows.csv") -> Sheet:
    path = folder / name
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return look_at(path)


def labelled(counts: Mapping[str, int], label: str = "label") -> Rows:
    values = [value for value, count in counts.items() for _ in range(count)]
    return [{"text": text(i), label: value} for i, value in enumerate(values)]


# Columns


@pytest.mark.parametrize("name", SETS)
def test_real_data(name: str) -> None:
    """The columns of the public data sets are told apart without help, and surely."""
    path = DATA / name / "train.tsv"
    if not path.is_file():
        pytest.skip("the public data sets are not here")
    roles = guess_roles(look_at(path))
    assert (roles.label, roles.texts) == SETS[name]
    assert roles.sure_label
    assert roles.sure_texts


COLUMNS: list[tuple[dict[str, object], str, tuple[str, ...], bool]] = [
    ({"id": "{i}", "body": "{t}", "category": "{c}"}, "category", ("body",), True),
    ({"category": "{c}", "comment": "{t}", "date": "2024-01-0{d}"}, "category", ("comment",), True),
    ({"Kategorie": "{c}", "Beschreibung": "{t}"}, "Kategorie", ("Beschreibung",), True),
    ({"catégorie": "{c}", "texte": "{t}"}, "catégorie", ("texte",), True),
    ({"title": "{t}!", "text": "{t}", "isSpam": "{d}"}, "isSpam", ("title", "text"), True),
    ({"premise": "{t}", "hypothesis": "no {t}", "gold_label": "{c}"}, "gold_label",
     ("premise", "hypothesis"), True),
    ({"a": "{t}", "b": "{c}"}, "b", ("a",), True),
    ({"a": "{t}", "b": "{c}", "c": "{d}"}, "c", ("a",), False),
    ({"user": "{d}", "text": "{t}", "sentiment": "{c}"}, "sentiment", ("text",), True),
    ({"price": "{i}.5", "stars": "{d}", "review": "{t}"}, "stars", ("review",), True),
]  # fmt: skip


@pytest.mark.parametrize(("columns", "label", "texts", "sure"), COLUMNS)
def test_columns(
    columns: dict[str, str], label: str, texts: tuple[str, ...], sure: bool, tmp_path: Path
) -> None:
    """Label and text are found by their names, else by what they hold; doubt is owned up to."""
    fills = [
        {"i": i, "t": text(i), "c": ["good", "bad", "mixed"][i % 3], "d": i % 2} for i in range(60)
    ]
    rows = [{name: shape.format(**fill) for name, shape in columns.items()} for fill in fills]
    roles = guess_roles(sheet(tmp_path, rows))
    assert (roles.label, roles.texts) == (label, texts)
    assert roles.sure_label is sure


def test_given_columns(tmp_path: Path) -> None:
    """Columns that are named are taken; one that is not there is refused with those that are."""
    found = sheet(
        tmp_path, [{"t": text(i), "u": text(i), "x": i % 2, "label": i % 3} for i in range(9)]
    )
    assert guess_roles(found, "x", ["u", "t"]) == Roles("x", ("u", "t"))
    for label, texts, part in [
        ("y", [], "--label 'y'"),
        (None, ["v"], "--text 'v'"),
        ("x", ["x"], "both"),
    ]:
        with pytest.raises(ConfigError, match=part):
            guess_roles(found, label, texts)


def test_no_label(tmp_path: Path) -> None:
    """A file without a column of few values is refused, and its columns are named."""
    with pytest.raises(ConfigError, match="no column looks like the label") as error:
        guess_roles(sheet(tmp_path, [{"text": text(i), "n": i} for i in range(20)]))
    assert "'text' (20 values), 'n' (20 values)" in str(error.value)


def test_why_no_column_will_do(tmp_path: Path) -> None:
    """The message says of each column what it holds, such as rows without a text."""
    lines = [f'{{"text": "{text(i)}", "label": {"null" if i % 3 else "1"}}}' for i in range(9)]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    with pytest.raises(ConfigError, match=r"'label' \(6 rows without text\)"):
        guess_roles(look_at(tmp_path / "a.jsonl"))
    with pytest.raises(ConfigError, match=r"'label' \(1 value alone\)"):
        guess_roles(sheet(tmp_path, labelled({"a": 9})))


BAD_FILES = {
    "a.csv": ("text;label\nfine;1\nbad;0\n", "semicolons"),
    "b.csv": ("text\tlabel\nfine\t1\n", "tabs"),
    "b.tsv": ("text,label\nfine,1\n", "commas"),
    "c.csv": ("I like it a lot,1\nI do not,0\nMore,1\nMore,0\n", "line 1: '1' looks like a value"),
    "d.tsv": ("a\tgood\nb\tgood\nmore\tbad\nsome\tbad\nothers\tbad\n", "looks like a value"),
    "e.csv": ("text,label\n", "no rows"),
    "f.doc": ("x", "unknown file ending"),
    "g.jsonl": ('{"text": "a"', "not valid JSON"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files(name: str, tmp_path: Path) -> None:
    """A file with other separators or without a header is refused with what to do."""
    content, part = BAD_FILES[name]
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=part):
        look_at(tmp_path / name)


def test_jsonl(tmp_path: Path) -> None:
    """Of a jsonl file the columns count that every row has; nested values are no texts."""
    path = tmp_path / "rows.jsonl"
    lines = [
        f'{{"text": "{text(i)}", "label": {i % 2}, "tags": ["a"]' + (', "note": "x"}' if i else "}")
        for i in range(20)
    ]
    path.write_text("\n".join(lines))
    found = look_at(path)
    assert list(found.columns) == ["text", "label", "tags"]
    assert found.columns["tags"].unusable == 20
    assert guess_roles(found) == Roles("label", ("text",))


def test_sorted_file(tmp_path: Path) -> None:
    """All classes are known, also where a file is sorted by them."""
    found = sheet(tmp_path, labelled({"a": 3000, "b": 3000, "c": 1}))
    assert dict(classes_of("label", found).counts) == {"a": 3000, "b": 3000, "c": 1}


# Classes


METRICS = [
    ({"a": 50, "b": 50}, "accuracy", ["a", "b"]),
    ({"a": 10, "b": 90}, "f1", ["b", "a"]),
    ({"1": 10, "0": 90}, "f1", ["0", "1"]),
    ({"10": 30, "9": 30, "x": 30}, "accuracy", ["9", "10", "x"]),
    ({"a": 80, "b": 15, "c": 5}, "macro_f1", ["a", "b", "c"]),
]


@pytest.mark.parametrize(("counts", "metric", "order"), METRICS)
def test_metric(counts: dict[str, int], metric: str, order: list[str], tmp_path: Path) -> None:
    """Uneven classes are not judged by accuracy, and the rarer of two stands second, for F1."""
    classes = classes_of("label", sheet(tmp_path, labelled(counts)))
    assert classes.metric == metric
    assert list(classes.counts) == order


def test_spellings(tmp_path: Path) -> None:
    """Values that differ in case or spaces are one class, called as most rows call it."""
    found = classes_of(
        "label", sheet(tmp_path, labelled({"Billing": 5, "billing ": 2, "Other": 4}))
    )
    assert dict(found.counts) == {"Billing": 7, "Other": 4}
    assert dict(found.spellings) == {"billing ": "Billing"}


def test_missing_labels(tmp_path: Path) -> None:
    """A row without a label is refused by its number, with how many there are."""
    rows = [{"text": text(i), "label": "" if i in (4, 6) else i % 2} for i in range(10)]
    with pytest.raises(DataError, match=r"row 5: no label in column 'label', in 2 of 10 rows"):
        classes_of("label", sheet(tmp_path, rows))


def test_other_splits(tmp_path: Path) -> None:
    """Another split may spell a class in its own way, but have none that train lacks."""
    train = sheet(tmp_path, labelled({"yes": 5, "no": 5}))
    test = sheet(tmp_path, labelled({"Yes": 2, "no": 2}), "test.csv")
    assert dict(classes_of("label", train, [test]).spellings) == {"Yes": "yes"}
    more = sheet(tmp_path, labelled({"maybe": 2, "no": 2}), "test.csv")
    with pytest.raises(DataError, match=r"test.csv: .*'maybe'"):
        classes_of("label", train, [more])


def test_unlabelled_test_file(tmp_path: Path) -> None:
    """A test file whose labels are secret is left out, and that is said."""
    train = sheet(tmp_path, labelled({"0": 20, "1": 20}))
    for secret in ("-1", ""):
        hidden = sheet(tmp_path, labelled({secret: 5}), "test.csv")
        assert not has_labels(hidden, "label")
        found = propose({"train": train, "test": hidden}, guess_roles(train))
        assert list(found.sheets) == ["train"]
        assert "test.csv has no labels" in found.notes[0]


def test_notes(tmp_path: Path) -> None:
    """Many classes, a class of one row and empty texts are pointed out."""
    rows = [
        *labelled({f"kind {i:02}": 4 for i in range(25)} | {"lone": 1}),
        {"text": "", "label": "kind 01"},
    ]
    train = sheet(tmp_path, rows)
    notes = "; ".join(propose({"train": train}, guess_roles(train)).notes)
    for part in ("26 classes", "class 'lone'", "empty in 1 row"):
        assert part in notes


def test_numbers_written_in_two_ways(tmp_path: Path) -> None:
    """1 and 1.0 are one class, as tables write whole numbers either way."""
    found = classes_of("label", sheet(tmp_path, labelled({"1": 5, "0": 4, "1.0": 3, "0.0": 2})))
    assert found.counts == {"0": 6, "1": 8}
    assert found.spellings == {"1.0": "1", "0.0": "0"}


def test_missing_labels_by_name(tmp_path: Path) -> None:
    """What programs write for a missing label is a class, and pointed out."""
    train = sheet(tmp_path, labelled({"NaN": 5, "good": 5, "bad": 5, "none": 5}))
    notes = propose({"train": train}, Roles("label", ("text",))).notes
    assert [note for note in notes if "missing" in note] == [
        "'NaN' is taken for a class: if it means that a label is missing, take these rows out"
    ]


def test_signs_are_not_called_other(tmp_path: Path) -> None:
    """A label without a letter stands for itself; one that cannot be shown is `other`."""
    assert list(label_words(["+", "-"], []).words.values()) == [" +", " -"]
    assert list(label_words(["\x1b", "b"], []).words.values()) == [" other", " b"]


# Words


WORDS = [
    (["negative", "positive"], [], [" negative", " positive"], "quality"),
    (["neg", "pos"], [], [" negative", " positive"], "quality"),
    (["0", "1"], ["review"], [" terrible", " great"], "quality"),
    (["0", "1"], ["is", "spam"], [" no", " yes"], "yesno"),
    (["False", "True"], [], [" no", " yes"], "yesno"),
    (["1", "2", "3", "4", "5"], [], [" terrible", " bad", " okay", " good", " great"], "quality"),
    (["-1", "0", "1"], ["sentiment"], [" bad", " okay", " good"], "quality"),
    (["contradiction", "entailment", "neutral"], [], [" no", " yes", " maybe"], "nli"),
    (["1", "2", "3"], [], [" one", " two", " three"], "topic"),
    (["USED-FOR", "PART-OF"], [], [" used for", " part of"], "topic"),
    (["technicalIssue", "refund_request"], [], [" technical issue", " refund request"], "topic"),
    (["0\x1f", "1"], ["review"], [" terrible", " great"], "quality"),
    (["2", "0\x1f"], [], [" two", " zero"], "topic"),
    (["account access", "account closed"], [], [" account access", " closed"], "topic"),
    (["US", "Sci/Tech"], [], [" US", " sci tech"], "topic"),
]


@pytest.mark.parametrize(("values", "hints", "words", "kind"), WORDS)
def test_words(values: list[str], hints: list[str], words: list[str], kind: str) -> None:
    """A value that is a word is its own label word; numbers get words that fit the column."""
    found = label_words(values, hints)
    assert (list(found.words.values()), found.kind) == (words, kind)


def test_words_that_a_model_lacks() -> None:
    """Where a word cannot be read another one stands in, and what it stands for is kept."""
    known = {" bad", " good", " A", " B", " C", " issue"}

    def key(word: str) -> str | None:
        return word if word in known else None

    found = label_words(["negative", "positive"], [], key)
    assert (dict(found.words), dict(found.meant)) == (
        {"negative": " bad", "positive": " good"},
        {"negative": "negative", "positive": "positive"},
    )
    found = label_words(["billing", "technical issue", "praise"], [], key)
    assert list(found.words.values()) == [" A", " B", " C"]
    assert found.meant["billing"] == "billing"


@given(
    st.lists(
        st.text(max_size=12), min_size=2, max_size=40, unique_by=lambda t: t.casefold().strip()
    )
)
def test_words_are_distinct(values: list[str]) -> None:
    """Whatever the values are, every class gets a word, and no two begin alike."""
    words = list(label_words(values, []).words.values())
    assert len(words) == len(values)
    assert all(word.startswith(" ") and word.strip() for word in words)
    assert len({first_word(word) for word in words}) == len(words)


# Text


AWKWARD = [
    "a.b",
    "1",
    "prompt",
    " spaced ",
    "brace{",
    "é à",
    "quote\"'",
    "new\nline",
    "x" * 90,
    "#",
]


@pytest.mark.parametrize("column", AWKWARD)
def test_any_column_name(column: str) -> None:
    """A column whose name a template cannot hold gets another one there."""
    found = phrase("label", [column, "text"], [" a", " b"], "topic", [column, "text", "label"])
    names = {found.columns.get(name, name) for name in Template.parse(found.template).columns}
    assert names == {column, "text"}
    assert Template.parse(found.causal).columns == Template.parse(found.template).columns


names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(names, names, st.lists(names, min_size=2, max_size=4, unique=True))
def test_valid_toml(name: str, label: str, values: list[str]) -> None:
    """Whatever names and values hold, the draft is TOML that says exactly that."""
    draft = Draft(
        name=name,
        origin=name,
        files={"train": f"{name}.csv"},
        label=label,
        classes=Classes(dict.fromkeys(values, 3), {f"{values[0]}~": values[0]}),
        words=LabelWords({value: f" {value}" for value in values}, "topic", {values[0]: name}),
        phrasing=Phrasing(
            "{prompt} {text} {mask}", "{prompt} {text} {mask}", name, {"text": label}
        ),
        model="simulated/x",
    )
    table = tomllib.loads(draft.toml())["task"]
    assert (table["name"], table["label"]) == (name, label)
    assert table["labels"] == {value: f" {value}" for value in values}
    assert table["columns"] == {"text": [label]}
    assert table["values"] == {f"{values[0]}~": values[0]}


# A test set


def test_hold_out(tmp_path: Path) -> None:
    """A fifth of every class goes to a test file, no text to both, the lone row to train."""
    rows = [
        *labelled({"a": 100, "b": 50, "lone": 1}),
        *[{"text": "the same text", "label": "a"}] * 9,
    ]
    train = sheet(tmp_path, rows)
    files = {split: tmp_path / f"{split}.csv" for split in ("train", "test")}
    sizes = hold_out(train, Roles("label", ("text",)), files)
    assert sum(sizes.values()) == len(rows) == 160
    parts = {split: read_rows(file, ["text", "label"]) for split, file in files.items()}
    assert {split: len(part) for split, part in parts.items()} == sizes
    assert 28 <= sizes["test"] <= 36
    texts = {split: {row["text"] for row in part} for split, part in parts.items()}
    assert not texts["train"] & texts["test"]
    assert {row["label"] for row in parts["test"]} == {"a", "b"}
    assert {row["label"] for row in parts["train"]} == {"a", "b", "lone"}
    with pytest.raises(UsageError, match="cannot be written"):
        hold_out(train, Roles("label", ("text",)), files)
