"""TASK.toml and run.toml: what a run was told, checked before anything is sent.

A file is read with the standard library, laid over the defaults, overridden key by key from the
command line, and frozen. Every error names the file, the key and, where there is one, the line.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bdpl_async.errors import ConfigError

__all__ = ["Config", "builtin_tasks", "load_config", "parse_override", "resolve_task"]

MAX_FILE_BYTES = 1_000_000
METHODS = ("bdpl", "bdpl-paper", "manual", "empty", "calibration", "random", "greedy")
Value = str | int | float | bool | None
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]


class _Table(BaseModel):
    """A TOML table: no key that we do not know, no silent conversion, no change afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class TaskTable(_Table):
    """[task]: the data, the template and the label words."""

    name: Annotated[str, Field(min_length=1)]
    train: str
    dev: str | None = None
    test: str | None = None
    label: str = "label"
    template: str
    labels: dict[str, str]
    metric: Literal["accuracy", "f1", "macro_f1", "mcc"] = "accuracy"
    k_shot: Count | None = None


class PromptTable(_Table):
    """[prompt]: how long a prompt is and what it is made of."""

    length: Annotated[int, Field(ge=1, le=1000)] = 10
    manual: str | None = None
    vocabulary_size: Annotated[int, Field(ge=2, le=1_000_000)] = 200
    vocabulary: str = "pmi"


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
    max_kl: Positive = 0.02
    finalists: Annotated[int, Field(ge=1, le=256)] = 8


class ModelTable(_Table):
    """[model]: who scores, and how it may be asked."""

    name: str = "roberta/builtin"
    base_url: str | None = None
    api_key_env: str | None = None
    readout: Literal["auto", "token-ids", "logprobs", "chat", "decisions", "text", "mlm"] = "auto"
    price_in: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    price_out: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    rpm: Positive | None = None
    tpm: Positive | None = None
    concurrency: Annotated[int, Field(ge=1, le=4096)] = 64
    batch_prompts: Annotated[int, Field(ge=1, le=1024)] | None = None
    timeout: Positive = 60.0


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
    data: str | None = None
    out: str | None = None
    cache: str | None = None
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
            raise _explain(error, source, text, overrides or {}) from None

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
    if path.suffix == ".toml" or path.exists():
        return path
    near = difflib.get_close_matches(name_or_path, builtin, n=1)
    raise ConfigError(
        f"no task {name_or_path!r}: neither a file nor a built-in task",
        hint=(f"did you mean {near[0]!r}? " if near else "")
        + f"built in: {', '.join(builtin)}; or give the path of a TASK.toml",
    )


def load_config(path: Path, overrides: Mapping[str, Value] | None = None) -> Config:
    """Read a TASK.toml or run.toml; `overrides` are dotted keys, as in ``optimizer.steps``.

    Raises:
        ConfigError: the file cannot be read, or says something a run cannot use.
    """
    text = _read_text(path)
    try:
        tables: dict[str, object] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}") from None
    for key, value in (overrides or {}).items():
        _set(tables, key, value)
    return Config.check(tables, source=str(path), text=text, overrides=overrides)


def parse_override(assignment: str) -> tuple[str, Value]:
    """``table.key=value`` with a TOML value; what is no TOML value is taken as a string.

    Raises:
        ConfigError: no ``=``, or a key that is not ``table.key``.
    """
    key, equals, text = assignment.partition("=")
    if not equals or not re.fullmatch(r"[a-z_]+\.[A-Za-z0-9_]+", key.strip()):
        raise ConfigError(
            f"--set {assignment}: not of the form table.key=value",
            hint="for example --set optimizer.samples=20",
        )
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    if not isinstance(value, str | int | float | bool):
        raise ConfigError(f"--set {assignment}: a single value is needed, not a table or a list")
    return key.strip(), value


def _read_text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ConfigError(f"{path}: larger than {MAX_FILE_BYTES} bytes, so not a TASK.toml")
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text (byte {error.start})") from None


def _set(tables: dict[str, object], dotted: str, value: Value) -> None:
    table, _, key = dotted.partition(".")
    target = tables.setdefault(table, {})
    if not isinstance(target, dict):
        raise ConfigError(f"{dotted}: {table} is not a table")
    if value is None:
        target.pop(key, None)
    else:
        target[key] = value


def _explain(
    error: ValidationError, source: str, text: str, overrides: Mapping[str, Value]
) -> ConfigError:
    """Each problem in one line: file, line, key, and what is the matter; four lines at most."""
    lines = []
    for problem in error.errors(include_url=False)[:4]:
        keys = [str(part) for part in problem["loc"]]
        dotted = ".".join(keys)
        if dotted in overrides:
            where = f"{dotted} = {overrides[dotted]!r}"
        else:
            line = _line_of(text, keys)
            where = f"{source}:{line}: {dotted}" if line else f"{source}: {dotted}"
        lines.append(f"{where}: {_words(problem['type'], problem['msg'], keys)}")
    return ConfigError("\n".join(lines))


def _words(kind: str, message: str, keys: list[str]) -> str:
    if kind == "missing":
        return "is needed and missing"
    if kind == "extra_forbidden":
        known = _known_keys(keys[:-1])
        near = difflib.get_close_matches(keys[-1], known, n=1)
        return "unknown key" + (f"; did you mean {near[0]!r}?" if near else "")
    return message[:1].lower() + message[1:]


def _known_keys(parents: list[str]) -> list[str]:
    if not parents:
        return list(Config.model_fields)
    field = Config.model_fields.get(parents[0])
    table = ModelTable if parents[0] == "models" else field.annotation if field else None
    if isinstance(table, type) and issubclass(table, BaseModel):
        return list(table.model_fields)
    return []


def _line_of(text: str, keys: list[str]) -> int | None:
    """The line where ``keys[0]`` opens as a table and, below it, ``keys[1]`` is set."""
    names = [re.escape(key) for key in keys if not key.isdigit()]
    depth = len(names)
    opened = None
    for number, line in enumerate(text.splitlines(), start=1):
        header = re.match(r"\s*\[+\s*([^\]\s]+)", line)
        if header:
            if opened and depth > 1:
                return opened
            opened = number if re.fullmatch(names[0], header[1]) else None
            continue
        wanted = names[1] if depth > 1 and opened else names[0] if depth == 1 else None
        if wanted and re.match(rf"\s*[\"']?{wanted}[\"']?\s*=", line):
            return number
    return opened
