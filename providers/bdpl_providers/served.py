"""From a connection to the scorer of a server over HTTP: what vLLM and its like have in common."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from bdpl_providers.candidates import Candidate, chosen
from bdpl_providers.credentials import checked_url, exposed, key_from
from bdpl_providers.dialect import Dialect
from bdpl_providers.server import Server
from bdpl_providers.tokenizer import find_tokenizer
from bdpl_providers.transport import HttpTransport

if TYPE_CHECKING:
    from bdpl_providers import Connection

__all__ = ["served"]


def served(
    provider: str,
    told: Connection,
    base_url: str,
    offered: tuple[Candidate, ...],
    *,
    auto: tuple[str, ...],
    key: str | None = None,
) -> Server:
    """The scorer of ``provider/told.model``.

    Args:
        provider: stands before the slash.
        told: the connection.
        base_url: of the server.
        offered: all read-outs that such a server may have.
        auto: names of those that are tried without being asked for, the best first.
        key: the variable that is looked at where `told` names none; None looks at none.

    Raises:
        ConfigError: a bad URL or tokenizer, a read-out that is not offered, or no key where
            `told.api_key_env` names one.
    """
    name, url = f"{provider}/{told.model}", checked_url(base_url)
    wanted = chosen(name, told.readout, offered, auto=auto)
    dialect = Dialect(
        provider,
        told.model,
        url,
        wanted,
        others=tuple(candidate for candidate in offered if candidate not in wanted),
        batch_prompts=told.batch_prompts,
        tokenizer=find_tokenizer(told.tokenizer, told.model),
        warnings=exposed(name, url, told.api_key_env, key, os.environ),
    )
    secret = None
    if told.sends:
        secret = key_from(told.api_key_env, key, required=False, environ=os.environ)
    transport = HttpTransport(name, url, secret, timeout=told.timeout, concurrency=told.concurrency)
    return Server(dialect, transport)
