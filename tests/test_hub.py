"""The hub: rows through the library `datasets`, here a fake one, and the real one if it is here."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from bdpl_async import Task
from bdpl_async.errors import (
    BdplError,
    ConfigError,
    DataError,
    ProviderRefused,
    ProviderUnavailable,
    UsageError,
)
from bdpl_cli.main import main

CLASSES = {"label": SimpleNamespace(names=["entailment", "neutral", "contradiction"])}


@dataclass
class Rows:
    """A data set of rows, as far as anyone looks at it."""

    rows: list[dict[str, object]]
    features: Mapping[str, object] = field(default_factory=dict)

    def __iter__(self) -> Iterator[dict[str, object]]:
        return iter(self.rows)


@dataclass
class Fake:
    """What stands in for the library."""

    data: dict[str, Rows] = field(default_factory=dict)
    error: Exception | None = None
    calls: list[tuple[str, str | None, str, str | None]] = field(default_factory=list)

    def load_dataset(
        self, path: str, name: str | None, *, split: str, revision: str | None
    ) -> Rows:
        self.calls.append((path, name, split, revision))
        if self.error is not None:
            raise self.error
        return self.data[split]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    library = Fake()
    module = ModuleType("datasets")
    module.load_dataset = library.load_dataset  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", module)
    return library


def reviews(count: int) -> Rows:
    return Rows([{"sentence": f"a film , {i}", "label": i % 2, "idx": i} for i in range(count)])


def pairs(count: int, features: Mapping[str, object]) -> Rows:
    return Rows(
        [{"premise": f"P {i}", "hypothesis": f"H {i}", "label": i % 3} for i in range(count)],
        features,
    )


def test_splits_come_from_the_hub(fake: Fake) -> None:
    """Without data of its own and without --data a built-in task asks the hub, by the protocol."""
    fake.data = {"train": reviews(100), "validation": reviews(30)}
    task = Task.from_toml("sst2")
    assert [len(part) for part in (task.train, task.dev, task.test)] == [32, 32, 30]
    asked = [("nyu-mll/glue", "sst2", split, None) for split in ("train", "validation")]
    assert fake.calls == asked
    for example in task.test.examples:
        assert example.label == int(example.columns["text"].split()[-1]) % 2


@pytest.mark.parametrize("features", [CLASSES, {}])
def test_classes_keep_their_names(fake: Fake, features: Mapping[str, object]) -> None:
    """Class numbers become the names the data set gives, or those that the task knows for it."""
    fake.data = {"train": pairs(120, features), "validation_matched": pairs(30, features)}
    task = Task.from_toml("mnli")
    words = {"0": " yes", "1": " maybe", "2": " no"}
    for example in task.test.examples:
        number = int(example.columns["text_a"].split()[-1])
        assert task.words[example.label] == words[str(number % 3)]


def test_names_beat_numbers(fake: Fake) -> None:
    """Another order of classes in the data set is another order of numbers, not of words."""
    turned = {"label": SimpleNamespace(names=["contradiction", "neutral", "entailment"])}
    fake.data = {"train": pairs(120, turned), "validation_mismatched": pairs(30, turned)}
    task = Task.from_toml("mnli-mm")
    for example in task.test.examples:
        number = int(example.columns["text_a"].split()[-1])
        assert task.words[example.label] == (" no", " maybe", " yes")[number % 3]


def test_a_resolved_configuration_asks_again(fake: Fake, tmp_path: Path) -> None:
    """run.toml of a task from the hub loads the same examples."""
    fake.data = {"train": reviews(100), "validation": reviews(30)}
    task = Task.from_toml("sst2", seed=3, overrides={"task.hub.revision": "abc"})
    (tmp_path / "run.toml").write_text(task.config.to_toml())
    assert Task.from_toml(tmp_path / "run.toml") == task
    assert {call[3] for call in fake.calls} == {"abc"}


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra the message names both ways out."""
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ConfigError) as caught:
        Task.from_toml("rct")
    assert "rct: no data" in str(caught.value)
    assert "--data DIR" in str(caught.value)
    assert "pip install 'bdpl-async[hub]'" in str(caught.value)


