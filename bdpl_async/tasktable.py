"""[task]: the data, the template and the label words, checked against each other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from bdpl_async.data.look import Look
from bdpl_async.errors import ConfigError
from bdpl_async.table import Count, Filled, Table
from bdpl_async.template import Template

__all__ = ["HubTable", "TaskTable"]

SPLITS = ("train", "dev", "test")
Names = Annotated[list[Filled], Field(min_length=1)]


class HubTable(Table):
    """[task.hub]: a data set of the Hugging Face hub, and what its splits are called there."""

    path: Filled
    name: Filled | None = None
    revision: Filled | None = None
    train: Filled = "train"
    dev: Filled | None = None
    test: Filled | None = None
    values: dict[str, str] = Field(default_factory=dict)


class TaskTable(Table):
    """[task]: the data, the template and the label words.

    The metric `f1` takes the label that is written second as the positive one. `causal` is the
    template for models that read up to the mask. `columns` are other names of a column, `values`
    other spellings of a data value, `looks` how most texts of a column look, `files` the names
    that a split may have in a data folder, the first that is there counts.
    """

    name: Filled
    label: Filled = "label"
    template: str
    causal: str | None = None
    labels: dict[str, str]
    metric: Literal["accuracy", "f1", "macro_f1", "mcc"] = "accuracy"
    k_shot: Count | None = None
    protocol: Literal["plain", "paper"] = "plain"
    columns: dict[str, Names] = Field(default_factory=dict)
    values: dict[str, str] = Field(default_factory=dict)
    looks: dict[str, str] = Field(default_factory=dict)
    files: dict[str, Names] = Field(default_factory=dict)
    hub: HubTable | None = None
    # After `hub`, which takes its place where it is missing.
    train: Annotated[Filled | None, Field(validate_default=True)] = None
    dev: Filled | None = None
    test: Filled | None = None

    @property
    def texts(self) -> tuple[str, ...]:
        """The data columns that the templates name, each once, in order."""
        templates = [self.template, *([self.causal] if self.causal is not None else [])]
        return tuple(dict.fromkeys(c for t in templates for c in Template.parse(t).columns))

    @model_validator(mode="after")
    def _f1_has_two_sides(self) -> Self:
        if self.metric == "f1" and len(self.labels) != 2:
            raise ValueError(
                f"metric 'f1' needs two labels, the positive one second, not {len(self.labels)};"
                " macro_f1 takes more"
            )
        return self

    @model_validator(mode="after")
    def _known_to_each_other(self) -> Self:
        """What stands beside the columns, values and splits names those that there are."""
        columns = dict.fromkeys([*self.texts, self.label])
        _among("columns", self.columns, columns)
        _among("looks", self.looks, self.texts)
        _among("files", self.files, SPLITS)
        _among("the right side of values", self.values.values(), self.labels)
        for spelling, value in self.values.items():
            if spelling in self.labels and spelling != value:
                raise ValueError(f"values: {spelling[:80]!r} is a label of its own")
        if self.hub is not None:
            _among("the right side of hub.values", self.hub.values.values(), self.labels)
        return self

    @field_validator("train")
    @classmethod
    def _data_from_somewhere(cls, train: str | None, info: ValidationInfo) -> str | None:
        known = {"hub", "protocol"} <= set(info.data)  # else they have errors of their own
        if train is None and known and not info.data["hub"] and info.data["protocol"] == "plain":
            raise ValueError("is needed and missing")
        return train

    @field_validator("template", "causal")
    @classmethod
    def _readable(cls, template: str | None) -> str | None:
        try:
            return None if template is None else Template.parse(template).text
        except ConfigError as error:
            raise ValueError(str(error)) from None

    @field_validator("looks")
    @classmethod
    def _quick(cls, looks: dict[str, str]) -> dict[str, str]:
        for column, text in looks.items():
            try:
                Look.parse(text)
            except ValueError as error:
                raise ValueError(f"{column[:80]!r}: {error}") from None
        return looks

    @field_validator("labels")
    @classmethod
    def _distinct(cls, labels: dict[str, str]) -> dict[str, str]:
        """At least two label words, each once and not empty."""
        if len(labels) < 2:
            raise ValueError(f"at least two labels are needed, not {len(labels)}")
        owner: dict[str, str] = {}
        for value, word in labels.items():
            if not word.strip():
                raise ValueError(f"the label word of {value[:80]!r} is empty")
            other = owner.setdefault(word.strip(), value)
            if other != value:
                raise ValueError(
                    f"{other[:80]!r} and {value[:80]!r} share the label word {word[:80]!r};"
                    " the model cannot tell them apart, give each a word of its own"
                )
        return labels


def _among(key: str, names: Iterable[str], known: Iterable[str]) -> None:
    """Every one of `names` is known, or `key` is at fault."""
    there = list(known)
    for name in names:
        if name not in there:
            listed = ", ".join(repr(one[:80]) for one in there[:20])
            raise ValueError(f"{key} names {name[:80]!r}; there are: {listed}")
