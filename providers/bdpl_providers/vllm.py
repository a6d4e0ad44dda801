"""vLLM: exact label log-probabilities by token id, many prompts a request.

A server that does not answer for token ids, an older one or a gateway before it, is read by the
likeliest tokens, and one that shows no probabilities by what the model says.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from bdpl_providers.candidates import chat, chosen, text, token_ids, top_k
from bdpl_providers.credentials import checked_url, key_from
from bdpl_providers.dialect import Dialect
from bdpl_providers.server import Server
from bdpl_providers.tokenizer import find_tokenizer
from bdpl_providers.transport import HttpTransport

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
    name, base_url = f"vllm/{model}", checked_url(told.base_url or BASE_URL)
    chatting = chat(model, told.system, told.ask)
    by_chat, plainly = text(model, told.system, told.ask, batch=BATCH)
    offered = (
        token_ids(model, batch=BATCH),
        top_k(model, batch=BATCH, ids="wanted"),
        chatting,
        plainly,
        by_chat,
    )
    wanted = chosen(name, told.readout, offered, auto=("token-ids", "logprobs", "text"))
    dialect = Dialect(
        "vllm",
        model,
        base_url,
        wanted,
        others=tuple(candidate for candidate in offered if candidate not in wanted),
        batch_prompts=told.batch_prompts,
        tokenizer=find_tokenizer(told.tokenizer, model),
    )
    key = (
        key_from(told.api_key_env, KEY, required=False, environ=os.environ) if told.sends else None
    )
    return Server(
        dialect,
        HttpTransport(name, base_url, key, timeout=told.timeout, concurrency=told.concurrency),
    )
