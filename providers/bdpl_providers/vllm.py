"""vLLM: exact label log-probabilities by token id, many prompts a request.

A server that does not answer for token ids, an older one or a gateway before it, is read by the
likeliest tokens, and one that shows no probabilities by what the model says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bdpl_providers.candidates import chat, text, token_ids, top_k
from bdpl_providers.served import served
from bdpl_providers.server import Server

if TYPE_CHECKING:
    from bdpl_providers import Connection

__all__ = ["from_connection"]

BASE_URL = "http://localhost:8000/v1"
KEY = "VLLM_API_KEY"  # servers started without one need none
BATCH = 32  # prompts a request: nearly all that lists save, and little lost when one fails


def from_connection(connection: Connection) -> Server:
    """The provider's entry point.

    Raises:
        ConfigError: an option that this provider does not have, a bad URL or tokenizer, or no
            key where `api_key_env` names one.
    """
    told, model = connection, connection.model
    by_chat, plainly = text(model, told.system, told.ask, batch=BATCH)
    offered = (
        token_ids(model, batch=BATCH),
        top_k(model, batch=BATCH, ids="wanted"),
        chat(model, told.system, told.ask),
        plainly,
        by_chat,
    )
    auto = ("token-ids", "logprobs", "text")
    return served("vllm", told, told.base_url or BASE_URL, offered, auto=auto, key=KEY)
