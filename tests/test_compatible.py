"""`compatible/<model>`: a stranger's server, told its address and given no key unasked."""

from __future__ import annotations

import pytest

from bdpl_async.errors import ConfigError
from bdpl_providers import Connection
from bdpl_providers.compatible import from_connection
from bdpl_providers.transport import HttpTransport

URL = "http://localhost:9/v1"


def key_of(connection: Connection) -> str | None:
    transport = from_connection(connection)._tape._inner
    assert isinstance(transport, HttpTransport)
    return transport._key


def test_needs_an_address() -> None:
    """Without a base URL there is no server to ask."""
    with pytest.raises(ConfigError, match=r"model\.base_url: compatible/x needs one"):
        from_connection(Connection("x"))


def test_as_announced() -> None:
    """Likely tokens first, then a chat, then words, one text a request unless the user says so."""
    scorer = from_connection(Connection("x", URL + "/"))
    assert scorer.name == "compatible/x"
    assert scorer.dialect.base_url == URL
    tried = [candidate.name for candidate in scorer.dialect.candidates]
    assert tried == ["logprobs", "chat", "text", "text"]
    assert (scorer.capabilities.readout, scorer.capabilities.batch) == ("logprobs", 1)
    assert from_connection(Connection("x", URL, batch_prompts=16)).capabilities.batch == 16


def test_token_ids_if_asked_for() -> None:
    """Token ids are tried where they are named."""
    scorer = from_connection(Connection("x", URL, readout="token-ids"))
    assert [candidate.name for candidate in scorer.dialect.candidates] == ["token-ids"]


def test_a_strangers_server_gets_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key travels unless its variable was named, OpenAI's least of all."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai")
    monkeypatch.setenv("VLLM_API_KEY", "sk-vllm")
    monkeypatch.setenv("MINE", "sk-mine")
    assert key_of(Connection("x", URL)) is None
    assert key_of(Connection("x", URL, api_key_env="MINE")) == "sk-mine"
    monkeypatch.delenv("MINE")
    with pytest.raises(ConfigError, match="MINE"):
        from_connection(Connection("x", URL, api_key_env="MINE"))
