"""`vllm/<model>`: what it tries, where it is, which key opens it."""

from __future__ import annotations

import pytest

from bdpl_async.errors import ConfigError
from bdpl_providers import Connection
from bdpl_providers.transport import HttpTransport
from bdpl_providers.vllm import from_connection


@pytest.fixture(autouse=True)
def keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VLLM_API_KEY", "OPENAI_API_KEY", "MINE"):
        monkeypatch.delenv(name, raising=False)


def names(connection: Connection) -> list[str]:
    return [candidate.name for candidate in from_connection(connection).dialect.candidates]


def key_of(connection: Connection) -> str | None:
    transport = from_connection(connection)._tape._inner
    assert isinstance(transport, HttpTransport)
    return transport._key


def test_as_announced() -> None:
    """By default: this machine, token ids, lists of 32, and no key."""
    scorer = from_connection(Connection("Qwen/Qwen3-4B"))
    assert scorer.name == "vllm/Qwen/Qwen3-4B"
    assert scorer.dialect.base_url == "http://localhost:8000/v1"
    expected = scorer.capabilities
    assert (expected.readout, expected.batch, expected.completion) == ("token-ids", 32, 1)
    assert (expected.causal, expected.local, expected.price) == (True, False, None)
    assert key_of(Connection("m")) is None


def test_order() -> None:
    """Exact ids first, then likely tokens, then words; a chat only where it is asked for."""
    assert names(Connection("m")) == ["token-ids", "logprobs", "text", "text"]
    assert names(Connection("m", readout="chat")) == ["chat"]
    others = from_connection(Connection("m")).dialect.others
    assert [candidate.name for candidate in others] == ["chat"]


def test_unknown_readout() -> None:
    """A read-out that servers do not have is refused by its key, with those they have."""
    with pytest.raises(ConfigError, match=r"model\.readout: vllm/m cannot be read by 'mlm'") as no:
        from_connection(Connection("m", readout="mlm"))
    assert "auto, token-ids, logprobs, chat, text" in str(no.value)


def test_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """VLLM_API_KEY opens it, or the variable that was named; never another's key."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai")
    assert key_of(Connection("m")) is None
    monkeypatch.setenv("VLLM_API_KEY", "sk-vllm")
    assert key_of(Connection("m")) == "sk-vllm"
    with pytest.raises(ConfigError, match="MINE"):
        from_connection(Connection("m", api_key_env="MINE"))
    monkeypatch.setenv("MINE", "sk-mine")
    assert key_of(Connection("m", api_key_env="MINE")) == "sk-mine"


def test_the_users_batch() -> None:
    """`batch_prompts` replaces the 32, for read-outs that take lists."""
    assert from_connection(Connection("m", batch_prompts=7)).capabilities.batch == 7
    chat = from_connection(Connection("m", batch_prompts=7, readout="chat"))
    assert chat.capabilities.batch == 1
    text = from_connection(Connection("m", readout="text")).capabilities
    assert (text.completion, text.batch) == (8, 32)
