"""A task: labelled examples, a template, label words and a metric, all checked against each other.

Knows files and texts; no model, no clock, no network.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bdpl_async.config import Config, TaskTable, load_config, resolve_task
from bdpl_async.datafile import read_lines, read_rows, sha256_of
from bdpl_async.errors import ConfigError, DataError
from bdpl_async.overrides import Value
from bdpl_async.records import Example, Prompt, Text
from bdpl_async.sampling import k_shot, k_shot_pair, minibatch, split
from bdpl_async.template import Template
from bdpl_async.textfile import exists
from bdpl_async.vocabulary import pmi_vocabulary, read_vocabulary

__all__ = ["Split", "Task"]

DEV_FRACTION = 0.5
LARGEST_OWN_DEV = 200
SPLITS = 0x5B117  # names the random stream of splits, apart from those of a run
ENDINGS = ("tsv", "csv", "jsonl", "parquet")


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
class Task:
    """What is to be learned, from which examples.

    Attributes:
        words: the label words, in the order of every score.
        data_sha256: of all rows of all splits as used.
        config: the whole configuration that the task came with.
    """

    name: str
    template: Template
    values: tuple[str, ...]
    words: tuple[str, ...]
    metric: str
    train: Split
    dev: Split
    test: Split
    config: Config
    data_sha256: str

    @classmethod
    def from_toml(
        cls,
        path: str | Path,
        *,
        seed: int | None = None,
        data: str | Path | None = None,
        overrides: Mapping[str, Value] | None = None,
    ) -> Task:
        """Load a TASK.toml, or a built-in task by name, with its data.

        Args:
            path: the file, or a name such as ``reviews``.
            seed: of k-shot draws and own dev splits; None takes the file's.
            data: a folder with ``train|dev|test.{tsv,csv,jsonl,parquet}`` to use instead.
            overrides: dotted keys, as in ``{"prompt.length": 5}``.

        Raises:
            ConfigError: the configuration cannot be used.
            DataError: a data file cannot be used.
        """
        file = resolve_task(str(path))
        given = dict(overrides or {})
        if seed is not None:
            given["run.seed"] = seed
        if data is not None:
            given["run.data"] = str(Path(data).absolute())
        return cls.from_config(load_config(file, given), file.parent)

    @classmethod
    def from_config(cls, config: Config, folder: Path) -> Task:
        """Load the data of `config`; relative paths count from `folder`."""
        config = _absolute(config, folder)
        values, words = tuple(config.task.labels), tuple(config.task.labels.values())
        loader = _Loader(config.task, Template.parse(config.task.template), values)
        named = ("train", config.task.train), ("dev", config.task.dev), ("test", config.task.test)
        parts = _divide({name: loader.read(Path(f)) for name, f in named if f}, config, values)
        return cls(
            name=config.task.name,
            template=loader.template,
            values=values,
            words=words,
            metric=config.task.metric,
            train=parts["train"],
            dev=parts["dev"],
            test=parts["test"],
            config=config,
            data_sha256=sha256_of(*(split.rows() for split in parts.values())),
        )

    def text(self, prompt: Prompt, example: Example) -> Text:
        """The template filled with a prompt and an example."""
        return self.template.render(prompt.text, example.columns)

    def vocabulary(self) -> tuple[str, ...]:
        """The candidates: PMI n-grams of the training text or a corpus, or a file that has them.

        Raises:
            ConfigError: the file cannot be used.
            DataError: the text cannot be read, or has fewer than two candidates.
        """
        table = self.config.prompt
        if table.vocabulary != "pmi":
            return read_vocabulary(Path(table.vocabulary))
        if table.corpus is not None:
            return pmi_vocabulary(read_lines(Path(table.corpus)), table.vocabulary_size)
        texts = [
            example.columns[column]
            for example in self.train.examples
            for column in self.template.columns
        ]
        return pmi_vocabulary(texts, table.vocabulary_size)


@dataclass(frozen=True, slots=True)
class _Loader:
    """Rows of a data file -> examples, naming file and row where that fails."""

    table: TaskTable
    template: Template
    values: tuple[str, ...]

    def read(self, file: Path) -> list[Example]:
        columns = list(dict.fromkeys([*self.template.columns, self.table.label]))
        rows = read_rows(file, columns)
        index = {value: i for i, value in enumerate(self.values)}
        examples = []
        for number, row in enumerate(rows, start=1):
            value = row[self.table.label]
            if value not in index:
                raise self._unknown(file, number, value)
            texts = {column: row[column] for column in self.template.columns}
            examples.append(Example(texts, index[value]))
        return examples

    def _unknown(self, file: Path, number: int, value: str) -> DataError:
        near = difflib.get_close_matches(value, self.values, n=1)
        return DataError(
            f"{file}: row {number}: column {self.table.label!r} holds {value[:80]!r},"
            " which has no label word",
            hint=f"task.labels has {', '.join(map(repr, self.values[:20]))}"
            + (f"; did you mean {near[0]!r}?" if near else ""),
        )


def _divide(
    read: Mapping[str, list[Example]], config: Config, values: tuple[str, ...]
) -> dict[str, Split]:
    """train, dev and test: a dev split is cut from train where none is given, k-shot if asked."""
    rng = np.random.default_rng([config.run.seed, SPLITS])
    train, dev, k = read["train"], read.get("dev", []), config.task.k_shot
    labels = [example.label for example in train]
    absent = [value for i, value in enumerate(values) if i not in labels]
    if absent:
        raise DataError(
            f"{config.task.train}: no row has the label {', '.join(map(repr, absent))}",
            hint="every label of task.labels needs examples in train",
        )
    if not dev:
        with _naming(config.task.train):
            train, dev = _own_dev(train, k, rng, values)
    elif k is not None:
        train = _drawn(config.task.train, train, k, rng, values)
        dev = _drawn(config.task.dev or "", dev, k, rng, values)
    parts = {"train": train, "dev": dev, "test": read.get("test", [])}
    return {name: Split(_fair(examples)) for name, examples in parts.items()}


def _drawn(
    file: str, rows: list[Example], k: int, rng: np.random.Generator, values: tuple[str, ...]
) -> list[Example]:
    with _naming(file):
        return [rows[i] for i in k_shot([row.label for row in rows], k, rng, values)]


@contextmanager
def _naming(file: str) -> Iterator[None]:
    """Put the file's name before the message of a `DataError` about its rows."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{file}: {error.args[0]}", hint=error.hint) from None


