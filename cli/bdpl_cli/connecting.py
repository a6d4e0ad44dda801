"""From a configuration to a connected scorer, refusing first what this release cannot do."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from bdpl_async.config import ChatTable, Config
from bdpl_async.errors import ConfigError
from bdpl_async.scorer import Scorer
from bdpl_providers import connect

__all__ = ["connected"]


def connected(config: Config) -> AbstractAsyncContextManager[Scorer]:
    """The scorer that ``[model]`` names.

    Raises:
        ConfigError: a setting that is not built yet, or an unknown provider.
    """
    _refuse_unbuilt(config)
    model = config.model
    return connect(
        model.name,
        base_url=model.base_url,
        api_key_env=model.api_key_env,
        readout=model.readout,
        device=model.device,
        dtype=model.dtype,
    )


def _refuse_unbuilt(config: Config) -> None:
    """What the documentation promises and this release has not: say so, never pretend."""
    asked = {
        "run.cache": config.run.cache not in (None, "none"),
        "run.ui": config.run.ui == "rich",
        "model.rpm": config.model.rpm is not None,
        "model.tpm": config.model.tpm is not None,
        "optimizer.calibration": config.optimizer.calibration != "none",
        "model.price_in": config.model.price_in is not None,
        "model.price_out": config.model.price_out is not None,
        "models": bool(config.models),
        "chat": config.chat != ChatTable(),
    }
    for key, given in asked.items():
        if given:
            raise ConfigError(f"{key}: not built yet", hint="leave it out")
