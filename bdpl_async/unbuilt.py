"""What the configuration can say and this release cannot do: refused aloud, never ignored."""

from __future__ import annotations

from bdpl_async.config import Config
from bdpl_async.errors import ConfigError

__all__ = ["refuse_unbuilt"]


def refuse_unbuilt(config: Config) -> None:
    """See to it that every setting that was given has an effect.

    Raises:
        ConfigError: naming the first key that has none yet.
    """
    if config.models:
        raise ConfigError(
            "models: several models are for compare and transfer",
            hint="a run takes one, in [model]",
        )