def _own_dev(
    rows: list[Example], k: int | None, rng: np.random.Generator, values: tuple[str, ...]
) -> tuple[list[Example], list[Example]]:
    """Two stratified parts of the training rows: `k` a class each, or about half and half."""
    labels = [example.label for example in rows]
    if k is not None:
        kept, held = k_shot_pair(labels, k, rng, values)
    else:
        kept, held = split(labels, 1 - min(DEV_FRACTION, LARGEST_OWN_DEV / len(rows)), rng)
    if not held:
        raise DataError(
            f"{len(rows)} rows are too few to cut a dev split from",
            hint="add rows, or give task.dev a file of its own",
        )
    return [rows[i] for i in kept], [rows[i] for i in held]


def _fair(examples: list[Example]) -> tuple[Example, ...]:
    """The examples shuffled so that every prefix holds each class in its share."""
    if not examples:
        return ()
    labels = [example.label for example in examples]
    return tuple(examples[i] for i in minibatch(labels, len(labels), 0, SPLITS))


def _data_files(folder: Path) -> dict[str, str | None]:
    """train, dev and test as a data folder has them; None for a split that it has not."""
    found: dict[str, str | None] = {}
    for name in ("train", "dev", "test"):
        files = [file for ending in ENDINGS if exists(file := folder / f"{name}.{ending}")]
        if len(files) > 1:
            raise ConfigError(f"{folder}: both {files[0].name} and {files[1].name}: which one?")
        found[name] = str(files[0]) if files else None
    if found["train"] is None:
        raise ConfigError(
            f"{folder}: no train file",
            hint=f"a data folder holds train.{{{','.join(ENDINGS)}}}, and dev and test likewise",
        )
    return found


def _absolute(config: Config, folder: Path) -> Config:
    """The configuration with file names that mean the same from every folder."""
    table = config.task
    files = {"train": table.train, "dev": table.dev, "test": table.test}
    if config.run.data is not None:
        files = _data_files((folder / config.run.data).absolute())
    names = {name: _place(folder, file) for name, file in files.items()}
    prompt = config.prompt
    if prompt.vocabulary != "pmi":
        prompt = prompt.model_copy(update={"vocabulary": _place(folder, prompt.vocabulary)})
    if prompt.corpus is not None:
        prompt = prompt.model_copy(update={"corpus": _place(folder, prompt.corpus)})
    cache, tokenizer = config.run.cache, config.model.tokenizer
    if cache is not None and cache != "none" and "://" not in cache:
        cache = _place(folder, cache)
    run = {"data": None, "out": _place(folder, config.run.out), "cache": cache}
    return config.model_copy(
        update={
            "task": table.model_copy(update=names),
            "prompt": prompt,
            "model": config.model.model_copy(update={"tokenizer": _place(folder, tokenizer)}),
            "run": config.run.model_copy(update=run),
        }
    )


def _place(folder: Path, file: str | None) -> str | None:
    return None if file is None else str((folder / Path(file).expanduser()).absolute())
