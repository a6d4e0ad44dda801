"""The flags that commands share, in groups; each flag is tied to its key in TASK.toml.

A part is a frozen dataclass whose fields become flags; `bdpl_cli.options` puts together for each
command the parts that mean something to it. Unset options stay None and leave the file's value
alone, so ``--seed 0`` is a seed.
"""

# Annotations stand as they are, not as text: cyclopts reads them from subclasses elsewhere too.
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, TypeVar

from cyclopts import Parameter

from bdpl_cli.optionkeys import (
    BUDGET,
    KEYS,
    MODEL,
    MORE,
    OUTPUT,
    SEARCH,
    SILENT,
    Method,
    Readout,
    Ui,
    Whole,
    from_here,
    option,
    several,
)

if TYPE_CHECKING:
    from bdpl_async.overrides import Value

__all__ = [
    "Bygone",
    "Cached",
    "Data",
    "Given",
    "Methods",
    "Model",
    "Models",
    "Quiet",
    "Search",
    "Seed",
    "Server",
    "hiding",
    "names",
]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Given:
    """What the command line overrides."""

    set_: Annotated[
        tuple[str, ...],
        Parameter(
            name="--set",
            help="Any key of TASK.toml, as in optimizer.samples=20; may be repeated",
            group=MORE,
            negative=(),
            show_default=False,
        ),
    ] = ()

    def overrides(self) -> "dict[str, Value]":
        """What was given, as dotted TOML keys; options win over ``--set``.

        A path in a file counts from that file, one on the command line from where it is typed.
        Options that may be given several times are no overrides.

        Raises:
            ConfigError: a ``--set`` that is not table.key=value.
        """
        from bdpl_async.overrides import parse_override

        found: dict[str, Value] = dict(parse_override(item) for item in self.set_)
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in KEYS and value is not None and not isinstance(value, tuple):
                found[KEYS[field.name]] = value
        return {key: from_here(key, value) for key, value in found.items()}


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Model(Given):
    """Which one."""

    model: Annotated[
        str | None, option("model", "PROVIDER/NAME, as in vllm/Qwen/Qwen3-4B", MODEL)
    ] = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Models(Given):
    """Which ones."""

    model: Annotated[
        tuple[str, ...],
        several("PROVIDER/NAME, several times for several; see [[models]]", MODEL),
    ] = ()


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Server(Given):
    """How models may be asked, and for how much."""

    base_url: Annotated[str | None, option("base_url", "Where the server listens", MODEL)] = None
    api_key_env: Annotated[
        str | None, option("api_key_env", "Environment variable that holds the key", MODEL)
    ] = None
    readout: Annotated[
        Readout | None, option("readout", "How label probabilities are read", MODEL)
    ] = None
    concurrency: Annotated[Whole | None, option("concurrency", "Requests in flight", MODEL)] = None
    batch_prompts: Annotated[Whole | None, option("batch_prompts", "Prompts a request", MODEL)] = (
        None
    )
    rpm: Annotated[float | None, option("rpm", "Requests a minute", MODEL)] = None
    tpm: Annotated[float | None, option("tpm", "Tokens a minute", MODEL)] = None
    timeout: Annotated[float | None, option("timeout", "Seconds for one attempt", MODEL)] = None
    workers: Annotated[
        Whole | None, option("workers", "Ray actors that score a roberta/ model", MODEL)
    ] = None
    price_in: Annotated[float | None, option("price_in", "USD a million prompt tokens", MODEL)] = (
        None
    )
    price_out: Annotated[
        float | None, option("price_out", "USD a million completion tokens", MODEL)
    ] = None
    max_requests: Annotated[Whole | None, option("max_requests", "Requests at most", BUDGET)] = None
    max_prompts: Annotated[
        Whole | None, option("max_prompts", "Example evaluations at most", BUDGET)
    ] = None
    max_tokens: Annotated[Whole | None, option("max_tokens", "Tokens at most", BUDGET)] = None
    max_usd: Annotated[float | None, option("max_usd", "US dollars at most", BUDGET)] = None
    max_seconds: Annotated[float | None, option("max_seconds", "Seconds at most", BUDGET)] = None
    budget_group: Annotated[
        str | None, option("budget_group", "A budget that many processes share", BUDGET)
    ] = None
    budget_redis: Annotated[
        str | None, option("budget_redis", "redis://... that keeps it, else --cache's", BUDGET)
    ] = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Search(Given):
    """How a prompt is looked for."""

    method: Annotated[Method | None, option("method", "How a prompt is found", SEARCH)] = None
    steps: Annotated[Whole | None, option("steps", "Updates at most", SEARCH)] = None


METHODS = several(
    "How a prompt is found, several times for several; without it the task's own, and for a"
    " single model also random, manual and empty",
    SEARCH,
)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Methods(Given):
    """Several ways."""

    method: Annotated[tuple[Method, ...], METHODS] = ()
    steps: Annotated[Whole | None, option("steps", "Updates at most", SEARCH)] = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Seed(Given):
    """What chance depends on."""

    seed: Annotated[Whole | None, option("seed", "Same seed, same result", SEARCH)] = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Data(Given):
    """Where the rows come from."""

    data: Annotated[
        str | None, option("data", "Folder with train|dev|test.{tsv,csv,jsonl,parquet}", OUTPUT)
    ] = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Cached(Given):
    """Where answers are kept."""

    cache: Annotated[
        str | None, option("cache", "Where answers are kept: PATH, none or redis://...", OUTPUT)
    ] = None
    telemetry: Annotated[
        str | None, option("telemetry", "otlp, prometheus:PORT or both; else off", OUTPUT)
    ] = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Quiet(Given):
    """What is told meanwhile, by a command that has plain lines only."""

    ui: Annotated[
        Ui | None, option("ui", "auto and plain tell what is done, none tells nothing", OUTPUT)
    ] = None
    yes: Annotated[bool | None, SILENT] = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Bygone(Given):
    """What a run that is over has settled; refused with a message that says so."""

    method: Annotated[str | None, SILENT] = None
    steps: Annotated[Whole | None, SILENT] = None
    seed: Annotated[Whole | None, SILENT] = None


Part = TypeVar("Part", bound=type[Given])


def names(*parts: type[Given]) -> set[str]:
    """The fields of some parts; not ``--set``, which every part has."""
    return {field.name for part in parts for field in fields(part)} - {"set_"}


def hiding(*hidden: str) -> Callable[[Part], Part]:
    """Understand these flags of a class's bases without listing them; goes below ``@dataclass``.

    What makes no difference to a command may stand on its line all the same, so that the command
    line of a ``run`` works there too.
    """

    def hide(part: Part) -> Part:
        for field in fields(part):
            if field.name in hidden:
                part.__annotations__[field.name] = Annotated[field.type, SILENT]
        return part

    return hide
