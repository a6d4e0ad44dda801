"""From a configuration to a connected scorer, refusing first what this release cannot do."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from bdpl_async.config import Config
from bdpl_async.scorer import Scorer
from bdpl_async.unbuilt import refuse_unbuilt
from bdpl_providers import connect

__all__ = ["connected"]


def connected(config: Config, *, sends: bool = True) -> AbstractAsyncContextManager[Scorer]:
    """The scorer that ``[model]`` names.

    Raises:
        ConfigError: a setting that is not built yet, or an unknown provider.
    """
    refuse_unbuilt(config)
    model = config.model
    return connect(
        model.name,
        base_url=model.base_url,
        api_key_env=model.api_key_env,
        readout=model.readout,
        timeout=model.timeout,
        concurrency=model.concurrency,
        batch_prompts=model.batch_prompts,
        tokenizer=model.tokenizer,
        system=config.chat.system,
        ask=config.chat.ask,
        device=model.device,
        dtype=model.dtype,
        sends=sends,
    )
