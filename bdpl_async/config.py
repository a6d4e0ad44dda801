"""TASK.toml and run.toml: what a run was told, checked before anything is sent.

A file is read with the standard library, laid over the defaults, overridden key by key from the
command line, and frozen. Every error names the file, the key and, where there is one, the line.
"""

from __future__ import annotations

import difflib
import shlex
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from bdpl_async.data.textfile import exists, read_text
from bdpl_async.errors import ConfigError
from bdpl_async.keyerrors import explain
from bdpl_async.keylike import namelike
from bdpl_async.overrides import Value, lay_over
from bdpl_async.sharing.address import Address, is_address
from bdpl_async.table import Count, Filled, Positive, Table
from bdpl_async.tasktable import TaskTable

__all__ = ["Config", "builtin_tasks", "load_config", "resolve_task"]

MAX_FILE_BYTES = 1_000_000
DATA = (".csv", ".tsv", ".jsonl", ".parquet")
GLUE = ("sst2", "mnli", "mnli-mm", "qqp", "mrpc", "cola", "qnli", "rte")
BUILTIN = ("reviews", *GLUE, "ci", "se", "rct", "hp")


class PromptTable(Table):
    """[prompt]: how long a prompt is and what it is made of."""

    length: Annotated[int, Field(ge=1, le=1000)] = 10
    manual: str | None = None
    start: Filled | None = None
    start_from: Filled | None = None
    vocabulary_size: Annotated[int, Field(ge=2, le=1_000_000)] = 200
    vocabulary: Filled = "pmi"
    corpus: Filled | None = None


class OptimizerTable(Table):
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
    share: Annotated[float, Field(ge=0, le=1000)] = 3.0
    finalists: Annotated[int, Field(ge=1, le=256)] = 8
    patience: Count | None = None
    lag: Annotated[int, Field(ge=0, le=64)] | None = None


class ModelTable(Table):
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
    workers: Annotated[int, Field(ge=1, le=1024)] | None = None
    dtype: Literal["auto", "float32", "bf16", "float16"] | None = None

    @field_validator("api_key_env")
    @classmethod
    def _no_key(cls, name: str | None) -> str | None:
        if name is not None and not namelike(name):
            raise ValueError("must be the name of an environment variable, not the key itself")
        return name

    @model_validator(mode="after")
    def _priced_whole(self) -> Self:
        if (self.price_in is None) != (self.price_out is None):
            raise ValueError("price_in and price_out go together; a price of 0 is a price")
        return self


class BudgetTable(Table):
    """[budget]: the grant; what is left out has no limit."""

    requests: Count | None = None
    prompts: Count | None = None
    tokens: Count | None = None
    usd: Positive | None = None
    seconds: Positive | None = None


class RunTable(Table):
    """[run]: what belongs to one run rather than to the task."""

    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = 0
    data: Filled | None = None
    out: Filled | None = None
    cache: Filled | None = None
    telemetry: Filled | None = None
    yes: bool = False
    ui: Literal["auto", "rich", "plain", "json", "none"] = "auto"

    @field_validator("cache")
    @classmethod
    def _sound(cls, cache: str | None) -> str | None:
        if cache is not None and is_address(cache):
            Address.of("run.cache", cache)
        return cache


class GroupTable(Table):
    """[group]: a budget that many processes share, and the Redis that keeps it."""

    name: Annotated[str, Field(pattern=r"^[\w.-]{1,100}$")] | None = None
    redis: Filled | None = None

    @field_validator("redis")
    @classmethod
    def _sound(cls, redis: str | None) -> str | None:
        if redis is not None:
            Address.of("group.redis", redis)
        return redis


class ChatTable(Table):
    """[chat]: what a chat model is told around the text."""

    system: str | None = None
    ask: str | None = None


class Config(Table):
    """One run's whole configuration, as written to run.toml."""

    task: TaskTable
    prompt: PromptTable = PromptTable()
    optimizer: OptimizerTable = OptimizerTable()
    model: ModelTable = ModelTable()
    models: list[ModelTable] = Field(default_factory=list)
    budget: BudgetTable = BudgetTable()
    group: GroupTable = GroupTable()
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
    """The tasks that ship with the package: name -> TASK.toml; ours first, then the paper's."""
    folder = Path(__file__).parent / "tasks"
    return {name: folder / name / "task.toml" for name in BUILTIN}


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
    if path.suffix.lower() in DATA and exists(path):
        make = f"bdpl-async init {shlex.quote(str(path))}"
        raise ConfigError(f"{path} holds data", hint=f"make a task of it: {make}")
    hint = f"TASK is a .toml file or built in: {', '.join(builtin_tasks())}"
    text = read_text(path, most=MAX_FILE_BYTES, hint=hint)
    try:
        tables: dict[str, object] = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also numbers and nesting beyond all reason
        raise ConfigError(f"{path}: not TOML: {str(error)[:200]}") from None
    for key, value in (overrides or {}).items():
        lay_over(tables, key, value)
    return Config.check(tables, source=str(path), text=text, overrides=overrides)
