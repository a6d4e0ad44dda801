"""What flags are made of: groups, kinds of values, and each flag's key in TASK.toml."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Group, Parameter, Token

if TYPE_CHECKING:
    from bdpl_async.overrides import Value

__all__ = [
    "BUDGET",
    "KEYS",
    "MODEL",
    "MORE",
    "OUTPUT",
    "PATHS",
    "SEARCH",
    "SILENT",
    "WHERE",
    "Method",
    "Readout",
    "Ui",
    "Whole",
    "from_here",
    "option",
    "several",
]

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
    "budget_group": "group.name",
    "budget_redis": "group.redis",
    "steps": "optimizer.steps",
    "seed": "run.seed",
    "concurrency": "model.concurrency",
    "batch_prompts": "model.batch_prompts",
    "rpm": "model.rpm",
    "tpm": "model.tpm",
    "timeout": "model.timeout",
    "workers": "model.workers",
    "price_in": "model.price_in",
    "price_out": "model.price_out",
    "cache": "run.cache",
    "data": "run.data",
    "out": "run.out",
    "telemetry": "run.telemetry",
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

MODEL = Group("Model", sort_key=10)
BUDGET = Group("Budget", sort_key=20)
SEARCH = Group("Search", sort_key=30)
OUTPUT = Group("Data and output", sort_key=40)
WHERE = Group("Where the runs run", sort_key=50)
MORE = Group("Everything else", sort_key=60)

Readout = Literal["auto", "token-ids", "logprobs", "chat", "decisions", "text", "mlm"]
Method = Literal["bdpl", "bdpl-paper", "manual", "empty", "calibration", "random", "greedy"]
Ui = Literal["auto", "rich", "plain", "json", "none"]


def from_here(key: str, value: Value) -> Value:
    """A value that is a path, from where it is typed; any other as it is."""
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


def option(field: str, text: str, group: Group, *, switch: bool = False) -> Parameter:
    """A flag whose help ends in its TOML key."""
    return Parameter(
        help=f"{text} [{KEYS[field]}]",
        group=group,
        show_default=False,
        negative=() if switch else None,
    )


SILENT = Parameter(show=False, negative=())
"""A flag that is understood and not listed: it changes nothing here, or is refused by its key."""


def several(text: str, group: Group) -> Parameter:
    """A flag that may be given several times."""
    return Parameter(help=text, group=group, negative=(), show_default=False)
