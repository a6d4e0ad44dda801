"""Any server that speaks the OpenAI dialect: what it gives is found out by the probe.

The key comes only from the variable that ``api_key_env`` names. ``OPENAI_API_KEY`` is never taken
by itself: it would go to a stranger.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bdpl_async.errors import ConfigError
from bdpl_providers.candidates import chat, text, token_ids, top_k
from bdpl_providers.served import served
from bdpl_providers.server import Server

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
    if told.base_url is None:
        raise ConfigError(
            f"model.base_url: compatible/{model} needs one",
            hint="for example http://localhost:8080/v1",
        )
    offered = (
        top_k(model),
        chat(model, told.system, told.ask),
        *text(model, told.system, told.ask),
        token_ids(model),
    )
    return served("compatible", told, told.base_url, offered, auto=("logprobs", "chat", "text"))
