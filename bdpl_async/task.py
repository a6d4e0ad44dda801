"""A task: labelled examples, a template, label words and a metric, all checked against each other.

Knows files and texts; no model, no clock, no network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bdpl_async.config import Config, load_config, resolve_task
from bdpl_async.data.datafile import read_lines, sha256_of
from bdpl_async.data.datafolder import data_files
from bdpl_async.data.source import source_of
from bdpl_async.data.splits import Split, Terms, divide
from bdpl_async.overrides import Value
from bdpl_async.records import Example, Prompt, Text
from bdpl_async.template import Template
from bdpl_async.vocabulary import pmi_vocabulary, read_vocabulary

__all__ = ["Split", "Task"]


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
        table = config.task
        values = tuple(table.labels)
        terms = Terms(values, table.k_shot, config.run.seed, paper=table.protocol == "paper")
        parts = divide(source_of(table), terms)
        return cls(
            name=table.name,
            template=Template.parse(table.template),
            values=values,
            words=tuple(table.labels.values()),
            metric=table.metric,
            train=parts["train"],
            dev=parts["dev"],
            test=parts["test"],
            config=config,
            data_sha256=sha256_of(*(split.rows() for split in parts.values())),
        )

    def facing(self, causal: bool) -> Task:
        """This task with the template that a model reads; a causal one may have its own."""
        table = self.config.task
        written = table.causal if causal and table.causal is not None else table.template
        return (
            self
            if written == self.template.text
            else replace(self, template=Template.parse(written))
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
        texts = [text for example in self.train.examples for text in example.columns.values()]
        return pmi_vocabulary(texts, table.vocabulary_size)


def _absolute(config: Config, folder: Path) -> Config:
    """The configuration with file names that mean the same from every folder."""
    table = config.task
    files = {"train": table.train, "dev": table.dev, "test": table.test}
    if config.run.data is not None:
        files = data_files((folder / config.run.data).absolute(), table.files)
    names = {name: _place(folder, file) for name, file in files.items()}
    prompt = config.prompt
    if prompt.vocabulary != "pmi":
        prompt = prompt.model_copy(update={"vocabulary": _place(folder, prompt.vocabulary)})
    places = {"corpus": prompt.corpus, "start_from": prompt.start_from}
    prompt = prompt.model_copy(update={key: _place(folder, file) for key, file in places.items()})
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
