"""From a configuration to a connected scorer: what cannot be is refused, what is risky is said."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bdpl_async.config import Config
from bdpl_async.premises import refuse_several
from bdpl_async.scorer import Scorer
from bdpl_cli.stderr import warn
from bdpl_providers import connect

__all__ = ["connected"]


@asynccontextmanager
async def connected(config: Config, *, sends: bool = True) -> AsyncIterator[Scorer]:
    """The scorer that ``[model]`` names; what it warns of is on stderr before anything is sent.

    Raises:
        ConfigError: a setting that is not built yet, or an unknown provider.
    """
    refuse_several(config)
    model = config.model
    async with connect(
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
        workers=model.workers,
        dtype=model.dtype,
        sends=sends,
    ) as scorer:
        for warning in getattr(scorer, "warnings", ()):
            warn(warning)
        yield scorer
