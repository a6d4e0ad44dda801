"""TASK.toml and run.toml: what a run was told, checked before anything is sent.

A file is read with the standard library, laid over the defaults, overridden key by key from the
command line, and frozen. Every error names the file, the key and, where there is one, the line.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from bdpl_async.errors import ConfigError
from bdpl_async.keyerrors import explain
from bdpl_async.overrides import Value, lay_over
from bdpl_async.template import Template
from bdpl_async.textfile import exists, read_text

__all__ = ["Config", "builtin_tasks", "load_config", "resolve_task"]

MAX_FILE_BYTES = 1_000_000
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Filled = Annotated[str, Field(min_length=1)]


class _Table(BaseModel):
    """A TOML table: no key that we do not know, no silent conversion, no change afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class TaskTable(_Table):
    """[task]: the data, the template and the label words.

    The metric `f1` takes the label that is written second as the positive one.
    """

    name: Filled
    train: Filled
    dev: Filled | None = None
    test: Filled | None = None
    label: Filled = "label"
    template: str
    labels: dict[str, str]
    metric: Literal["accuracy", "f1", "macro_f1", "mcc"] = "accuracy"
    k_shot: Count | None = None

    @model_validator(mode="after")
    def _f1_has_two_sides(self) -> Self:
        if self.metric == "f1" and len(self.labels) != 2:
            raise ValueError(
                f"metric 'f1' needs two labels, the positive one second, not {len(self.labels)};"
                " macro_f1 takes more"
            )
        return self

    @field_validator("template")
    @classmethod
    def _readable(cls, template: str) -> str:
        try:
            return Template.parse(template).text
        except ConfigError as error:
            raise ValueError(str(error)) from None

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


class PromptTable(_Table):
    """[prompt]: how long a prompt is and what it is made of."""

    length: Annotated[int, Field(ge=1, le=1000)] = 10
    manual: str | None = None
    vocabulary_size: Annotated[int, Field(ge=2, le=1_000_000)] = 200
    vocabulary: Filled = "pmi"
    corpus: Filled | None = None


class OptimizerTable(_Table):
    """[optimizer]: the method and its settings."""

    method: Literal["bdpl", "bdpl-paper", "manual", "empty", "calibration", "random", "greedy"] = (
        "bdpl"
    )
    samples: Annotated[int, Field(ge=2, le=10_000)] = 20
    batch: Count = 4
    loss: Literal["ce", "hinge"] = "ce"
    calibration: Literal["none", "contextual", "batch"] = "none"
    steps: Count | None = None
    lr: Positive | None = None
    max_kl: Positive | None = None
    finalists: Annotated[int, Field(ge=1, le=256)] = 8


class ModelTable(_Table):
    """[model]: who scores, and how it may be asked."""

    name: str = "roberta/builtin"
    base_url: Filled | None = None
    api_key_env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    readout: Literal["auto", "token-ids", "logprobs", "chat", "decisions", "text", "mlm"] = "auto"
    price_in: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    price_out: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    rpm: Positive | None = None
    tpm: Positive | None = None
    concurrency: Annotated[int, Field(ge=1, le=4096)] = 64
    batch_prompts: Annotated[int, Field(ge=1, le=1024)] | None = None
    timeout: Positive = 60.0
    attempts: Annotated[int, Field(ge=1, le=100)] = 8
    tokenizer: Filled | None = None
    device: str | None = None
    dtype: Literal["auto", "float32", "bf16", "float16"] | None = None

    @model_validator(mode="after")
    def _priced_whole(self) -> Self:
        if (self.price_in is None) != (self.price_out is None):
            raise ValueError("price_in and price_out go together; a price of 0 is a price")
        return self


class BudgetTable(_Table):
    """[budget]: the grant; what is left out has no limit."""

    requests: Count | None = None
    prompts: Count | None = None
    tokens: Count | None = None
    usd: Positive | None = None
    seconds: Positive | None = None


class RunTable(_Table):
    """[run]: what belongs to one run rather than to the task."""

    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = 0
    data: Filled | None = None
    out: Filled | None = None
    cache: Filled | None = None
    yes: bool = False
    ui: Literal["auto", "rich", "plain", "json", "none"] = "auto"


class ChatTable(_Table):
    """[chat]: what a chat model is told around the text."""

    system: str | None = None
    ask: str | None = None


class Config(_Table):
    """One run's whole configuration, as written to run.toml."""

    task: TaskTable
    prompt: PromptTable = PromptTable()
    optimizer: OptimizerTable = OptimizerTable()
    model: ModelTable = ModelTable()
    models: list[ModelTable] = []
    budget: BudgetTable = BudgetTable()
    run: RunTable = RunTable()
    chat: ChatTable = ChatTable()

    @classmethod
    def check(
        cls,
        tables: Mapping[str, object],
        *,
        source: str,
        text: str = "",
        overrides: Mapping[str, Value] | None = None,
    ) -> Config:
        """The configuration that `tables` hold.

        Args:
            tables: as TOML gives them.
            source: what messages name as the origin.
            text: the TOML text, for line numbers.
            overrides: keys that did not come from the text.

        Raises:
            ConfigError: naming each key at fault.
        """
        try:
            return cls.model_validate(tables)
        except ValidationError as error:
            given = overrides or {}
            raise explain(error, cls, source=source, text=text, overrides=given) from None

    def to_toml(self) -> str:
        """The configuration as TOML that `load_config` reads back; keys without a value are out."""
        import tomli_w

        tables = self.model_dump(exclude_none=True)
        return tomli_w.dumps({name: table for name, table in tables.items() if table})


def builtin_tasks() -> dict[str, Path]:
    """The tasks that ship with the package: name -> TASK.toml."""
    folder = Path(__file__).parent / "tasks"
    return {path.parent.name: path for path in sorted(folder.glob("*/task.toml"))}


def resolve_task(name_or_path: str) -> Path:
    """The TASK.toml meant by a command line: a path, or the name of a built-in task.

    Raises:
        ConfigError: neither; built-in names that look alike are suggested.
    """
    builtin = builtin_tasks()
    path = Path(name_or_path)
    if name_or_path in builtin and not path.is_file():
        return builtin[name_or_path]
    if path.suffix == ".toml" or exists(path):
        return path
    near = difflib.get_close_matches(name_or_path, builtin, n=1)
    raise ConfigError(
        f"no task {name_or_path[:80]!r}: neither a file nor a built-in task",
        hint=(f"did you mean {near[0]!r}? " if near else "")
        + f"built in: {', '.join(builtin)}; or give the path of a TASK.toml",
    )


def load_config(path: Path, overrides: Mapping[str, Value] | None = None) -> Config:
    """Read a TASK.toml or run.toml; `overrides` are dotted keys, as in ``optimizer.steps``.

    Raises:
        ConfigError: the file cannot be read, or says something a run cannot use.
    """
    hint = f"TASK is a .toml file or built in: {', '.join(builtin_tasks())}"
    text = read_text(path, most=MAX_FILE_BYTES, hint=hint)
    try:
        tables: dict[str, object] = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also numbers and nesting beyond all reason
        raise ConfigError(f"{path}: not TOML: {str(error)[:200]}") from None
    for key, value in (overrides or {}).items():
        lay_over(tables, key, value)
    return Config.check(tables, source=str(path), text=text, overrides=overrides)
