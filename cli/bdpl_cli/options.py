"""The options that commands share, each tied to its key in TASK.toml.

One frozen dataclass instead of two dozen parameters threaded through; cyclopts makes flags of its
fields. Unset options stay None and leave the file's value alone, so ``--seed 0`` is a seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter, Token

if TYPE_CHECKING:
    from bdpl_async.overrides import Value

__all__ = ["ArmOptions", "CompareOptions", "Options"]

KEYS = {
    "model": "model.name",
    "base_url": "model.base_url",
    "api_key_env": "model.api_key_env",
    "readout": "model.readout",
    "method": "optimizer.method",
    "max_requests": "budget.requests",
    "max_prompts": "budget.prompts",
    "max_tokens": "budget.tokens",
    "max_usd": "budget.usd",
    "max_seconds": "budget.seconds",
    "steps": "optimizer.steps",
    "seed": "run.seed",
    "concurrency": "model.concurrency",
    "batch_prompts": "model.batch_prompts",
    "rpm": "model.rpm",
    "tpm": "model.tpm",
    "timeout": "model.timeout",
    "price_in": "model.price_in",
    "price_out": "model.price_out",
    "cache": "run.cache",
    "data": "run.data",
    "out": "run.out",
    "ui": "run.ui",
    "yes": "run.yes",
}


PATHS = (
    "task.train",
    "task.dev",
    "task.test",
    "prompt.vocabulary",
    "prompt.corpus",
    "prompt.start_from",
    "model.tokenizer",
    "run.data",
    "run.out",
    "run.cache",
)
NO_PATHS = ("", "pmi", "none")  # names that stand where a path may stand


def _from_here(key: str, value: Value) -> Value:
    if key in PATHS and isinstance(value, str) and value not in NO_PATHS and "://" not in value:
        return str(Path(value).expanduser().absolute())
    return value


def _whole(kind: object, tokens: Sequence[Token]) -> int:
    """A whole number and nothing else; 1.5 is refused, not rounded."""
    value = tokens[0].value
    try:
        return int(value)
    except ValueError:
        raise ValueError(f"{value[:80]!r} is no whole number") from None


Whole = Annotated[int, Parameter(converter=_whole)]


def _option(field: str, text: str, group: str, *, switch: bool = False) -> Parameter:
    """A flag whose help ends in its TOML key."""
    return Parameter(
        help=f"{text} [{KEYS[field]}]",
        group=group,
        show_default=False,
        negative=() if switch else None,
    )


MODEL, BUDGET, RUN = "Model", "Budget", "Run"
Readout = Literal["auto", "token-ids", "logprobs", "chat", "decisions", "text", "mlm"]
Ui = Literal["auto", "rich", "plain", "json", "none"]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line overrides."""

    model: Annotated[str | None, _option("model", "PROVIDER/NAME", MODEL)] = None
    base_url: Annotated[str | None, _option("base_url", "Where the server listens", MODEL)] = None
    api_key_env: Annotated[
        str | None, _option("api_key_env", "Environment variable that holds the key", MODEL)
    ] = None
    readout: Annotated[
        Readout | None, _option("readout", "How label probabilities are read", MODEL)
    ] = None
    concurrency: Annotated[Whole | None, _option("concurrency", "Requests in flight", MODEL)] = None
    batch_prompts: Annotated[Whole | None, _option("batch_prompts", "Prompts a request", MODEL)] = (
        None
    )
    rpm: Annotated[float | None, _option("rpm", "Requests a minute", MODEL)] = None
    tpm: Annotated[float | None, _option("tpm", "Tokens a minute", MODEL)] = None
    timeout: Annotated[float | None, _option("timeout", "Seconds for one attempt", MODEL)] = None
    price_in: Annotated[float | None, _option("price_in", "USD a million prompt tokens", MODEL)] = (
        None
    )
    price_out: Annotated[
        float | None, _option("price_out", "USD a million completion tokens", MODEL)
    ] = None
    max_requests: Annotated[Whole | None, _option("max_requests", "Requests at most", BUDGET)] = (
        None
    )
    max_prompts: Annotated[
        Whole | None, _option("max_prompts", "Example evaluations at most", BUDGET)
    ] = None
    max_tokens: Annotated[Whole | None, _option("max_tokens", "Tokens at most", BUDGET)] = None
    max_usd: Annotated[float | None, _option("max_usd", "US dollars at most", BUDGET)] = None
    max_seconds: Annotated[float | None, _option("max_seconds", "Seconds at most", BUDGET)] = None
    method: Annotated[
        str | None,
        _option("method", "bdpl, bdpl-paper, manual, empty, calibration, random or greedy", RUN),
    ] = None
    steps: Annotated[Whole | None, _option("steps", "Updates at most", RUN)] = None
    seed: Annotated[Whole | None, _option("seed", "Same seed, same result", RUN)] = None
    data: Annotated[
        str | None, _option("data", "Folder with train|dev|test.{tsv,csv,jsonl,parquet}", RUN)
    ] = None
    cache: Annotated[str | None, _option("cache", "PATH, none or redis://...", RUN)] = None
    out: Annotated[str | None, _option("out", "RUN_DIR to write", RUN)] = None
    ui: Annotated[Ui | None, _option("ui", "What to show while running", RUN)] = None
    yes: Annotated[bool | None, _option("yes", "Never ask", RUN, switch=True)] = None
    set_: Annotated[
        tuple[str, ...],
        Parameter(
            name="--set",
            help="Any TOML key, as in optimizer.samples=20",
            group=RUN,
            negative=(),
            show_default=False,
        ),
    ] = ()

    def overrides(self) -> dict[str, Value]:
        """What was given, as dotted TOML keys; options win over ``--set``.

        A path in a file counts from that file, one on the command line from where it is typed.

        Raises:
            ConfigError: a ``--set`` that is not table.key=value.
        """
        from bdpl_async.overrides import parse_override

        found: dict[str, Value] = dict(parse_override(item) for item in self.set_)
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in KEYS and value is not None:
                found[KEYS[field.name]] = value
        return {key: _from_here(key, value) for key, value in found.items()}


def _several(text: str, group: str) -> Parameter:
    return Parameter(help=text, group=group, negative=(), show_default=False)


MODELS = _several("PROVIDER/NAME, several times for several; see [[models]]", MODEL)
METHODS = _several(
    "bdpl, bdpl-paper, manual, empty, calibration, random or greedy, several times for several;"
    " without it the task's own, and for a single model also random, manual and empty",
    RUN,
)
SEEDS = Parameter(help="So many: seeds 0..N-1", group=RUN, show_default=False)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ArmOptions(Options):
    """The same where there may be several models, methods and seeds."""

    model: Annotated[tuple[str, ...], MODELS] = ()  # type: ignore[assignment]  # of `overrides`
    method: Annotated[tuple[str, ...], METHODS] = ()  # type: ignore[assignment]
    seeds: Annotated[Whole | None, SEEDS] = None

    def overrides(self) -> dict[str, Value]:
        """What was given for all arms; see `Options.overrides`."""
        return Options.overrides(replace(self, model=None, method=None))  # type: ignore[arg-type]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class CompareOptions(ArmOptions):
    """The same, and where the runs run."""

    executor: Annotated[
        Literal["local", "ray"], Parameter(help="Where the runs run", group=RUN)
    ] = "local"
    address: Annotated[
        str | None, Parameter(help="Of the cluster", group=RUN, show_default=False)
    ] = None
