"""Any server that speaks the OpenAI dialect: what it gives is found out by the probe.

The key comes only from the variable that ``api_key_env`` names. ``OPENAI_API_KEY`` is never taken
by itself: it would go to a stranger.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from bdpl_async.errors import ConfigError
from bdpl_providers.candidates import chat, chosen, text, token_ids, top_k
from bdpl_providers.credentials import checked_url, key_from
from bdpl_providers.dialect import Dialect
from bdpl_providers.server import Server
from bdpl_providers.tokenizer import find_tokenizer
from bdpl_providers.transport import HttpTransport

if TYPE_CHECKING:
    from bdpl_providers import Connection

__all__ = ["from_connection"]


def from_connection(connection: Connection) -> Server:
    """The provider's entry point.

    Raises:
        ConfigError: no base URL, a bad one, an option that this provider does not have, or no
            key where `api_key_env` names one.
    """
    told, model = connection, connection.model
    name = f"compatible/{model}"
    if told.base_url is None:
        raise ConfigError(
            f"model.base_url: {name} needs one", hint="for example http://localhost:8080/v1"
        )
    base_url = checked_url(told.base_url)
    offered = (
        top_k(model),
        chat(model, told.system, told.ask),
        *text(model, told.system, told.ask),
        token_ids(model),
    )
    wanted = chosen(name, told.readout, offered, auto=("logprobs", "chat", "text"))
    dialect = Dialect(
        "compatible",
        model,
        base_url,
        wanted,
        others=tuple(candidate for candidate in offered if candidate not in wanted),
        batch_prompts=told.batch_prompts,
        tokenizer=find_tokenizer(told.tokenizer, model),
    )
    key = (
        key_from(told.api_key_env, None, required=False, environ=os.environ) if told.sends else None
    )
    return Server(
        dialect,
        HttpTransport(name, base_url, key, timeout=told.timeout, concurrency=told.concurrency),
    )