class DatasetNotFoundError(FileNotFoundError):
    """Named as the library's own."""


class StrangeTransportError(Exception):
    """Of a library below the library."""


ERRORS = [
    (ConnectionError("Couldn't reach it"), ProviderUnavailable, 3),
    (TimeoutError("slow"), ProviderUnavailable, 3),
    (StrangeTransportError(), ProviderUnavailable, 3),
    (DatasetNotFoundError("gone"), ProviderRefused, 3),
    (ValueError('Unknown split "x"\nlong story'), ConfigError, 2),
]


@pytest.mark.parametrize(("error", "kind", "code"), ERRORS)
def test_trouble(
    fake: Fake,
    error: Exception,
    kind: type[BdplError],
    code: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each trouble of the library is one short error, without a traceback, with the way round."""
    fake.error = error
    with pytest.raises(kind, match=r"hub data set nyu-mll/glue/sst2, split train"):
        Task.from_toml("sst2")
    with pytest.raises(SystemExit) as left:
        main(["estimate", "sst2", "--model", "simulated/x"])
    said = capsys.readouterr()
    assert (left.value.code, said.out) == (code, "")
    assert "--data DIR" in said.err
    assert "Traceback" not in said.err
    assert len(said.err.splitlines()) == 2


def test_trouble_between_rows(fake: Fake) -> None:
    """A connection that breaks while rows are read is told alike."""

    class Broken(Rows):
        def __iter__(self) -> Iterator[dict[str, object]]:
            yield self.rows[0]
            raise ConnectionError("lost")

    fake.data = {"train": Broken(reviews(3).rows)}
    with pytest.raises(ProviderUnavailable, match="lost"):
        Task.from_toml("sst2")


BAD = [
    ([{"label": 1}], "no column 'text' \\(nor 'sentence'\\)"),
    ([{"sentence": None, "label": 1}], "row 1: column 'text' holds null"),
    ([{"sentence": "a\0b", "label": 1}], "NUL character"),
    ([{"sentence": "a", "label": -1}], "row 1: column 'label' holds '-1'"),
    ([{"sentence": "a", "label": 1}], "no row has the label '0'"),
    ([], "has no rows"),
]


@pytest.mark.parametrize(("rows", "problem"), BAD)
def test_bad_rows(fake: Fake, rows: list[dict[str, object]], problem: str) -> None:
    """A data set that does not fit is a DataError that names data set and split."""
    fake.data = {"train": Rows(rows)}
    with pytest.raises(DataError, match=f"split train.*{problem}"):
        Task.from_toml("sst2")


def test_the_real_library_reads_local_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library itself, on parquet files in a folder, gives the rows and names the classes."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    datasets = pytest.importorskip("datasets", reason="needs the extra hub")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    classes = datasets.ClassLabel(names=["negative", "positive"])
    features = datasets.Features({"sentence": datasets.Value("string"), "label": classes})
    folder = tmp_path / "data"
    folder.mkdir()
    for split, count in (("train", 2000), ("validation", 30)):
        rows = [{"sentence": f"a film , {i}", "label": i % 2} for i in range(count)]
        made = datasets.Dataset.from_list(rows, features=features)
        made.to_parquet(folder / f"{split}.parquet")
    hub = {"task.hub.path": str(folder), "task.hub.name": None}
    task = Task.from_toml("sst2", overrides=hub)
    assert [len(part) for part in (task.train, task.dev, task.test)] == [32, 32, 30]
    assert task == Task.from_toml("sst2", overrides=hub)
    for change in ({"task.hub.name": "nosuch"}, {"task.hub.dev": "nosuch"}):
        with pytest.raises(UsageError, match=r"see task\.hub"):
            Task.from_toml("sst2", overrides={**hub, **change})
    # The same files by --data: their metadata name the classes too.
    assert Task.from_toml("sst2", data=folder).data_sha256 == task.data_sha256
