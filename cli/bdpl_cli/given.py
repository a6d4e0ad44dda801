"""What a command line may say to commands that are no single run, and what of it they refuse."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bdpl_async.overrides import Value
    from bdpl_async.studies.arms import Wanted
    from bdpl_cli.options import ArmOptions, Given

__all__ = ["changes", "quiet", "wanted"]

TABLES = ("model", "budget", "chat")
MOST_SEEDS = 10_000
KEYS = ("run.data", "run.cache", "run.ui", "run.yes")


def changes(options: Given, command: str, *, more: Collection[str] = ()) -> dict[str, Value]:
    """The keys that were given, all of which have an effect on a run that is over.

    Args:
        options: of the command line.
        command: for messages.
        more: other keys that the command takes.

    Raises:
        ConfigError: a key that belongs to the run itself.
    """
    from bdpl_async.errors import ConfigError

    found = options.overrides()
    for key in found:
        if key.partition(".")[0] not in TABLES and key not in (*KEYS, *more):
            raise ConfigError(
                f"{key}: {command} cannot change it, the run has its own",
                hint=f"what can be set here: {', '.join(TABLES)}, {', '.join(KEYS)}",
            )
    return found


def quiet(given: Mapping[str, Value], command: str) -> bool:
    """Whether nobody wants to be told of progress.

    Args:
        given: dotted keys of the command line.
        command: for messages.

    Raises:
        ConfigError: a view that the command has not.
    """
    from bdpl_async.errors import ConfigError

    ui = given.get("run.ui", "auto")
    if ui not in ("auto", "plain", "none"):
        raise ConfigError(
            f"--ui {ui}: {command} has plain lines only",
            hint="take auto, plain or none; --json prints the result",
        )
    return ui == "none"


def wanted(options: ArmOptions, overrides: Mapping[str, Value]) -> Wanted:
    """The arms that the command line names.

    Raises:
        ConfigError: seeds that contradict each other, none, or too many.
    """
    from bdpl_async.errors import ConfigError
    from bdpl_async.studies.arms import Wanted

    methods: tuple[str, ...] = options.method
    if not methods and (method := overrides.get("optimizer.method")) is not None:
        methods = (str(method),)
    if options.seeds is None:
        return Wanted(options.model, methods)
    if options.seed is not None:
        raise ConfigError(
            "--seed and --seeds: which one?", hint="--seeds N are seeds 0..N-1, --seed N is one"
        )
    if not 1 <= options.seeds <= MOST_SEEDS:
        raise ConfigError(f"--seeds {options.seeds}: must be from 1 to {MOST_SEEDS:,}")
    return Wanted(options.model, methods, tuple(range(options.seeds)))
