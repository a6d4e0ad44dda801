"""What a command line may change about a finished run: who is asked, and what it may cost."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bdpl_async.overrides import Value
    from bdpl_cli.options import Options

__all__ = ["changes"]

TABLES = ("model", "budget", "chat")
KEYS = ("run.data", "run.cache", "run.ui", "run.yes")


def changes(options: Options, command: str, *, more: Collection[str] = ()) -> dict[str, Value]:
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
